"""What stands in a cell of a report's table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from benchmarks.results import Spread

__all__ = [
    "DASH",
    "Measured",
    "failure_cell",
    "first_line",
    "ratio_text",
    "seconds_text",
    "spread_cell",
    "two_digits",
    "verdict_cell",
]

DASH = "-"


class Measured(Protocol):
    """What a contender did, or why it did not."""

    @property
    def status(self) -> str:
        """`ok`, or how its first failure ended."""
        ...

    @property
    def reason(self) -> str | None:
        """Of the failure."""
        ...


def spread_cell(spread: Spread | None, render: Callable[[float], str]) -> str:
    """Render a median, with the least and the greatest where they are not the same text."""
    if spread is None:
        return DASH
    low, high = render(spread.low), render(spread.high)
    return f"{render(spread.median)} ({low} to {high})" if low != high else render(spread.median)


def verdict_cell(measured: Spread | None, is_met: Callable[[float], bool]) -> str:
    """Say whether a demand is met, by the median and in every round."""
    if measured is None:
        return DASH
    if not is_met(measured.median):
        return "**no**"
    return "yes" if is_met(measured.low) and is_met(measured.high) else "yes, not in every round"


def failure_cell(result: Measured) -> str:
    """Say why there is nothing to show of a contender."""
    reason = first_line(result.reason or "not measured").replace("|", "/")
    return reason if result.status == "ok" else f"{result.status}: {reason}"


def first_line(text: str | None) -> str:
    """Return the first line of a text, maybe none."""
    return (text or "").partition("\n")[0]


def seconds_text(value: float) -> str:
    """Render seconds."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def two_digits(value: float) -> str:
    """Render a number with two digits after the point."""
    return f"{value:.2f}"


def ratio_text(value: float) -> str:
    """Render how many times as much one is."""
    return f"{value:.3g}"
