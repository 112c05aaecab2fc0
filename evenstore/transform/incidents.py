"""What went wrong with the runs of a backfill: outages, and events that arrived late.

A backfill stamps every row as if its run had happened on time. Real runs stand still for hours, and
real events arrive after the run that needed them. A file of incidents states both, so that what was
*known* at an instant can be told from what turned out to be *true*:

```json
{
 "outages": [{"since": "2011-03-05T02:00:00Z", "until": "2011-03-05T11:20:00Z"}],
 "late_events": [{"since": "2011-03-07T14:00:00Z", "until": "2011-03-08T00:00:00Z",
                  "arrived": "2011-03-08T13:05:00Z"}]
}
```

An outage: rows that a run on time would have created in `[since, until)` were created at `until`.
Late events: runs before `arrived` did not see the events of `[since, until)`; their days are
published twice, first without these events, then, created at `arrived`, with them. All instants are
zoned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from evenstore.clock import datetime_to_us, format_us
from evenstore.errors import ConfigurationError, TransformError
from evenstore.transform.window import US_PER_DAY, WindowGrain, day_start_us

__all__ = ["NO_INCIDENTS", "Incidents", "LateEvents", "Outage", "load_incidents"]

_HINT = (
    'the form: {"outages": [{"since": "2011-03-05T02:00:00Z", "until": "..."}], '
    '"late_events": [{"since": "...", "until": "...", "arrived": "..."}]}; each instant has a zone'
)


@dataclass(frozen=True, slots=True)
class Outage:
    """Nothing was published in `[since_us, until_us)`; what was due then came at its end."""

    since_us: int
    until_us: int


@dataclass(frozen=True, slots=True)
class LateEvents:
    """Events of `[since_us, until_us)` that no run before `arrived_us` saw."""

    since_us: int
    until_us: int
    arrived_us: int


@dataclass(frozen=True, slots=True)
class Incidents:
    """All incidents of a source.

    Attributes:
        outages: Ascending and apart from each other.
        late_events: Ascending, and none begins before the day is over on which the one before it
            arrived; no outage lies between the beginning and that end.
    """

    outages: tuple[Outage, ...]
    late_events: tuple[LateEvents, ...]

    def outages_of(self, day: date, *, delay_us: int) -> tuple[Outage, ...]:
        """Return the outages in which rows of a day's windows were due."""
        first_us = day_start_us(day) + delay_us
        last_us = first_us + US_PER_DAY
        return tuple(
            outage
            for outage in self.outages
            if outage.since_us <= last_us and first_us < outage.until_us
        )

    def late_events_of(self, day: date, grain: WindowGrain, *, delay_us: int) -> LateEvents | None:
        """Return the late events that a run of this day should have seen and did not."""
        start_us = day_start_us(day)
        first_run_us = start_us + grain.length_us + delay_us
        for late in self.late_events:
            if late.since_us < start_us + US_PER_DAY and first_run_us < late.arrived_us:
                return late
        return None


NO_INCIDENTS = Incidents((), ())
"""Every run was on time and saw every event."""


def load_incidents(path: Path) -> Incidents:
    """Read a file of incidents.

    Raises:
        TransformError: The file cannot be read or is not in its form, an instant has no zone, an
            incident ends before it begins, or two incidents touch each other.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        msg = f"cannot read the incidents `{path}`: {exc}"
        raise TransformError(msg, hint=_HINT) from exc
    try:
        outages = sorted(_outages(document["outages"]), key=lambda outage: outage.since_us)
        events = sorted(_late_events(document["late_events"]), key=lambda late: late.since_us)
    except ConfigurationError as exc:
        msg = f"`{path}`: {exc.message}"
        raise TransformError(msg, hint=_HINT) from exc
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        msg = f"`{path}` is not a file of incidents: {exc!r}"
        raise TransformError(msg, hint=_HINT) from exc
    unknown = sorted(set(document) - {"outages", "late_events"})
    if unknown:
        msg = f"`{path}`: unknown entries {', '.join(unknown)}"
        raise TransformError(msg, hint=_HINT)
    _check_order(path, events)
    _check_apart(path, outages, events)
    return Incidents(tuple(outages), tuple(events))


def _outages(entries: Any) -> Iterator[Outage]:
    for entry in entries:
        yield Outage(_instant_us(entry["since"]), _instant_us(entry["until"]))


def _late_events(entries: Any) -> Iterator[LateEvents]:
    for entry in entries:
        instants = (_instant_us(entry[name]) for name in ("since", "until", "arrived"))
        yield LateEvents(*instants)


def _instant_us(text: str) -> int:
    return datetime_to_us(datetime.fromisoformat(text))


def _check_order(path: Path, events: list[LateEvents]) -> None:
    free_us = 0
    for late in events:
        if not free_us <= late.since_us < late.until_us <= late.arrived_us:
            msg = f"`{path}`: the late events since {format_us(late.since_us)} are out of order"
            raise TransformError(
                msg,
                hint="since < until <= arrived, and the next begin on a later day: windows of one "
                "day are computed without one batch of late events at most",
            )
        free_us = _over_us(late)


def _check_apart(path: Path, outages: Sequence[Outage], events: Sequence[LateEvents]) -> None:
    free_us = 0
    for outage in outages:
        touches = any(
            late.since_us < outage.until_us and outage.since_us < _over_us(late) for late in events
        )
        if touches or not free_us <= outage.since_us < outage.until_us:
            msg = (
                f"`{path}`: the outage since {format_us(outage.since_us)} touches another incident"
            )
            raise TransformError(
                msg, hint="since < until, and leave a day after late events have arrived"
            )
        free_us = outage.until_us


def _over_us(late: LateEvents) -> int:
    """Return the end of the day on which late events arrived."""
    return (late.arrived_us // US_PER_DAY + 1) * US_PER_DAY
