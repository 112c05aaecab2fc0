"""What each feature says, on lines so few that the answer is plain to see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.demo.lines import line, write_lines
from tests.evenstore.transform.runs import Table, shop_sql

pytestmark = pytest.mark.slow

Lines = Sequence[dict[str, Any]]


def _features(
    folder: Path, name: str, lines: Lines, day: str = "2011-03-07", *, features: Sequence[str]
) -> dict[Any, tuple[Any, ...]]:
    """Run one day; return the named features by key and event timestamp, as `DDTHH:MM`."""
    folder.mkdir(exist_ok=True)
    table = Table(folder, shop_sql(name), write_lines(folder / "lines.parquet", lines))
    table.run(day, day)
    return {
        (key, at.strftime("%dT%H:%M")): tuple(row[feature] for feature in features)
        for (key, at), row in table.by_key().items()
    }


def _activity(
    folder: Path, lines: Lines, day: str, *, features: Sequence[str]
) -> tuple[Any, ...] | None:
    """Return features of customer 1 after a day; None where there is no row."""
    rows = _features(folder, "customer_activity", lines, day, features=features)
    return next((row for (key, _), row in rows.items() if key == 1), None)


def test_windows_of_days_begin_and_end_at_midnight(tmp_path: Path) -> None:
    lines = [line("1", "2011-03-01T00:00", quantity=2), line("2", "2011-03-01T23:59", quantity=3)]
    orders = ["orders_7d", "orders_30d", "orders_90d", "days_since_last_order"]
    expected = {
        "2011-02-28": None,
        "2011-03-01": (2, 2, 2, 0),
        "2011-03-07": (2, 2, 2, 6),
        "2011-03-08": (0, 2, 2, 7),
        "2011-03-30": (0, 2, 2, 29),
        "2011-03-31": (0, 0, 2, 30),
        "2011-05-29": (0, 0, 2, 89),
        "2011-05-30": None,
    }
    found = {day: _activity(tmp_path / day, lines, day, features=orders) for day in expected}
    assert found == expected


def test_windows_of_hours_begin_and_end_at_the_hour(tmp_path: Path) -> None:
    lines = [
        line("1", "2011-03-07T09:00", quantity=2),
        line("2", "2011-03-07T09:59", quantity=3),
        line("3", "2011-03-08T08:59", quantity=10),
        line("4", "2011-03-08T09:00", quantity=20),
        line("5", "2011-03-08T10:00", quantity=40),
        line("6", "2011-03-14T08:59", quantity=100),
        line("7", "2011-03-14T09:59", quantity=200),
        line("8", "2011-04-06T08:59", quantity=1000),
        line("9", "2011-04-06T09:59", quantity=2000),
    ]

    def units(day: str) -> dict[str, tuple[int, ...]]:
        names = ["units_24h", "units_7d", "units_30d"]
        rows = _features(tmp_path / day, "product_demand", lines, day, features=names)
        return {at: row for (_, at), row in rows.items()}

    assert units("2011-03-07") == {"07T10:30": (5, 5, 5), "08T00:30": (5, 5, 5)}
    assert units("2011-03-08") == {
        "08T09:30": (15, 15, 15),
        "08T10:30": (30, 35, 35),
        "08T11:30": (70, 75, 75),
        "09T00:30": (70, 75, 75),
    }
    assert units("2011-03-14")["14T09:30"] == (100, 175, 175)
    assert units("2011-03-14")["14T10:30"] == (300, 370, 375)
    assert units("2011-04-06")["06T09:30"] == (1000, 1000, 1375)
    assert units("2011-04-06")["06T10:30"] == (3000, 3000, 3370)
    # Only midnights, until the last sale is 30 days old.
    assert list(units("2011-05-05")) == ["06T00:30"]
    assert list(units("2011-05-06")) == []


def test_two_invoices_in_one_hour_are_one_row_and_one_over_two_hours_counts_in_both(
    tmp_path: Path,
) -> None:
    lines = [
        line("1", "2011-03-07T09:10"),
        line("2", "2011-03-07T09:50", customer=2),
        line("3", "2011-03-07T10:59", customer=2),
        line("3", "2011-03-07T11:00", customer=2, quantity=4),
    ]
    names = ["orders_7d", "buyers_7d", "units_24h"]
    assert _features(tmp_path, "product_demand", lines, features=names) == {
        ("10001", "07T10:30"): (2, 2, 2),
        ("10001", "07T11:30"): (3, 2, 3),
        ("10001", "07T12:30"): (4, 2, 7),
        ("10001", "08T00:30"): (4, 2, 7),
    }


def test_an_invoice_over_midnight_counts_on_both_days(tmp_path: Path) -> None:
    lines = [line("1", "2011-03-06T23:59"), line("1", "2011-03-07T00:00", code="10002")]
    assert _activity(tmp_path / "6", lines, "2011-03-06", features=["orders_7d"]) == (1,)
    assert _activity(tmp_path / "7", lines, "2011-03-07", features=["orders_7d"]) == (2,)


@pytest.mark.parametrize("days_ago", [6, 7])
def test_a_buyer_leaves_after_seven_days_unless_they_come_back(
    tmp_path: Path, days_ago: int
) -> None:
    lines = [
        line("1", f"2011-03-{8 - days_ago:02}T09:10", customer=1),
        line("2", "2011-03-08T09:20", customer=2),
        line("3", "2011-03-08T09:30", customer=None),
        line("C4", "2011-03-08T09:40", customer=3, quantity=-1),
    ]
    rows = _features(
        tmp_path, "product_demand", lines, "2011-03-08", features=["buyers_7d", "orders_7d"]
    )
    is_in = days_ago < 7
    assert rows["10001", "08T10:30"] == (1 + is_in, 2 + is_in)


def test_returns_count_against_the_window_and_may_exceed_what_was_bought(tmp_path: Path) -> None:
    lines = [
        line("1", "2010-11-01T10:00", quantity=20),
        line("C1", "2011-03-06T10:00", quantity=-3),
        line("2", "2011-03-07T10:00", quantity=4),
        line("C3", "2011-03-07T11:00", quantity=-7),
    ]
    assert _activity(tmp_path / "a", lines, "2011-03-07", features=["return_rate_90d"]) == (2.5,)
    demand = _features(tmp_path / "b", "product_demand", lines, features=["return_rate_30d"])
    assert demand["10001", "07T11:30"] == (0.75,)
    assert demand["10001", "07T12:30"] == (2.5,)
    pair = _features(
        tmp_path / "c",
        "customer_product",
        lines,
        features=["times_bought", "units_bought", "units_returned", "return_rate", "was_returned"],
    )
    rate = 0.4166666567325592  # 10 / 24 as float32
    assert pair == {((1, "10001"), "08T02:00"): (2, 24, 10, rate, True)}


@pytest.mark.parametrize(
    "name", ["customer_activity", "customer_profile", "product_demand", "customer_product"]
)
def test_a_return_without_a_purchase_makes_no_row(tmp_path: Path, name: str) -> None:
    lines = [line("C1", "2011-03-07T10:00", quantity=-3)]
    assert _features(tmp_path, name, lines, features=[]) == {}


def test_a_customer_who_only_returned_is_described_from_the_first_purchase_on(
    tmp_path: Path,
) -> None:
    lines = [line("C1", "2011-03-06T10:00", quantity=-3), line("2", "2011-03-07T10:00")]
    names = ["has_returned", "lifetime_orders"]
    days = [
        _features(tmp_path / day, "customer_profile", lines, day, features=names)
        for day in ("2011-03-06", "2011-03-07", "2011-03-08")
    ]
    assert days == [{}, {(1, "08T02:00"): (True, 1)}, {}]


def test_the_country_is_that_of_the_newest_order_and_the_rows_before_keep_the_old_one(
    tmp_path: Path,
) -> None:
    lines = [
        line("1", "2011-03-05T10:00", country="EIRE"),
        line("3", "2011-03-06T10:00", country="Spain"),
        line("2", "2011-03-06T10:00", country="Norway"),
        line("C4", "2011-03-07T10:00", country="France", quantity=-1),
    ]
    countries = {
        at: row
        for day in ("2011-03-05", "2011-03-06", "2011-03-07")
        for (_, at), row in _features(
            tmp_path / day, "customer_profile", lines, day, features=["country"]
        ).items()
    }
    # At one instant the greater invoice number is the newer; a return tells no country.
    assert countries == {"06T02:00": ("EIRE",), "07T02:00": ("Spain",), "08T02:00": ("Spain",)}


def test_favourites_are_the_five_most_ordered_and_ties_go_to_the_smaller_code(
    tmp_path: Path,
) -> None:
    orders = {"10007": 1, "10006": 2, "10005": 1, "10004": 1, "10003": 3, "10002": 1, "10001": 1}
    lines = [
        line(f"{i}{code}", "2011-03-06T10:00", code=code)
        for code, n_orders in orders.items()
        for i in range(n_orders)
    ]
    # Two lines of one invoice are one order.
    lines += [line("10007", "2011-03-07T10:00", code="10007", quantity=n) for n in (1, 2)]
    lines += [line("8", "2011-03-08T10:00", code="10009")]
    rows = _features(tmp_path, "customer_profile", lines, features=["favourite_products"])
    favourites = ["10003", "10006", "10007", "10001", "10002"]
    assert rows == {(1, "08T02:00"): (favourites,)}


def test_one_product_is_one_whatever_its_code_looks_like_and_duplicates_count_once(
    tmp_path: Path,
) -> None:
    lines = [
        line("1", "2011-03-07T10:00", code="85123A", quantity=3),
        line("1", "2011-03-07T10:00", code="85123A", quantity=3),
        line("1", "2011-03-07T10:00", code=" 85123a ", quantity=3),
        line("1", "2011-03-07T10:00", code="85123a", quantity=4),
        line("1", "2011-03-07T10:00", code="85123A", quantity=9, price=0.0),
        line("1", "2011-03-07T10:00", code="POST", quantity=1),
    ]
    pair = _features(
        tmp_path / "p", "customer_product", lines, features=["times_bought", "units_bought"]
    )
    assert pair == {((1, "85123A"), "08T02:00"): (1, 7)}
    names = ["orders_7d", "spend_7d", "distinct_products_90d", "is_wholesale"]
    assert _activity(tmp_path / "a", lines, "2011-03-07", features=names) == (1, 17.5, 1, False)
    demand = _features(
        tmp_path / "d", "product_demand", lines, features=["units_24h", "revenue_30d"]
    )
    assert demand["85123A", "07T11:30"] == (7, 17.5)


def test_the_last_price_is_that_of_the_last_purchase(tmp_path: Path) -> None:
    lines = [
        line("1", "2011-03-06T10:00", price=9.0),
        line("2", "2011-03-07T09:00", price=2.0),
        line("3", "2011-03-07T08:00", price=3.0),
        line("C4", "2011-03-07T11:00", price=4.0, quantity=-1),
        line("5", "2011-03-07T12:00", price=0.0),
    ]
    names = ["last_unit_price", "times_bought"]
    rows = _features(tmp_path, "customer_product", lines, features=names)
    assert rows == {((1, "10001"), "08T02:00"): (2.0, 3)}
