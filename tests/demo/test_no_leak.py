"""No feature sees the future: from invoice lines to joined vectors, and shown to find leaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.shop.generator import generate_shop
from demo.shop.incidents import draw_incidents
from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.semantics import Knowledge
from evenstore.transform.incidents import NO_INCIDENTS, Incidents, load_incidents
from evenstore.transform.window import days_between
from tests.demo.leak_checks import (
    MOMENT,
    check_checkout_cannot_see_itself,
    check_future_moves_nothing,
    check_known_is_what_was_there,
)
from tests.demo.lines import instant, line
from tests.demo.shop_features import Asked, Lines, Shop
from tests.demo.worlds import CODES, CUSTOMERS, incidents_on, instants_on, lines_on, worlds_of
from tests.support.scale import scaled

pytestmark = pytest.mark.slow

DAYS = days_between(date(2011, 6, 1), date(2011, 6, 5))
# From the first of these days on, rows of the day before are published.
ASKED_DAYS = DAYS[1:]
SHOP_DAYS = days_between(date(2011, 6, 8), date(2011, 6, 15))

# What no feature can miss, put on an invoice: more units, a strange price, a product of its own.
# At its usual price a product's average price would stay, and so would the checkout line.
MARKERS: Mapping[str, dict[str, Any]] = {
    "units": {"Quantity": 100_000, "UnitPrice": 0.07},
    "price": {"UnitPrice": 99_999.99, "Description": "HUMAN ERROR"},
    "product": {"Quantity": 50_000, "UnitPrice": 0.01, "StockCode": "77777X"},
}


def _settings(reduced: int, full: int) -> settings:
    return settings(
        max_examples=scaled(reduced, full),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Makes the tables of small worlds."""
    return Shop(tmp_path_factory.mktemp("small"), DAYS)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """The lines of a generated shop in its last weeks, which end with June 2011."""
    path = tmp_path_factory.mktemp("generated") / "lines.parquet"
    end_us = datetime_to_us(datetime(2011, 7, 1, tzinfo=UTC))
    generate_shop(path, end_us=end_us, n_customers=100, n_lines=20_000, seed=11)
    rows = pq.read_table(path).to_pylist()
    return [row for row in rows if row["InvoiceDate"].date() >= date(2011, 5, 20)]


@pytest.fixture(scope="module")
def generated_shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Makes the tables of the generated shop, and of what becomes of it."""
    return Shop(tmp_path_factory.mktemp("shop"), SHOP_DAYS)


def _invoices(lines: Lines, days: Iterable[date]) -> Lines:
    """Return the lines of these days that a customer's invoice has."""
    chosen = set(days)
    return [
        row
        for row in lines
        if row["InvoiceDate"].date() in chosen
        and row["CustomerID"] is not None
        and row["StockCode"].strip()[:5].isdigit()
        and row["Quantity"] > 0
    ]


def _asked(lines: Lines, instants: Iterable[datetime]) -> list[Asked]:
    """Ask about every pair of customer and product that meets in these lines."""
    pairs = {(row["CustomerID"], row["StockCode"].strip().upper()) for row in lines}
    pairs = {(customer, code) for customer, code in pairs if customer is not None}
    return [Asked(*pair, at) for at in sorted(set(instants)) for pair in sorted(pairs)]


ALL_PAIRS = [
    line("1", "2011-01-01", customer=customer, code=code)
    for customer in [*CUSTOMERS, 99]
    for code in [*CODES, "99999"]
]


@pytest.mark.parametrize("nth_sale", range(5, 400, scaled(399, 20)))
@pytest.mark.parametrize("kind", MARKERS)
def test_a_checkout_cannot_see_itself(
    generated_shop: Shop, generated: Lines, kind: str, nth_sale: int
) -> None:
    sales = _invoices(generated, SHOP_DAYS)
    # Each kind of marker is put on another invoice.
    sale = sales[(nth_sale + 150 * list(MARKERS).index(kind)) % len(sales)]
    marker = {**sale, **MARKERS[kind]}
    check_checkout_cannot_see_itself(generated_shop.features, generated, marker)


@_settings(2, 40)
@given(
    lines=worlds_of(DAYS),
    at=instants_on(DAYS),
    customer=st.sampled_from(CUSTOMERS),
    code=st.sampled_from([*CODES, "10002a"]),
)
def test_a_checkout_cannot_see_itself_in_any_world(
    shop: Shop, lines: Lines, at: datetime, customer: int, code: str
) -> None:
    marker = line("1", at.isoformat(), customer=customer, code=code, quantity=9_999, price=77.7)
    check_checkout_cannot_see_itself(shop.features, lines, marker)


@st.composite
def _other_futures(draw: st.DrawFn, lines: Lines, now: datetime) -> Lines:
    """Draw the same past with another future: lines are left out, moved, changed and added."""
    future_days = [day for day in DAYS if day > now.date()] or [DAYS[-1] + timedelta(days=1)]
    other = [row for row in lines if instant(row["InvoiceDate"]) < now]
    for old in [row for row in lines if instant(row["InvoiceDate"]) >= now]:
        change = draw(st.sampled_from(["keep", "leave out", "move", "change"]))
        if change == "keep":
            other.append(old)
        elif change == "move":
            moved_to = max(draw(instants_on(future_days)), now.replace(tzinfo=None))
            other.append({**old, "InvoiceDate": moved_to})
        elif change == "change":
            new = draw(lines_on(future_days))
            other.append({**new, "InvoiceDate": old["InvoiceDate"]})
    now_itself = {"InvoiceDate": now.replace(tzinfo=None), "Quantity": 1_000}
    added = draw(st.lists(lines_on(future_days), max_size=5))
    return [*other, *added, *({**new, **now_itself} for new in added)]


