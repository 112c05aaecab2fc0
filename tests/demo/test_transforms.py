"""The feature repo's SQL: equal to an oracle, whatever the run, and refused where it would leak."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.shop.generator import generate_shop
from evenstore.clock import datetime_to_us
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import TransformError
from evenstore.transform.window import WindowGrain, days_between
from tests.demo.lines import instant, line, write_lines
from tests.demo.oracle import ORACLES, read_trade
from tests.demo.worlds import worlds_of
from tests.evenstore.transform.runs import TRANSFORMS, Table, shop_sql, write_sql
from tests.support.scale import scaled

pytestmark = pytest.mark.slow

FIRST, LAST = date(2011, 3, 1), date(2011, 6, 30)
END_US = datetime_to_us(datetime(2011, 7, 1, tzinfo=UTC))
TABLES = list(ORACLES)
ONE_THREAD = SessionLimits(threads=1)

# Every edge of the windows, and every kind of dirt, by hand.
EDGES = [
    line("1", "2011-03-01T00:00", quantity=2),
    line("1", "2011-03-01T00:00", quantity=2),
    line("1", "2011-03-01T00:00", code="10001", quantity=3, description=None),
    line("2", "2011-03-01T23:59", code="85123A", quantity=4, price=0.001),
    line("2", "2011-03-02T00:00", code="85123a", quantity=4, price=1.1),
    line("2", "2011-03-02T00:00", code="85123A", quantity=4, price=1.1),
    line("3", "2011-03-08T09:00", code=" 10001", country="EIRE"),
    line("3", "2011-03-08T09:00", code="POST", price=18.0, country="EIRE"),
    line("C4", "2011-03-09T09:00", quantity=-9, country="EIRE"),
    line("C4", "2011-03-09T09:00", code="D", quantity=-1, price=22.0),
    line("5", "2011-03-30T10:00", customer=None, quantity=7),
    line("6", "2011-03-30T10:00", customer=None, quantity=-7, price=0.0, description=None),
    line("7", "2011-03-31T10:00", customer=2, price=0.0),
    line("A8", "2011-03-31T10:00", customer=None, code="B", price=-11062.06),
    line("9", "2011-04-01T10:00", customer=2, quantity=30, country="France", price=1.1),
    line("10", "2011-04-01T10:00", customer=2, quantity=30, country="Spain"),
    line("11", "2011-05-29T10:00", customer=3, quantity=-3),
    line("C12", "2011-06-01T10:00", customer=4, quantity=-3),
    line("13", "2011-06-10T10:59", customer=5, quantity=2, price=1.1),
    line("13", "2011-06-10T11:00", customer=5, quantity=2, price=0.333),
    line("14", "2011-06-10T11:59", customer=6),
    line("15", "2011-03-01T00:00", customer=7, quantity=20),
    line("C16", "2011-03-01T00:00", customer=7, quantity=-5),
    line("17", "2011-05-29T10:00", customer=7, quantity=20, code="10002"),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop with the generator's dirt; its 13 months end with June 2011."""
    path = tmp_path_factory.mktemp("shop") / "lines.parquet"
    generate_shop(path, end_us=END_US, n_customers=20, n_lines=1_500, seed=11)
    return path


def _window_ends(table: Table, days: Iterable[date]) -> list[datetime]:
    hours = [24] if table.sql.grain is WindowGrain.DAY else range(1, 25)
    starts = [datetime.combine(day, time()) for day in days]
    return [start + timedelta(hours=n) for start in starts for n in hours]


def _check_against_oracle(table: Table, days: Iterable[date]) -> int:
    """Compare the rows of all windows of these days; return how many there were."""
    trade = read_trade(pq.read_table(table.lines).to_pylist())
    found: dict[datetime, dict[Any, dict[str, Any]]] = {}
    for (key, at), row in table.by_key().items():
        found.setdefault(at, {})[key] = row
    n_compared = 0
    for end in _window_ends(table, days):
        rows = found.get(instant(end) + timedelta(microseconds=table.sql.delay_us), {})
        expected = ORACLES[table.sql.name](trade, end)
        assert rows.keys() == expected.keys(), end
        for key, features in expected.items():
            # Both timestamps are there too, and nothing else.
            assert len(rows[key]) == len(features) + len(table.sql.join_keys) + 2
            assert {name: rows[key][name] for name in features} == features, (end, key)
            n_compared += 1
    return n_compared


@pytest.mark.parametrize(
    ("name", "n_rows"),
    [
        ("customer_activity", 351),
        ("customer_profile", 9),
        ("product_demand", 152),
        ("customer_product", 10),
    ],
)
def test_rows_equal_the_oracle_at_every_edge_of_the_windows(
    tmp_path: Path, name: str, n_rows: int
) -> None:
    lines = write_lines(tmp_path / "lines.parquet", EDGES)
    table = Table(tmp_path, shop_sql(name), lines)
    table.run(FIRST.isoformat(), LAST.isoformat())
    # The numbers are counted by hand.
    assert _check_against_oracle(table, days_between(FIRST, LAST)) == n_rows


@pytest.mark.parametrize("name", TABLES)
def test_rows_equal_the_oracle_on_a_dirty_shop(tmp_path: Path, shop: Path, name: str) -> None:
    table = Table(tmp_path, shop_sql(name), shop)
    table.run("2011-05-16", LAST.isoformat())
    # A day has few rows where only its own customers have one, and many where each hour counts.
    step = {"customer_profile": 1, "customer_product": 1, "product_demand": 15}.get(name, 12)
    days = days_between(date(2011, 5, 16), LAST)[-1 :: -scaled(step, 1)]
    assert _check_against_oracle(table, days) >= 10


