"""The feature repo's SQL: equal to an oracle, and unable to see what a checkout must not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.shop.generator import generate_shop
from evenstore.clock import datetime_to_us
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import TransformError
from evenstore.transform.feature_sql import FeatureSql
from tests.demo.lines import line, write_lines
from tests.demo.oracle import customer_rows, product_rows
from tests.evenstore.transform.runs import TRANSFORMS, Table, shop_sql, write_sql
from tests.support.scale import scaled

pytestmark = pytest.mark.slow

FIRST, LAST = date(2011, 3, 1), date(2011, 6, 30)
END_US = datetime_to_us(datetime(2011, 7, 1, tzinfo=UTC))
TABLES = ["customer_activity", "product_demand"]
ORACLES: Mapping[str, Callable[..., Mapping[Any, Mapping[str, Any]]]] = {
    "customer_activity": customer_rows,
    "product_demand": product_rows,
}

# Every edge of the windows, and every kind of dirt, by hand.
EDGES = [
    line("1", "2011-03-01T00:00", quantity=2),
    line("1", "2011-03-01T00:00", quantity=2),
    line("1", "2011-03-01T00:00", code="10001", quantity=3, description=None),
    line("2", "2011-03-01T23:59", code="85123A", quantity=4, price=0.001),
    line("2", "2011-03-02T00:00", code="85123a", quantity=4, price=1.1),
    line("3", "2011-03-08T09:00", code=" 10001", country="EIRE"),
    line("3", "2011-03-08T09:00", code="POST", price=18.0, country="EIRE"),
    line("C4", "2011-03-09T09:00", quantity=-9, country="EIRE"),
    line("C4", "2011-03-09T09:00", code="D", quantity=-1, price=22.0),
    line("5", "2011-03-30T10:00", customer=None, quantity=7),
    line("6", "2011-03-30T10:00", customer=None, quantity=-7, price=0.0, description=None),
    line("7", "2011-03-31T10:00", customer=2, price=0.0),
    line("A8", "2011-03-31T10:00", customer=None, code="B", price=-11062.06),
    line("9", "2011-04-01T10:00", customer=2, quantity=30, country="France"),
    line("10", "2011-04-01T10:00", customer=2, quantity=30, country="Spain"),
    line("11", "2011-05-29T10:00", customer=3, quantity=-3),
    line("C12", "2011-06-01T10:00", customer=4, quantity=-3),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop with the generator's dirt; its 13 months end with June 2011."""
    path = tmp_path_factory.mktemp("shop") / "lines.parquet"
    generate_shop(path, end_us=END_US, n_customers=20, n_lines=1_500, seed=11)
    return path


def _check_against_oracle(table: Table, days: list[date]) -> int:
    lines = pq.read_table(table.lines).to_pylist()
    oracle = ORACLES[table.sql.name]
    rows = table.by_key()
    n_compared = 0
    for day in days:
        stamp = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        stamp += timedelta(microseconds=table.sql.delay_us)
        found = {key: row for (key, at), row in rows.items() if at == stamp}
        expected = oracle(lines, day)
        assert found.keys() == expected.keys(), day
        for key, features in expected.items():
            assert {name: found[key][name] for name in features} == features, (day, key)
            assert len(found[key]) == len(features) + 3
            n_compared += 1
    return n_compared


@pytest.mark.parametrize("name", TABLES)
def test_rows_equal_the_oracle_at_every_edge_of_the_windows(tmp_path: Path, name: str) -> None:
    lines = write_lines(tmp_path / "lines.parquet", EDGES)
    table = Table(tmp_path, shop_sql(name), lines)
    table.run(FIRST.isoformat(), LAST.isoformat())
    days = [FIRST + timedelta(days=i) for i in range((LAST - FIRST).days + 1)]
    assert _check_against_oracle(table, days) > 100


@pytest.mark.parametrize("name", TABLES)
def test_rows_equal_the_oracle_on_a_dirty_shop(tmp_path: Path, shop: Path, name: str) -> None:
    table = Table(tmp_path, shop_sql(name), shop)
    table.run(FIRST.isoformat(), LAST.isoformat())
    days = [LAST - timedelta(days=i) for i in range(0, 120, scaled(12, 1))]
    assert _check_against_oracle(table, days) > 50


@pytest.mark.parametrize("name", TABLES)
def test_bytes_do_not_depend_on_days_per_query_or_threads(
    tmp_path: Path, shop: Path, name: str
) -> None:
    one = Table(tmp_path / "one", shop_sql(name), shop)
    one.run("2011-05-01", "2011-06-10", limits=SessionLimits(threads=2))
    other = Table(tmp_path / "other", shop_sql(name), shop)
    other.run("2011-05-01", "2011-06-10", days_per_query=7, limits=SessionLimits(threads=1))
    assert one.contents() == other.contents()


