"""The rules that both stores share: which row wins, how old it may be, what its status is.

This is the whole of DESIGN's section on semantics that is arithmetic. SQL and Lua say the same
rules in their own languages; the oracle in the tests judges all three. All instants are int64
microseconds since the epoch, UTC.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "EARLIEST_US",
    "ExpiredValues",
    "Knowledge",
    "OnUnavailable",
    "Origin",
    "RowOrder",
    "Status",
    "TtlEnforcement",
    "decide_status",
    "floor_to_s",
    "is_within_ttl",
    "oldest_valid_us",
    "on_demand_status",
    "worst_status",
]

EARLIEST_US = -(2**62)
"""Earlier than any instant that a datetime can hold: the start of "from the beginning"."""

_US_PER_S = 1_000_000


class Status(enum.IntEnum):
    """Feast's field statuses, with Feast's numbers.

    INVALID is what could not be read: it says nothing of the value.
    """

    INVALID = 0
    PRESENT = 1
    NULL_VALUE = 2
    NOT_FOUND = 3
    OUTSIDE_MAX_AGE = 4


# From best to worst: an on-demand output takes the worst status of its inputs.
_SEVERITY = (
    Status.PRESENT,
    Status.NULL_VALUE,
    Status.OUTSIDE_MAX_AGE,
    Status.NOT_FOUND,
    Status.INVALID,
)


class TtlEnforcement(enum.Enum):
    """What happens to a row older than its view's ttl."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"


class ExpiredValues(enum.Enum):
    """Whether an expired value is withheld or returned beside its status."""

    WITHHOLD = "withhold"
    RETURN = "return"


class OnUnavailable(enum.Enum):
    """What a feature service does when what it needs cannot be read.

    CLOSED refuses; OPEN answers declared defaults and nulls, with status INVALID.
    """

    CLOSED = "closed"
    OPEN = "open"


class Knowledge(enum.Enum):
    """Which rows a join may know of.

    AS_KNOWN takes only rows whose created timestamp is not after the entity row's known-at instant;
    LATEST_TRUTH takes all rows that exist now, backfills and corrections included.
    """

    AS_KNOWN = "as_known"
    LATEST_TRUTH = "latest_truth"


class Origin(enum.IntEnum):
    """Who wrote a stored row."""

    UNKNOWN = 0
    RUN = 1
    PUSH = 2


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class RowOrder:
    """The place of a row in the one total order of DESIGN section 3.

    Event timestamp first, then created timestamp (null lowest), then ingest sequence: the
    microsecond at which a run read its source or a push was received.
    """

    event_us: int
    created_us: int | None
    sequence_us: int

    def _key(self) -> tuple[int, bool, int, int]:
        return (
            self.event_us,
            self.created_us is not None,
            self.created_us or 0,
            self.sequence_us,
        )

    def __lt__(self, other: RowOrder) -> bool:
        return self._key() < other._key()


def is_within_ttl(*, event_us: int, as_of_us: int, ttl_us: int | None) -> bool:
    """Tell whether a row may still be used: its age is at most the ttl, inclusive.

    No ttl means forever.
    """
    return ttl_us is None or as_of_us - event_us <= ttl_us


def oldest_valid_us(*, as_of_us: int, ttl_us: int | None) -> int:
    """Return the earliest event timestamp that is within ttl at an instant."""
    return EARLIEST_US if ttl_us is None else as_of_us - ttl_us


def decide_status(*, is_found: bool, is_expired: bool, is_null: bool) -> Status:
    """Decide a status: NOT_FOUND before OUTSIDE_MAX_AGE before NULL_VALUE before PRESENT."""
    if not is_found:
        return Status.NOT_FOUND
    if is_expired:
        return Status.OUTSIDE_MAX_AGE
    return Status.NULL_VALUE if is_null else Status.PRESENT


def worst_status(statuses: Sequence[Status]) -> Status:
    """Return the worst of several statuses; PRESENT for none."""
    return max(statuses, key=_SEVERITY.index, default=Status.PRESENT)


def on_demand_status(inputs: Sequence[Status], *, is_null: bool) -> Status:
    """Return an on-demand output's status: the worst of its inputs and of its own value."""
    return worst_status([*inputs, Status.NULL_VALUE if is_null else Status.PRESENT])


def floor_to_s(instant_us: int) -> int:
    """Return whole seconds, floored also before 1970: the precision of UNIX_TIMESTAMP features."""
    return instant_us // _US_PER_S
