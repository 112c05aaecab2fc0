from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.labels.golden import (
    CUSTOMER_SCHEMA,
    RETURNS_REQUEST_SCHEMA,
    GoldenReport,
    draw_churn_golden,
    draw_returns_golden,
    list_customers,
)
from demo.shop.generator import generate_shop
from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError, TransformError
from tests.demo.labels.oracle import product_lines, returns_rows
from tests.demo.lines import line, write_lines

Draw = Callable[..., GoldenReport]
DRAWS = [
    pytest.param(draw_churn_golden, CUSTOMER_SCHEMA, id="churn"),
    pytest.param(draw_returns_golden, RETURNS_REQUEST_SCHEMA, id="returns"),
]
END = datetime(2011, 12, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "lines.parquet"
    generate_shop(path, end_us=datetime_to_us(END), n_customers=300, n_lines=12_000, seed=3)
    return path


@pytest.fixture(scope="module")
def sales(shop: Path) -> list[dict[str, Any]]:
    return product_lines(pq.read_table(shop).to_pylist(), END.replace(tzinfo=None))[0]


def test_customers_of_every_kind_are_drawn(
    tmp_path: Path, shop: Path, sales: list[dict[str, Any]]
) -> None:
    report = draw_churn_golden(shop, tmp_path / "golden.parquet", n_rows=100, seed=1)
    drawn = pq.read_table(tmp_path / "golden.parquet")["customer_id"].to_pylist()
    assert sum(report.kinds.values()) == report.n_rows == len(drawn) == len(set(drawn)) == 100
    assert min(report.kinds.values()) > 0
    newest = max(sale["InvoiceDate"] for sale in sales)
    last: dict[int, datetime] = {}
    orders: dict[int, set[str]] = {}
    for sale in sales:
        customer = sale["CustomerID"]
        last[customer] = max(last.get(customer, sale["InvoiceDate"]), sale["InvoiceDate"])
        orders.setdefault(customer, set()).add(sale["InvoiceNo"])
    known = [customer for customer in drawn if customer in last]
    assert len(drawn) - len(known) == report.kinds["unknown"] == 2
    ages = [newest - last[customer] for customer in known]
    assert sum(age <= timedelta(days=31) for age in ages) >= report.kinds["recent"]
    assert sum(age > timedelta(days=89) for age in ages) >= report.kinds["silent"]
    assert sum(len(orders[customer]) == 1 for customer in known) >= report.kinds["one_order"]
    many = sorted(len(numbers) for numbers in orders.values())[-len(orders) // 20]
    assert sum(len(orders[customer]) >= many for customer in known) >= report.kinds["heavy"]


def test_checkout_lines_of_every_kind_are_drawn(
    tmp_path: Path, shop: Path, sales: list[dict[str, Any]]
) -> None:
    report = draw_returns_golden(shop, tmp_path / "golden.parquet", n_rows=200, seed=1)
    rows = pq.read_table(tmp_path / "golden.parquet").to_pylist()
    assert sum(report.kinds.values()) == report.n_rows == len(rows) == 200
    assert min(report.kinds.values()) > 0
    lines = pq.read_table(shop).to_pylist()
    names = RETURNS_REQUEST_SCHEMA.names
    sold = Counter(
        tuple(row[name] for name in names) for row in returns_rows(lines, END.replace(tzinfo=None))
    )
    n_real = sum(tuple(row.values()) in sold for row in rows)
    assert n_real == sum(report.kinds[kind] for kind in ("recent", "old", "any"))
    customers = {sale["CustomerID"] for sale in sales}
    products = {sale["StockCode"] for sale in sales}
    pairs = {(sale["CustomerID"], sale["StockCode"]) for sale in sales}
    n_unknown_customer = sum(row["customer_id"] not in customers for row in rows)
    n_unknown_product = sum(row["stock_code"] not in products for row in rows)
    assert n_unknown_customer == report.kinds["unknown_customer"] == 4
    assert n_unknown_product == report.kinds["unknown_product"] == 4
    never = [row for row in rows if (row["customer_id"], row["stock_code"]) not in pairs]
    assert len(never) == report.kinds["never_bought"] + 8
    assert {1, 1_000_000, 2**31} <= {row["quantity"] for row in rows}
    assert {0.001, 100_000.0} <= {row["unit_price"] for row in rows}
    assert all(row["basket_value"] > 0 for row in rows)


@pytest.mark.parametrize(("draw", "schema"), DRAWS)
@pytest.mark.parametrize("n_rows", [1, 2, 7, 50, 333])
def test_a_tiny_shop_gives_exactly_the_rows_asked_for(
    tmp_path: Path, draw: Draw, schema: pa.Schema, n_rows: int
) -> None:
    lines = write_lines(tmp_path / "lines.parquet", [line("1", "2011-01-04T10:00")])
    report = draw(lines, tmp_path / "golden.parquet", n_rows=n_rows, seed=n_rows)
    table = pq.read_table(tmp_path / "golden.parquet")
    assert table.schema == schema
    assert table.num_rows == report.n_rows == sum(report.kinds.values()) == n_rows
    assert report.kinds.get("never_bought", 0) == 0


@pytest.mark.parametrize(("draw", "schema"), DRAWS)
def test_the_draw_follows_the_seed_and_not_the_order_of_lines(
    tmp_path: Path, shop: Path, draw: Draw, schema: pa.Schema
) -> None:
    turned = tmp_path / "turned.parquet"
    table = pq.read_table(shop)
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), turned)
    contents = []
    for path, seed in ((shop, 4), (turned, 4), (shop, 5)):
        draw(path, tmp_path / "golden.parquet", n_rows=90, seed=seed)
        contents.append((tmp_path / "golden.parquet").read_bytes())
    assert contents[0] == contents[1] != contents[2]
    assert pq.read_schema(tmp_path / "golden.parquet") == schema


@pytest.mark.parametrize(("draw", "schema"), DRAWS)
def test_counts_and_seeds_without_meaning_are_refused(
    tmp_path: Path, shop: Path, draw: Draw, schema: pa.Schema
) -> None:
    out = tmp_path / "golden.parquet"
    with pytest.raises(ConfigurationError, match="0 golden rows are too few"):
        draw(shop, out, n_rows=0, seed=1)
    with pytest.raises(ConfigurationError, match="the seed is negative: -1"):
        draw(shop, out, n_rows=len(schema), seed=-1)
    assert not out.exists()


def test_every_customer_with_a_sale_is_listed_once(
    tmp_path: Path, shop: Path, sales: list[dict[str, Any]]
) -> None:
    out = tmp_path / "customers.parquet"
    n_customers = list_customers(shop, out)
    table = pq.read_table(out)
    assert table.schema == CUSTOMER_SCHEMA
    expected = sorted({sale["CustomerID"] for sale in sales})
    assert table["customer_id"].to_pylist() == expected
    assert n_customers == len(expected)


@pytest.mark.parametrize("draw", [draw_churn_golden, draw_returns_golden])
def test_a_shop_without_a_sale_is_refused(tmp_path: Path, draw: Draw) -> None:
    lines = write_lines(tmp_path / "lines.parquet", [line("C1", "2011-01-04T10:00", quantity=-1)])
    out = tmp_path / "golden.parquet"
    with pytest.raises(TransformError, match="has no sale to a known customer"):
        draw(lines, out, n_rows=5, seed=1)
    with pytest.raises(TransformError, match="has no sale to a known customer"):
        list_customers(lines, out)
    assert not out.exists()