WORLD_DAYS = days_between(date(2011, 6, 1), date(2011, 6, 4))


@settings(max_examples=scaled(4, 60))
@given(lines=worlds_of(WORLD_DAYS))
@pytest.mark.parametrize("name", TABLES)
def test_rows_equal_the_oracle_in_any_world(
    tmp_path_factory: pytest.TempPathFactory, name: str, lines: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("world")
    table = Table(folder, shop_sql(name), write_lines(folder / "lines.parquet", lines))
    table.run("2011-06-01", "2011-06-04", limits=ONE_THREAD)
    _check_against_oracle(table, WORLD_DAYS)


@pytest.mark.parametrize("name", TABLES)
def test_bytes_do_not_depend_on_days_per_query_or_threads(
    tmp_path: Path, shop: Path, name: str
) -> None:
    one = Table(tmp_path / "one", shop_sql(name), shop)
    one.run("2011-05-20", "2011-06-10", limits=SessionLimits(threads=2))
    other = Table(tmp_path / "other", shop_sql(name), shop)
    other.run("2011-05-20", "2011-06-10", days_per_query=7, limits=ONE_THREAD)
    assert one.contents() == other.contents()


@settings(max_examples=scaled(2, 30))
@given(lines=worlds_of(WORLD_DAYS), days=st.permutations(WORLD_DAYS))
@pytest.mark.parametrize("name", TABLES)
def test_days_one_by_one_in_any_order_give_the_bytes_of_one_query(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    lines: list[dict[str, Any]],
    days: list[date],
) -> None:
    folder = tmp_path_factory.mktemp("world")
    path = write_lines(folder / "lines.parquet", lines)
    month = Table(folder / "month", shop_sql(name), path)
    month.run("2011-06-01", "2011-06-04", limits=ONE_THREAD)
    single = Table(folder / "days", shop_sql(name), path)
    for day in days:
        single.run(day.isoformat(), day.isoformat(), limits=ONE_THREAD)
    assert single.contents() == month.contents()


@settings(max_examples=scaled(2, 30))
@given(lines=worlds_of(WORLD_DAYS), n_known=st.integers(1, 40))
@pytest.mark.parametrize("name", TABLES)
def test_an_incremental_run_gives_the_rows_of_a_full_one(
    tmp_path_factory: pytest.TempPathFactory, name: str, lines: list[dict[str, Any]], n_known: int
) -> None:
    folder = tmp_path_factory.mktemp("world")
    full = Table(folder, shop_sql(name), write_lines(folder / "all.parquet", lines))
    full.run("2011-06-01", "2011-06-04", limits=ONE_THREAD)
    few = write_lines(folder / "few.parquet", lines[:n_known])
    grown = Table(folder / "grown", shop_sql(name), few)
    # The last day was not over then, and the other lines came later, also into earlier days.
    grown.run("2011-06-01", "2011-06-04", now="2011-06-04T13:00", limits=ONE_THREAD)
    grown.lines = full.lines
    grown.run("2011-06-01", "2011-06-04", only_missing=True, limits=ONE_THREAD)
    # The names of the files hold the hashes of their rows.
    assert grown.contents().keys() == full.contents().keys()
    assert grown.rows() == full.rows()


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("customer_activity", "cast(bought.day + 1 as timestamp)"),
        ("customer_profile", "cast(asked.day + 1 as timestamp)"),
        ("customer_product", "cast(day + 1 as timestamp)"),
    ],
)
def test_a_window_stamped_at_its_start_is_refused(tmp_path: Path, name: str, end: str) -> None:
    text = (TRANSFORMS / f"{name}.sql").read_text(encoding="utf-8")
    assert end in text
    early = write_sql(tmp_path / "early.sql", text.replace(end, end.replace(" + 1", "")))
    table = Table(tmp_path, early, write_lines(tmp_path / "lines.parquet", EDGES))
    with pytest.raises(TransformError, match="which is not the end of a day"):
        table.run("2011-06-10", "2011-06-12")


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("customer_profile", "last_order_at"),
        ("product_demand", "last_sold_at"),
        ("customer_product", "last_bought_at"),
    ],
)
def test_no_row_is_stamped_within_its_own_window(
    tmp_path: Path, shop: Path, name: str, last: str
) -> None:
    table = Table(tmp_path, shop_sql(name), shop)
    table.run("2011-06-01", "2011-06-10")
    rows = table.rows()
    assert rows
    delay = timedelta(microseconds=table.sql.delay_us)
    for row in rows:
        assert row[last] < row["event_timestamp"] - delay
        assert row["created"] == row["event_timestamp"]


REAL = Path(__file__).parents[2].parent / "shared" / "data" / "online_retail.parquet"


@pytest.mark.skipif(not REAL.is_file(), reason="the Online Retail file is not here")
@pytest.mark.parametrize(
    ("name", "n_rows", "n_rows_of_a_year"),
    [
        ("customer_activity", 28_621, 680_380),
        ("customer_profile", 923, 18_954),
        ("product_demand", 52_079, 1_413_095),
        ("customer_product", 18_963, 390_253),
    ],
)
def test_the_real_set_gives_the_known_number_of_rows(
    tmp_path: Path, name: str, n_rows: int, n_rows_of_a_year: int
) -> None:
    last = date(2011, 12, 9)
    n_days = scaled(10, 374)
    days = ((last - timedelta(days=n_days - 1)).isoformat(), last.isoformat())
    table = Table(tmp_path, shop_sql(name), REAL)
    report = table.run(*days, now="2011-12-10T02:00")
    assert (report.n_rows, report.n_days) == (scaled(n_rows, n_rows_of_a_year), n_days)
    assert table.run(*days, only_missing=True).n_days == 0
