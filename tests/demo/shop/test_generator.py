from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from demo.shop.generator import ShopReport, generate_shop
from demo.shop.parquet_reader import read_shop_parquet
from demo.shop.schema import SHOP_SCHEMA
from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.errors import ConfigurationError
from tests.support.scale import scaled

END_US = datetime_to_us(datetime(2026, 5, 20, 14, 30, tzinfo=UTC))
N_LINES = 200_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "lines.parquet"
    generate_shop(path, end_us=END_US, n_lines=N_LINES)
    return path


def _one(path: Path, sql: str) -> Any:
    with duckdb.connect() as connection:
        connection.read_parquet(str(path)).create_view("lines")
        return connection.execute(sql).fetchall()[0][0]


def _share(path: Path, condition: str) -> float:
    with duckdb.connect() as connection:
        lines = connection.read_parquet(str(path))
        return int(lines.filter(condition).count("*").fetchall()[0][0]) / N_LINES


def _small(path: Path, **changes: Any) -> ShopReport:
    arguments: dict[str, Any] = {"end_us": END_US, "n_customers": 20, "n_lines": 1_000, "seed": 3}
    return generate_shop(path, **(arguments | changes))


def test_same_arguments_give_same_bytes(tmp_path: Path) -> None:
    _small(tmp_path / "one.parquet")
    _small(tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_another_seed_gives_other_lines(tmp_path: Path) -> None:
    _small(tmp_path / "one.parquet")
    _small(tmp_path / "two.parquet", seed=4)
    assert (tmp_path / "one.parquet").read_bytes() != (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize("n_lines", [800, 999, 1_000, 5_001])
def test_the_number_of_lines_is_exact_and_every_customer_buys(tmp_path: Path, n_lines: int) -> None:
    path = tmp_path / "lines.parquet"
    report = _small(path, n_lines=n_lines)
    assert report.n_lines == n_lines == pq.read_metadata(path).num_rows
    buyers = "select count(distinct CustomerID) from lines where left(InvoiceNo, 1) <> 'C'"
    assert _one(path, buyers) == 20


def test_the_file_has_the_schema_and_passes_the_reader(shop: Path) -> None:
    assert pq.read_schema(shop) == SHOP_SCHEMA
    assert read_shop_parquet(shop).num_rows == N_LINES


def test_lines_cover_thirteen_months_and_stop_before_the_end(shop: Path) -> None:
    first = _one(shop, "select min(InvoiceDate) from lines")
    last = _one(shop, "select max(InvoiceDate) from lines")
    assert date(2025, 4, 20) <= first.date() <= date(2025, 4, 27)
    end = us_to_datetime(END_US).replace(tzinfo=None)
    assert end - timedelta(days=2) <= last < end


def test_lines_are_sorted_by_time_across_row_groups(shop: Path) -> None:
    assert pq.read_metadata(shop).num_row_groups > 1
    minutes = pq.read_table(shop)["InvoiceDate"].to_numpy()
    assert bool((minutes[1:] >= minutes[:-1]).all())


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        ("CustomerID is null", 0.22, 0.28),
        ("left(InvoiceNo, 1) = 'C'", 0.012, 0.022),
        ("Description is null", 0.002, 0.0035),
        ("UnitPrice = 0", 0.0035, 0.0055),
        ("Quantity < 0 and left(InvoiceNo, 1) <> 'C'", 0.0018, 0.0032),
        ("Country = 'United Kingdom'", 0.88, 0.95),
        ("upper(StockCode) <> StockCode", 0.002, 0.006),
        ("not regexp_matches(StockCode, '^[0-9]{5}')", 0.003, 0.009),
        ("regexp_matches(StockCode, '^[0-9]{5}[A-Za-z]$')", 0.1, 0.4),
        ("hour(InvoiceDate) not between 6 and 20", 0.0, 0.0),
        ("dayofweek(InvoiceDate) = 6", 0.0, 0.0),
        ("round(UnitPrice, 2) <> UnitPrice", 0.0, 0.0),
        ("Quantity = 0", 0.0, 0.0),
    ],
)
def test_dirt_and_habits_have_the_shares_of_the_real_set(
    shop: Path, share: str, low: float, high: float
) -> None:
    assert low <= _share(shop, share) <= high