@_settings(2, 40)
@given(data=st.data(), lines=worlds_of(DAYS), incidents=incidents_on(DAYS))
def test_no_future_moves_a_vector_of_the_past(
    shop: Shop, data: st.DataObject, lines: Lines, incidents: Incidents
) -> None:
    now = instant(data.draw(instants_on(ASKED_DAYS)))
    other_future = data.draw(_other_futures(lines, now))
    make = partial(shop.features, incidents=incidents)
    earlier = [now - timedelta(hours=hours) for hours in (1, 12, 24)]
    asked = _asked(ALL_PAIRS, [now, now - MOMENT, *earlier])
    check_future_moves_nothing(make, lines, other_future, now, asked)


@pytest.fixture(scope="module")
def incidents(tmp_path_factory: pytest.TempPathFactory) -> Incidents:
    """Incidents of the generated shop: an outage on the 10th, a broken upload on the 13th."""
    path = tmp_path_factory.mktemp("incidents") / "incidents.json"
    draw_incidents(path, first_day=date(2011, 6, 6), last_day=date(2011, 6, 17), seed=11)
    return load_incidents(path)


def _nothing(_row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return []


def _three_hours_later(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "InvoiceDate": row["InvoiceDate"] + timedelta(hours=3)}]


def _sold_ten_times_over(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "InvoiceNo": f"{row['InvoiceNo']}{i}"} for i in range(10)]


FUTURES = {
    "none": _nothing,
    "later": _three_hours_later,
    "more": _sold_ten_times_over,
}


@pytest.mark.parametrize("future", FUTURES)
def test_the_shop_may_have_any_future(
    generated_shop: Shop, generated: Lines, incidents: Incidents, future: str
) -> None:
    now = datetime(2011, 6, 14, 11, 40, tzinfo=UTC)
    past = [row for row in generated if instant(row["InvoiceDate"]) < now]
    rest = [row for row in generated if instant(row["InvoiceDate"]) >= now]
    other_future = [*past, *(new for row in rest for new in FUTURES[future](row))]
    recent = _invoices(generated, SHOP_DAYS)
    instants = [now, *(now - timedelta(hours=11 * i) for i in range(1, scaled(5, 8)))]
    make = partial(generated_shop.features, incidents=incidents)
    check_future_moves_nothing(
        make, generated, other_future, now, _asked(recent[: scaled(20, 50)], instants)
    )


def _telling_instants(incidents: Incidents) -> list[datetime]:
    """Return when incidents begin and end, and a moment before."""
    us = [us for outage in incidents.outages for us in (outage.since_us, outage.until_us)]
    for late in incidents.late_events:
        us += [late.since_us, late.until_us, late.arrived_us]
    return [at for each in us for at in (us_to_datetime(each) - MOMENT, us_to_datetime(each))]


@_settings(2, 40)
@given(data=st.data(), lines=worlds_of(DAYS), incidents=incidents_on(DAYS))
def test_a_backfill_says_what_was_known(
    shop: Shop, data: st.DataObject, lines: Lines, incidents: Incidents
) -> None:
    anywhere = instants_on(ASKED_DAYS).map(lambda at: instant(at) + timedelta(hours=3))
    telling = [at for at in _telling_instants(incidents) if at.date() in ASKED_DAYS[1:]]
    at = data.draw(st.one_of(anywhere, st.sampled_from(telling)) if telling else anywhere)
    backfill = shop.features(lines, incidents=incidents)
    there = shop.features_as_of(at, lines, incidents)
    check_known_is_what_was_there(backfill, there, _asked(ALL_PAIRS, [at]), Knowledge.AS_KNOWN)


@pytest.mark.parametrize(
    ("at", "situation"),
    [
        (
            datetime(2011, 6, 10, 6, 51, tzinfo=UTC),
            "the run of the 9th is late: nothing is published",
        ),
        (datetime(2011, 6, 10, 6, 52, tzinfo=UTC), "it has run"),
        (datetime(2011, 6, 14, 19, 16, tzinfo=UTC), "lines of the 13th are missing"),
        (datetime(2011, 6, 14, 19, 17, tzinfo=UTC), "they have arrived"),
    ],
)
def test_a_backfill_of_the_shop_says_what_was_known(
    generated_shop: Shop, generated: Lines, incidents: Incidents, at: datetime, situation: str
) -> None:
    asked = _asked(_invoices(generated, SHOP_DAYS)[:: scaled(4, 1)], [at])
    there = generated_shop.features_as_of(at, generated, incidents)
    backfill = generated_shop.features(generated, incidents=incidents)
    check_known_is_what_was_there(backfill, there, asked, Knowledge.AS_KNOWN)
    if "missing" in situation or "late" in situation:
        # What turned out to be true is something else: the check can fail, and a training set of
        # "latest truth", or of a backfill that knows no incidents, would know what nobody knew.
        on_time = generated_shop.features(generated, incidents=NO_INCIDENTS)
        for other, knowledge in (
            (backfill, Knowledge.LATEST_TRUTH),
            (on_time, Knowledge.AS_KNOWN),
        ):
            with pytest.raises(AssertionError):
                check_known_is_what_was_there(other, there, asked, knowledge)
