from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from hypothesis import given
from hypothesis import strategies as st

from evenstore.clock import datetime_to_us
from evenstore.semantics import (
    EARLIEST_US,
    RowOrder,
    Status,
    decide_status,
    floor_to_s,
    is_within_ttl,
    oldest_valid_us,
    on_demand_status,
    worst_status,
)

_instants_us = st.integers(-(10**17), 10**18)
_spans_us = st.none() | st.integers(0, 10**17)
_orders = st.builds(
    RowOrder,
    event_us=st.integers(-2, 2),
    created_us=st.none() | st.integers(-2, 2),
    sequence_us=st.integers(-2, 2),
)


@pytest.mark.parametrize(
    ("age_us", "is_valid"), [(-1, True), (0, True), (99, True), (100, True), (101, False)]
)
@pytest.mark.parametrize("as_of_us", [0, 1_323_475_200_000_000, -5_000_000])
def test_ttl_is_inclusive_at_the_microsecond(as_of_us: int, age_us: int, is_valid: bool) -> None:
    assert is_within_ttl(event_us=as_of_us - age_us, as_of_us=as_of_us, ttl_us=100) is is_valid


def test_row_without_ttl_is_valid_for_ever() -> None:
    assert is_within_ttl(event_us=-(10**17), as_of_us=10**18, ttl_us=None)


@given(event_us=_instants_us, as_of_us=_instants_us, ttl_us=_spans_us)
def test_oldest_valid_instant_draws_the_line_of_the_ttl(
    event_us: int, as_of_us: int, ttl_us: int | None
) -> None:
    oldest_us = oldest_valid_us(as_of_us=as_of_us, ttl_us=ttl_us)
    is_valid = is_within_ttl(event_us=event_us, as_of_us=as_of_us, ttl_us=ttl_us)
    assert is_valid is (event_us >= oldest_us)


def test_earliest_instant_is_before_every_datetime() -> None:
    assert datetime_to_us(datetime.min.replace(tzinfo=UTC)) > EARLIEST_US


@pytest.mark.parametrize(
    ("lower", "greater"),
    [
        (RowOrder(1, 9, 9), RowOrder(2, 0, 0)),
        (RowOrder(1, 1, 9), RowOrder(1, 2, 0)),
        (RowOrder(1, 1, 1), RowOrder(1, 1, 2)),
        (RowOrder(1, None, 9), RowOrder(1, 0, 0)),
        (RowOrder(1, None, 9), RowOrder(1, -(10**15), 0)),
        (RowOrder(1, None, 1), RowOrder(1, None, 2)),
        (RowOrder(-2, 9, 9), RowOrder(-1, None, 0)),
    ],
)
def test_order_goes_by_event_then_created_then_sequence(lower: RowOrder, greater: RowOrder) -> None:
    assert lower < greater
    assert greater > lower
    assert lower <= greater
    assert not greater <= lower


def test_null_created_timestamp_differs_from_the_epoch() -> None:
    assert RowOrder(1, None, 1) != RowOrder(1, 0, 1)
    assert RowOrder(1, None, 1) < RowOrder(1, 0, 1)


@given(_orders, _orders, _orders)
def test_order_is_total(first: RowOrder, second: RowOrder, third: RowOrder) -> None:
    assert [first < second, first == second, first > second].count(True) == 1
    if first <= second <= third:
        assert first <= third


@given(st.lists(_orders, min_size=1, max_size=5))
def test_greatest_row_does_not_depend_on_arrival(orders: list[RowOrder]) -> None:
    arrivals = itertools.permutations(orders)
    assert len({max(arrival) for arrival in arrivals}) == 1


@pytest.mark.parametrize(
    ("is_found", "is_expired", "is_null", "status"),
    [
        (True, False, False, Status.PRESENT),
        (True, False, True, Status.NULL_VALUE),
        (True, True, False, Status.OUTSIDE_MAX_AGE),
        (True, True, True, Status.OUTSIDE_MAX_AGE),
        (False, False, False, Status.NOT_FOUND),
        (False, True, True, Status.NOT_FOUND),
    ],
)
def test_status_is_decided_in_order(
    is_found: bool, is_expired: bool, is_null: bool, status: Status
) -> None:
    assert decide_status(is_found=is_found, is_expired=is_expired, is_null=is_null) is status


def test_statuses_have_the_numbers_of_feast() -> None:
    feast_numbers = dict(FieldStatus.items())
    assert {status.name: feast_numbers[status.name] for status in Status} == {
        status.name: status.value for status in Status
    }


def test_worst_status_goes_from_present_to_invalid() -> None:
    from_best = [
        Status.PRESENT,
        Status.NULL_VALUE,
        Status.OUTSIDE_MAX_AGE,
        Status.NOT_FOUND,
        Status.INVALID,
    ]
    for better, worse in itertools.combinations(from_best, 2):
        assert worst_status([better, worse]) is worst_status([worse, better]) is worse
    assert worst_status([]) is Status.PRESENT


@pytest.mark.parametrize(
    ("inputs", "is_null", "status"),
    [
        ([], False, Status.PRESENT),
        ([], True, Status.NULL_VALUE),
        ([Status.PRESENT, Status.NULL_VALUE], False, Status.NULL_VALUE),
        ([Status.OUTSIDE_MAX_AGE, Status.PRESENT], True, Status.OUTSIDE_MAX_AGE),
        ([Status.OUTSIDE_MAX_AGE, Status.NOT_FOUND], True, Status.NOT_FOUND),
    ],
)
def test_on_demand_output_has_the_worst_status_of_inputs_and_value(
    inputs: list[Status], is_null: bool, status: Status
) -> None:
    assert on_demand_status(inputs, is_null=is_null) is status


@pytest.mark.parametrize(
    ("instant_us", "second"),
    [(0, 0), (999_999, 0), (1_000_000, 1), (-1, -1), (-1_000_000, -1), (-1_000_001, -2)],
)
def test_seconds_are_floored_also_before_1970(instant_us: int, second: int) -> None:
    assert floor_to_s(instant_us) == second


@given(_instants_us)
def test_floored_second_never_lies_after_the_instant(instant_us: int) -> None:
    assert 0 <= instant_us - floor_to_s(instant_us) * 1_000_000 < 1_000_000