def test_one_line_in_a_hundred_is_an_exact_duplicate(shop: Path) -> None:
    n_distinct = _one(shop, "select count(*) from (select distinct * from lines)")
    assert 0.007 <= 1 - n_distinct / N_LINES <= 0.013


def test_an_invoice_of_a_customer_has_about_twenty_lines_of_one_minute(shop: Path) -> None:
    mean, late, owners = _one(
        shop,
        """
        with invoices as (
            select
                count(*) as n,
                count(distinct InvoiceDate) as minutes,
                count(distinct CustomerID) * count(distinct Country) as owners
            from lines
            where CustomerID is not null and left(InvoiceNo, 1) <> 'C'
            group by InvoiceNo
        )
        select [avg(n), avg(cast(minutes > 1 as int)), max(owners)] from invoices
        """,
    )
    assert 20 <= mean <= 23
    assert 0 < late < 0.005
    assert owners == 1


def test_two_negative_prices_stand_on_invoices_that_begin_with_a(shop: Path) -> None:
    assert _share(shop, "UnitPrice < 0") * N_LINES == 2
    assert _share(shop, "left(InvoiceNo, 1) = 'A'") * N_LINES == 3


def test_stock_adjustments_have_no_customer_and_no_price(shop: Path) -> None:
    adjusted = "Quantity < 0 and left(InvoiceNo, 1) <> 'C'"
    assert _share(shop, adjusted) > 0
    assert _share(shop, f"{adjusted} and (UnitPrice <> 0 or CustomerID is not null)") == 0


def test_most_cancellations_return_an_earlier_purchase_and_some_match_none(shop: Path) -> None:
    matched = _one(
        shop,
        """
        with sold as (
            select CustomerID, StockCode, min(InvoiceDate) as first_sold
            from lines where Quantity > 0 group by all
        )
        select avg(cast(coalesce(first_sold <= InvoiceDate, false) as int))
        from lines left join sold using (CustomerID, StockCode)
        where left(InvoiceNo, 1) = 'C' and CustomerID is not null
        """,
    )
    assert 0.8 <= matched <= 0.95


def test_few_customers_change_their_country(shop: Path) -> None:
    n_movers = _one(
        shop,
        "select count(*) from (select CustomerID from lines where CustomerID is not null "
        "group by 1 having count(distinct Country) > 1)",
    )
    assert 1 <= n_movers <= 10


def test_recent_and_frequent_buyers_buy_again_more_often(shop: Path) -> None:
    rates = _one(
        shop,
        """
        with visits as (
            select distinct CustomerID as c, InvoiceDate as t from lines
            where CustomerID is not null and left(InvoiceNo, 1) <> 'C'
        ),
        asked as (select unnest([timestamp '2025-10-01', timestamp '2026-01-15']) as m),
        active as (
            select m, c, count(*) as n, exists (
                select 1 from visits v
                where v.c = visits.c and v.t > m and v.t <= m + interval 60 day
            ) as again
            from asked join visits on t <= m and t > m - interval 90 day group by m, c
        )
        select [avg(cast(again as int)), avg(cast(again as int)) filter (where n = 1),
            avg(cast(again as int)) filter (where n >= 3)]
        from active
        """,
    )
    overall, once, often = rates
    assert 0.3 <= overall <= 0.65
    assert often > once + 0.15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_customers": 19}, "19 customers are too few"),
        ({"n_lines": 799}, "799 lines are too few for 20 customers"),
        ({"seed": -1}, "seed is negative"),
    ],
)
def test_sizes_that_make_no_shop_are_refused(
    tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _small(tmp_path / "lines.parquet", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_stops_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    class Interrupt:
        def advance(self, n_done: int = 1) -> None:
            raise KeyboardInterrupt(n_done)

    path = tmp_path / "lines.parquet"
    _small(path)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        _small(path, seed=5, progress=Interrupt())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["lines.parquet"]


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot write"):
        _small(tmp_path / "file" / "lines.parquet")


def test_a_large_shop_has_as_many_lines_as_asked_for(tmp_path: Path) -> None:
    n_customers = scaled(5_000, 100_000)
    path = tmp_path / "lines.parquet"
    generate_shop(path, end_us=END_US, n_customers=n_customers, n_lines=n_customers * 50)
    assert pq.read_metadata(path).num_rows == n_customers * 50
