"""The checks of `test_no_leak.py` find leaks: each is planted once in the shop's SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from evenstore.transform.feature_sql import FeatureSql
from evenstore.transform.window import days_between
from tests.demo.leak_checks import check_checkout_cannot_see_itself, check_future_moves_nothing
from tests.demo.lines import instant, line
from tests.demo.shop_features import SHOP_SQL, Asked, Features, Lines, Shop
from tests.evenstore.transform.runs import write_sql

pytestmark = pytest.mark.slow

# One customer buys one product every day, on the 7th a second time, in the hour after the first.
LINES = [
    line("1", "2011-06-06T10:15"),
    line("2", "2011-06-07T10:15"),
    line("3", "2011-06-07T11:45"),
    line("4", "2011-06-08T10:15"),
]
MARKER = line("3", "2011-06-07T11:45", quantity=100_000, price=999.99)
NOW = instant(MARKER["InvoiceDate"])


@dataclass(frozen=True, slots=True)
class Fault:
    """A leak as somebody might write it by mistake: replacements in the text of one table."""

    table: str
    edits: Mapping[str, str]

    def planted(self, folder: Path) -> Mapping[str, FeatureSql]:
        """Return the shop's SQL with the fault in it."""
        text = SHOP_SQL[self.table].text
        for right, wrong in self.edits.items():
            assert text.count(right) == 1, right
            text = text.replace(right, wrong)
        return {**SHOP_SQL, self.table: write_sql(folder / "faulty.sql", text)}


# A row says what happened until its window's end, but looks further: a day, or an hour.
LOOKS_AHEAD = {
    "customer_activity": {
        "        on sale_days.day between days.day - 89 and days.day\n": (
            "        on sale_days.day between days.day - 89 and days.day + 1\n"
        )
    },
    "customer_profile": {
        "window so_far as (partition by customer_id order by day)": (
            "window so_far as (partition by customer_id order by day"
            " rows between unbounded preceding and 1 following)"
        )
    },
    "product_demand": {
        "range between interval 719 hours preceding and current row": (
            "range between interval 719 hours preceding and interval 1 hour following"
        )
    },
    "customer_product": {
        "window so_far as (partition by customer_id, stock_code order by day)": (
            "window so_far as (partition by customer_id, stock_code order by day"
            " rows between unbounded preceding and 1 following)"
        )
    },
}

# A row is stamped with the start of its window. The runner refuses that for the first day of a run,
# so the fault leaves that day out.
STAMPED_EARLY = {
    "customer_activity": {
        "cast(bought.day + 1 as timestamp)": "cast(bought.day as timestamp)",
        "    on bought.customer_id = product_counts.customer_id and bought.day = product_counts.day"
        "\n": (
            "    on bought.customer_id = product_counts.customer_id and bought.day"
            " = product_counts.day\nwhere bought.day > $first_day\n"
        ),
    },
    "customer_profile": {
        "cast(asked.day + 1 as timestamp)": "cast(asked.day as timestamp)",
        "    and lifetime_orders > 0\n": "    and lifetime_orders > 0 and day > $first_day\n",
    },
    "product_demand": {
        "date_trunc('hour', InvoiceDate) + interval 1 hour as hour_end": (
            "date_trunc('hour', InvoiceDate) as hour_end"
        )
    },
    "customer_product": {
        "cast(day + 1 as timestamp)": "cast(day as timestamp)",
        "    and times_bought > 0\n": "    and times_bought > 0 and day > $first_day\n",
    },
}

FUTURE_LEAKS = {
    f"{table} {fault}": Fault(table, edits)
    for fault, edits_of in (("looks ahead", LOOKS_AHEAD), ("is stamped early", STAMPED_EARLY))
    for table, edits in edits_of.items()
}

# A row claims to have been readable at the very end of its window, before any run can have made it.
TOO_SOON = {
    table: Fault(table, {f"-- publication delay: {promise}": "-- publication delay: 0 hours"})
    for table, promise in {
        "customer_activity": "2 hours",
        "customer_profile": "2 hours",
        "product_demand": "30 minutes",
        "customer_product": "2 hours",
    }.items()
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    days = days_between(date(2011, 6, 6), date(2011, 6, 8))
    return Shop(tmp_path_factory.mktemp("shop"), days)


def _check_checkout(make: Callable[[Lines], Features]) -> None:
    check_checkout_cannot_see_itself(make, LINES, MARKER)


def _check_future(make: Callable[[Lines], Features]) -> None:
    other_future = [*LINES, MARKER]
    check_future_moves_nothing(make, LINES, other_future, NOW, [Asked(1, "10001", NOW)])


def test_the_sql_of_the_shop_has_no_leak(shop: Shop) -> None:
    _check_checkout(shop.features)
    _check_future(shop.features)


@pytest.mark.parametrize("fault", FUTURE_LEAKS)
def test_a_row_that_holds_its_own_future_is_found(tmp_path: Path, shop: Shop, fault: str) -> None:
    make = partial(shop.features, sql=FUTURE_LEAKS[fault].planted(tmp_path))
    with pytest.raises(AssertionError):
        _check_checkout(make)
    with pytest.raises(AssertionError):
        _check_future(make)


@pytest.mark.parametrize("table", TOO_SOON)
def test_a_row_that_is_readable_too_soon_is_found(tmp_path: Path, shop: Shop, table: str) -> None:
    make = partial(shop.features, sql=TOO_SOON[table].planted(tmp_path))
    with pytest.raises(AssertionError):
        _check_checkout(make)
