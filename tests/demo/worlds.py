"""Random worlds of invoice lines and of incidents, drawn where the edges are, dirt included."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from hypothesis import strategies as st

from evenstore.clock import datetime_to_us
from evenstore.transform.incidents import NO_INCIDENTS, Incidents, LateEvents, Outage
from evenstore.transform.window import US_PER_DAY, day_start_us
from tests.demo.lines import instant, line

__all__ = ["CODES", "CUSTOMERS", "incidents_on", "instants_on", "lines_on", "worlds_of"]

CUSTOMERS = [1, 2, 3]
CODES = ["10001", "10002A", "10003"]
"""Few, so that lines meet."""

# Both sides of midnights and hours, and twice in one hour.
_TIMES = ["00:00", "00:59", "01:00", "10:15", "10:45", "11:00", "11:30", "23:29", "23:59"]
# Where the windows of 7, 30 and 90 days begin, counted back from the first day asked for.
_EARLIER_DAYS = [1, 6, 7, 8, 29, 30, 31, 89, 90, 91]
_US_PER_HOUR = 3_600_000_000


@st.composite
def instants_on(draw: st.DrawFn, days: Sequence[date]) -> datetime:
    """Draw an instant, without zone, of one of these days."""
    return datetime.combine(
        draw(st.sampled_from(days)), time.fromisoformat(draw(st.sampled_from(_TIMES)))
    )


@st.composite
def lines_on(draw: st.DrawFn, days: Sequence[date]) -> dict[str, Any]:
    """Draw a sale, a return or dirt; few invoice numbers, so that lines share them."""
    is_return = draw(st.integers(0, 4)) == 0
    is_odd = draw(st.integers(0, 14)) == 0
    units = draw(st.sampled_from([1, 2, 7, 30]))
    return line(
        f"{'C' if is_return else ''}{draw(st.integers(1, 6))}",
        draw(instants_on(days)).isoformat(),
        customer=draw(st.sampled_from([*CUSTOMERS, 1, None])),
        code=draw(st.sampled_from([*CODES, "10001", "10002a", " 10003", "POST"])),
        quantity=-units if is_return is not is_odd else units,
        price=draw(st.sampled_from([2.5, 1.1, 0.333, 0.0])),
        country=draw(st.sampled_from(["United Kingdom", "EIRE"])),
    )


@st.composite
def worlds_of(draw: st.DrawFn, days: Sequence[date], *, n_lines: int = 40) -> list[dict[str, Any]]:
    """Draw a world: most lines on these days, the others where older windows begin and end."""
    older = [days[0] - timedelta(days=n) for n in _EARLIER_DAYS]
    drawn = st.lists(lines_on([*days, *days, *older]), min_size=5, max_size=n_lines)
    # A sale on every second day keeps worlds from being empty.
    always = [
        line(f"9{i}", f"{day}T10:30", customer=1 + i % 3, code=CODES[i % 3], quantity=3)
        for i, day in enumerate(days[::2])
    ]
    lines = [*always, *draw(drawn)]
    copies = draw(st.lists(st.sampled_from(lines), max_size=2))
    return [*lines, *copies]


@st.composite
def incidents_on(draw: st.DrawFn, days: Sequence[date]) -> Incidents:
    """Draw none, an outage, or late events that arrive up to two days after."""
    kind = draw(st.sampled_from(["none", "outage", "late events", "late events"]))
    if kind == "none":
        return NO_INCIDENTS
    day = draw(st.sampled_from(days[1:]))
    hours = st.integers(0, 23)
    if kind == "outage":
        since_us = day_start_us(day) + US_PER_DAY + draw(hours) * _US_PER_HOUR
        return Incidents((Outage(since_us, since_us + (1 + draw(hours)) * _US_PER_HOUR),), ())
    since_us = datetime_to_us(instant(draw(instants_on([day]))))
    until_us = since_us + (1 + draw(hours)) * _US_PER_HOUR
    arrived_us = until_us + 2 * draw(hours) * _US_PER_HOUR
    return Incidents((), (LateEvents(since_us, until_us, arrived_us),))
