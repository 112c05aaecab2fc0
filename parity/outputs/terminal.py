"""The report on a terminal: the same facts as `parity.text`, in tables and colours by Rich."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from parity.causes.finding import Cause
from parity.report import Difference, ParityReport, Verdict
from parity.text import (
    format_cell,
    format_changes,
    format_facts,
    format_heading,
    format_key,
    format_report,
    format_verdict,
)
from parity.view_facts import format_span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["prefers_tables", "print_report", "print_tables"]

_SHOWN = 20


def print_report(report: ParityReport, stream: TextIO) -> None:
    """Print the report: as tables on a terminal where Rich is installed, else as plain lines."""
    if prefers_tables(stream):
        from rich.console import Console

        print_tables(report, Console(file=stream))
        return
    for line in format_report(report):
        print(line, file=stream)


def prefers_tables(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that can show tables, and Rich is there to draw them."""
    is_terminal = stream.isatty() and os.environ.get("TERM", "") != "dumb"
    return is_terminal and importlib.util.find_spec("rich") is not None


def print_tables(report: ParityReport, console: Console) -> None:
    """Print the report as tables; the last line is the one that scripts may rely on."""
    for line in format_heading(report):
        _say(console, line)
    for refusal in report.refusals[:_SHOWN]:
        _say(console, f"refused {format_key(refusal.entity_key)} {refusal.code}", "red")
    if report.differences:
        console.print(_cells_table(report.differences[:_SHOWN]))
        n_more = report.total.n_differing - min(len(report.differences), _SHOWN)
        if n_more > 0:
            _say(console, f"... and {n_more:,} more", "dim")
    console.print(_views_table(report))
    if report.total.by_cause:
        console.print(_causes_table(report))
    for line, style in _sentences(report):
        _say(console, line, style)


def _sentences(report: ParityReport) -> Iterator[tuple[str, str]]:
    for facts in report.view_facts:
        style = "dim" if facts.keeps_promise else "red"
        yield from ((line, style) for line in format_facts(facts))
    yield from ((line, "") for line in format_changes(report))
    yield from ((f"note: {note}", "yellow") for note in report.notes)
    yield from ((f"violated: {violation}", "bold red") for violation in report.violations)
    is_passed = report.verdict is Verdict.PASSED
    yield format_verdict(report.total), "bold green" if is_passed else "bold red"


def _say(console: Console, line: str, style: str = "") -> None:
    # Keys and values may hold brackets, which Rich would read as its own markup.
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _table(*columns: str, numbers: int = 0) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i >= len(columns) - numbers else "left")
    return table


def _cells_table(differences: list[Difference]) -> Table:
    from rich.text import Text

    table = _table("feature", "entity key", "outcome", "offline", "online", "cause")
    for cell in differences:
        finding = cell.finding
        style = "dim" if cell.is_waived else ""
        texts = (
            f"{cell.view_name}:{cell.feature}",
            format_key(cell.entity_key),
            cell.outcome.value + (" (waived)" if cell.is_waived else ""),
            format_cell(cell.offline),
            format_cell(cell.online),
            "" if finding is None else f"{finding.cause.value}: {finding.because}",
        )
        table.add_row(*(Text(text, style=style) for text in texts))
    return table


def _views_table(report: ParityReport) -> Table:
    from rich.text import Text

    lags = {facts.view_name: facts.lag_us for facts in report.view_facts}
    table = _table(
        *("view", "compared", "non-null", "both null", "differing", "in tolerance", "waived"),
        *("ambiguous", "coverage", "lag"),
        numbers=9,
    )
    for name, counts in report.views.items():
        lag_us = lags.get(name)
        numbers = (
            *(f"{counts.n_compared:,}", f"{counts.n_non_null:,}", f"{counts.n_both_null:,}"),
            *(f"{counts.n_differing:,}", f"{counts.n_within_tolerance:,}"),
            *(f"{counts.n_waived:,}", f"{counts.n_ambiguous:,}", f"{counts.coverage:.3f}"),
            "" if lag_us is None else format_span(lag_us),
        )
        style = "red" if counts.n_differing > counts.n_waived else ""
        table.add_row(Text(name, style=style), *(Text(number, style=style) for number in numbers))
    return table


def _causes_table(report: ParityReport) -> Table:
    by_cause = report.total.by_cause
    table = _table("cause", "cells", numbers=1)
    for cause in sorted(by_cause, key=lambda cause: (-by_cause[cause], cause.value)):
        style = "bold red" if cause is Cause.UNKNOWN else ""
        table.add_row(cause.value, f"{by_cause[cause]:,}", style=style)
    return table
