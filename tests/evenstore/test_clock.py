from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenstore.clock import (
    FrozenClock,
    SystemClock,
    clock_from_environment,
    datetime_to_us,
    format_us,
    timedelta_to_us,
    us_to_datetime,
)
from evenstore.errors import ConfigurationError

_MOMENT = "2011-12-10T00:00:00+00:00"
_MOMENT_US = 1_323_475_200_000_000


def test_system_clock_lies_between_two_readings_of_the_machine() -> None:
    before = datetime.now(tz=UTC)
    now_us = SystemClock().now_us()
    assert before <= us_to_datetime(now_us) <= datetime.now(tz=UTC)


def test_environment_without_frozen_time_gives_the_running_clock() -> None:
    assert not clock_from_environment({}).is_frozen
    assert not clock_from_environment({"EVENSTORE_FROZEN_TIME": ""}).is_frozen


def test_environment_is_the_process_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", _MOMENT)
    assert clock_from_environment() == FrozenClock(_MOMENT_US)


@pytest.mark.parametrize("frozen", [_MOMENT, "2011-12-10T00:00:00Z", "2011-12-10T02:00:00+02:00"])
def test_frozen_clock_shows_the_same_instant_in_any_zone(frozen: str) -> None:
    clock = clock_from_environment({"EVENSTORE_TEST_MODE": "1", "EVENSTORE_FROZEN_TIME": frozen})
    assert clock.is_frozen
    assert clock.now_us() == clock.now_us() == _MOMENT_US


@pytest.mark.parametrize("mode", [{}, {"EVENSTORE_TEST_MODE": "0"}, {"EVENSTORE_TEST_MODE": ""}])
def test_frozen_time_is_refused_outside_test_mode(mode: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="outside test mode"):
        clock_from_environment({"EVENSTORE_FROZEN_TIME": _MOMENT} | mode)


@pytest.mark.parametrize(
    ("frozen", "problem"),
    [
        ("yesterday", "not an ISO 8601 instant: 'yesterday'"),
        ("2011-12-10T00:00:00", "no time zone"),
        ("2011-12-10", "no time zone"),
    ],
)
def test_frozen_time_is_refused_when_it_is_no_instant(frozen: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        clock_from_environment({"EVENSTORE_TEST_MODE": "1", "EVENSTORE_FROZEN_TIME": frozen})
    assert caught.value.hint is not None


def test_naive_datetime_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="without a time zone"):
        datetime_to_us(datetime.fromisoformat("2011-12-10T00:00:00"))


def test_naive_datetime_is_utc_only_where_the_caller_says_so() -> None:
    naive = datetime.fromisoformat("2011-12-10T00:00:00")
    assert datetime_to_us(naive, naive_is_utc=True) == _MOMENT_US
    aware = datetime.fromisoformat("2011-12-10T02:00:00+02:00")
    assert datetime_to_us(aware, naive_is_utc=True) == _MOMENT_US


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])))
def test_datetime_survives_the_way_through_microseconds(instant: datetime) -> None:
    # Float seconds lose microseconds in most centuries that a datetime can hold.
    assert us_to_datetime(datetime_to_us(instant)) == instant


@given(st.timedeltas())
def test_timedelta_is_converted_exactly(span: timedelta) -> None:
    assert timedelta(microseconds=timedelta_to_us(span)) == span


def test_instants_before_1970_are_negative() -> None:
    assert datetime_to_us(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@pytest.mark.parametrize(
    ("instant_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (_MOMENT_US + 1, "2011-12-10T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_instant_is_rendered_in_utc(instant_us: int, text: str) -> None:
    assert format_us(instant_us) == text
