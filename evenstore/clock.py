"""The one clock, and time as int64 microseconds since the epoch in UTC.

Nothing else in evenstore asks the operating system for the time. A frozen clock is for examples and
tests on old data: it needs `EVENSTORE_TEST_MODE=1` beside `EVENSTORE_FROZEN_TIME` when a process
starts, and no request can set it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from evenstore.errors import ConfigurationError

__all__ = [
    "Clock",
    "FrozenClock",
    "SystemClock",
    "clock_from_environment",
    "datetime_to_us",
    "format_us",
    "is_test_mode",
    "timedelta_to_us",
    "us_to_datetime",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Where a component gets the present instant from."""

    @property
    def is_frozen(self) -> bool:
        """Tell whether time stands still; shown in readiness and in every answer."""
        ...

    def now_us(self) -> int:
        """Return the present instant in microseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The clock of the machine."""

    is_frozen = False

    def now_us(self) -> int:
        """Return the machine's present instant."""
        return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class FrozenClock:
    """A clock that always shows the same instant."""

    instant_us: int
    is_frozen: bool = True

    def now_us(self) -> int:
        """Return the instant the clock was frozen at."""
        return self.instant_us


def is_test_mode(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether this process was started for examples and tests on old data."""
    variables = os.environ if environ is None else environ
    return variables.get("EVENSTORE_TEST_MODE") == "1"


def clock_from_environment(environ: Mapping[str, str] | None = None) -> Clock:
    """Choose the clock from `EVENSTORE_FROZEN_TIME`, which counts only in test mode.

    Raises:
        ConfigurationError: The frozen time is set without `EVENSTORE_TEST_MODE=1`, or is not an ISO
            8601 instant with a zone.
    """
    variables = os.environ if environ is None else environ
    frozen = variables.get("EVENSTORE_FROZEN_TIME", "")
    if not frozen:
        return SystemClock()
    if not is_test_mode(variables):
        msg = "`EVENSTORE_FROZEN_TIME` is set outside test mode"
        raise ConfigurationError(
            msg, hint="unset it, or set `EVENSTORE_TEST_MODE=1` for an example on old data"
        )
    try:
        instant = datetime.fromisoformat(frozen)
    except ValueError as exc:
        msg = f"`EVENSTORE_FROZEN_TIME` is not an ISO 8601 instant: {frozen!r}"
        raise ConfigurationError(msg, hint="for example 2011-12-10T00:00:00+00:00") from exc
    if instant.tzinfo is None:
        msg = f"`EVENSTORE_FROZEN_TIME` has no time zone: {frozen!r}"
        raise ConfigurationError(msg, hint="append +00:00 for UTC")
    return FrozenClock(datetime_to_us(instant))


def datetime_to_us(instant: datetime, *, naive_is_utc: bool = False) -> int:
    """Convert a datetime to microseconds since the epoch, without passing through float.

    Args:
        instant: The datetime.
        naive_is_utc: Read one without a zone as UTC; only where Feast's interface demands it.

    Raises:
        ConfigurationError: The datetime has no time zone.
    """
    if instant.tzinfo is None and naive_is_utc:
        instant = instant.replace(tzinfo=UTC)
    if instant.tzinfo is None:
        msg = f"a datetime without a time zone: {instant!r}"
        raise ConfigurationError(msg, hint="say which zone: instant.replace(tzinfo=UTC)")
    return (instant - _EPOCH) // _MICROSECOND


def timedelta_to_us(span: timedelta) -> int:
    """Convert a span to whole microseconds, exactly."""
    return span // _MICROSECOND


def us_to_datetime(instant_us: int) -> datetime:
    """Convert microseconds since the epoch to an aware datetime in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=instant_us)


def format_us(instant_us: int) -> str:
    """Render an instant as RFC 3339 in UTC.

    Whole seconds when it has no fraction, else microseconds.
    """
    return us_to_datetime(instant_us).isoformat().replace("+00:00", "Z")
