"""Random invoice lines around the instants at which labels change, dirt included."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.demo.lines import line

__all__ = ["INSTANTS", "lines_around"]

_BASE = datetime.fromisoformat("2011-03-07T04:00")

INSTANTS = [
    _BASE + timedelta(days=days, minutes=minutes)
    for days in (-20, 0, 7, 40, 60, 67, 100, 127)
    for minutes in (-1, 0, 1)
]
"""Nights, their 60 days later, and a minute on both sides."""


@st.composite
def _line(draw: st.DrawFn) -> dict[str, Any]:
    slot = draw(st.integers(0, len(INSTANTS) - 1))
    is_cancellation = draw(st.booleans())
    # The number tells the minute, so that no invoice reaches over the instant of a cut.
    number = f"{'C' if is_cancellation else ''}{slot}{draw(st.integers(0, 1))}"
    units = draw(st.sampled_from([1, 2, 3, 5, 0]))
    is_odd = draw(st.integers(0, 9)) == 0
    return line(
        number,
        INSTANTS[slot].isoformat(),
        customer=draw(st.sampled_from([1, 1, 2, 2, None])),
        code=draw(st.sampled_from(["10001", "10001", "10002a", " 10002A", "POST"])),
        quantity=-units if is_cancellation is not is_odd else units,
        price=draw(st.sampled_from([1.1, 2.5, 0.333, 0.0])),
    )


def lines_around(max_size: int = 25) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw lists of lines; the shop of customer 9 is always open, from long before on."""
    first = [
        line("0", "2010-12-01T08:26", customer=9),
        line("1", "2011-03-07T04:00", customer=9, code="10009"),
    ]
    return st.lists(_line(), max_size=max_size).map(lambda lines: [*first, *lines])