def _moved_rows(
    folder: Path, sql: FeatureSql, lines: list[dict[str, Any]], marked: list[dict[str, Any]]
) -> list[tuple[Any, datetime]]:
    """Return key and event timestamp of every row that differs between two sets of lines."""
    tables = []
    for name, contents in (("plain", lines), ("marked", marked)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        path = write_lines(folder / name / "lines.parquet", contents)
        table = Table(folder / name, sql, path)
        table.run("2011-05-20", "2011-06-20")
        tables.append(table.by_key())
    plain, other = tables
    keys = plain.keys() | other.keys()
    return [key for key in keys if plain.get(key) != other.get(key)]


def _mark(lines: list[dict[str, Any]], invoice_line: dict[str, Any]) -> list[dict[str, Any]]:
    # A marker that no feature can miss, on the same invoice, customer, product and minute.
    return [*lines, {**invoice_line, "Quantity": 100_000, "UnitPrice": 999.99}]


def _june_sale(shop: Path, at: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lines = pq.read_table(shop).to_pylist()
    sales = [
        row
        for row in lines
        if row["InvoiceDate"].date() >= date(2011, 5, 25)
        and row["InvoiceDate"].date() <= date(2011, 6, 15)
        and row["CustomerID"] is not None
        and row["Quantity"] > 0
        and row["StockCode"][:5].isdigit()
    ]
    return lines, sales[at % len(sales)]


@pytest.mark.parametrize("name", TABLES)
def test_a_marker_line_moves_no_row_that_its_own_checkout_could_see(
    tmp_path: Path, shop: Path, name: str
) -> None:
    lines, sale = _june_sale(shop, 7)
    moved = _moved_rows(tmp_path, shop_sql(name), lines, _mark(lines, sale))
    at = sale["InvoiceDate"].replace(tzinfo=UTC)
    assert [key for key in moved if key[1] <= at] == []
    # The marker is seen: from the next morning on, by its own customer or product.
    assert min(stamp for _, stamp in moved).date() == at.date() + timedelta(days=1)


def test_the_marker_finds_a_planted_leak(tmp_path: Path, shop: Path) -> None:
    text = (TRANSFORMS / "customer_activity.sql").read_text(encoding="utf-8")
    leaky = text.replace("days.day - 89 and days.day\n", "days.day - 89 and days.day + 1\n")
    assert leaky != text
    sql = write_sql(tmp_path / "leaky.sql", leaky)
    lines, sale = _june_sale(shop, 7)
    at = sale["InvoiceDate"].replace(tzinfo=UTC)
    moved = _moved_rows(tmp_path, sql, lines, _mark(lines, sale))
    assert [key for key in moved if key[1] <= at] != []


def test_a_window_stamped_at_its_start_is_refused(tmp_path: Path, shop: Path) -> None:
    text = (TRANSFORMS / "customer_activity.sql").read_text(encoding="utf-8")
    inclusive = text.replace("cast(bought.day + 1 as timestamp)", "cast(bought.day as timestamp)")
    table = Table(tmp_path, write_sql(tmp_path / "leaky.sql", inclusive), shop)
    with pytest.raises(TransformError, match="which is not the end of a day"):
        table.run("2011-06-01", "2011-06-10")


@settings(max_examples=scaled(3, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, 10_000),
    shift_minutes=st.integers(-3 * 1440, 3 * 1440),
    name=st.sampled_from(TABLES),
)
def test_shifting_any_line_changes_no_earlier_row(
    tmp_path_factory: pytest.TempPathFactory, shop: Path, at: int, shift_minutes: int, name: str
) -> None:
    lines, sale = _june_sale(shop, at)
    moved_to = sale["InvoiceDate"] + timedelta(minutes=shift_minutes)
    shifted = [{**row, "InvoiceDate": moved_to} if row is sale else row for row in lines]
    moved = _moved_rows(tmp_path_factory.mktemp("shift"), shop_sql(name), lines, shifted)
    earliest = min(sale["InvoiceDate"], moved_to).replace(tzinfo=UTC)
    assert [key for key in moved if key[1] <= earliest] == []


@pytest.mark.parametrize("name", TABLES)
def test_no_row_is_stamped_within_its_own_window(tmp_path: Path, shop: Path, name: str) -> None:
    table = Table(tmp_path, shop_sql(name), shop)
    table.run("2011-06-01", "2011-06-10")
    last = "last_order_at" if name == "customer_activity" else "last_sold_at"
    rows = table.rows()
    assert rows
    delay = timedelta(microseconds=table.sql.delay_us)
    for row in rows:
        assert row[last] < row["event_timestamp"] - delay
        assert row["created"] == row["event_timestamp"]


REAL = Path(__file__).parents[2].parent / "shared" / "data" / "online_retail.parquet"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason="the Online Retail file is not here")
@pytest.mark.parametrize(
    ("name", "n_rows"), [("customer_activity", 677_495), ("product_demand", 1_093_921)]
)
def test_the_real_set_gives_the_known_number_of_rows(
    tmp_path: Path, name: str, n_rows: int
) -> None:
    table = Table(tmp_path, shop_sql(name), REAL)
    report = table.run("2010-12-01", "2011-12-09", now="2011-12-09T12:50")
    assert (report.n_rows, report.n_days, report.n_days_incomplete) == (n_rows, 373, 1)
    assert table.run("2010-12-01", "2011-12-09", only_missing=True).n_days == 1
