"""The report as Markdown, for the summary page of a CI job or a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evenstore.clock import format_us
from evenstore.whole_file import whole_file
from parity.causes.finding import Cause
from parity.report import Difference, ParityReport, Verdict
from parity.statistics.intervals import estimate_rate
from parity.text import format_cell, format_key
from parity.view_facts import format_span

__all__ = ["render_markdown", "write_markdown"]

_SHOWN = 20
# Look-alikes: inside code nothing can be escaped.
_BACKTICK, _BAR = "\u02bb", "\u2502"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")


def render_markdown(report: ParityReport) -> str:
    """Render the verdict, counts per view, causes and the first differing cells."""
    return "\n".join(_lines(report)) + "\n"


def write_markdown(report: ParityReport, path: Path) -> None:
    """Write the Markdown; with `$GITHUB_STEP_SUMMARY` it becomes the step's summary.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(render_markdown(report), encoding="utf-8")


def _lines(report: ParityReport) -> Iterator[str]:
    total = report.total
    sign = "✅" if report.verdict is Verdict.PASSED else "❌"
    yield f"## {sign} Parity {report.verdict.value}: {_code(report.subject)}"
    yield ""
    until = format_us(report.last_as_of_us)
    yield (
        f"Project {_code(report.project)}, mode {report.mode.value}, {report.n_rows:,} entity rows"
        f" as of {until}. **{total.n_compared:,} values compared ({total.n_non_null:,} non-null),"
        f" {total.n_differing:,} mismatches**; with 95 % confidence at most"
        f" {estimate_rate(total.n_differing, total.n_compared).high:.3%} differ."
    )
    for sentence in report.violations:
        yield f"* **violated:** {_escape(sentence)}"
    for sentence in report.notes:
        yield f"* {_escape(sentence)}"
    yield ""
    yield from _views(report)
    yield from _causes(report)
    yield from _cells(report)
    yield from _previous(report)


def _views(report: ParityReport) -> Iterator[str]:
    facts = {facts.view_name: facts for facts in report.view_facts}
    rows = []
    for name, counts in report.views.items():
        lag_us = facts[name].lag_us if name in facts else None
        rows.append(
            (
                _code(name),
                f"{counts.n_compared:,}",
                f"{counts.n_non_null:,}",
                f"{counts.n_differing:,}",
                f"{counts.n_within_tolerance:,}",
                f"{counts.n_waived:,}",
                f"{counts.coverage:.3f}",
                "" if lag_us is None else format_span(lag_us),
            )
        )
    heading = ("view", "compared", "non-null", "differing", "in tolerance", "waived", "coverage")
    yield from _table((*heading, "lag"), rows)


def _causes(report: ParityReport) -> Iterator[str]:
    by_cause = report.total.by_cause
    if not by_cause:
        return
    rows = [
        (_code(cause.value), f"{by_cause[cause]:,}", _example(report, cause))
        for cause in sorted(by_cause, key=lambda cause: (-by_cause[cause], cause.value))
    ]
    yield "### Causes"
    yield ""
    yield from _table(("cause", "cells", "for example"), rows)


def _example(report: ParityReport, cause: Cause) -> str:
    found = (cell.finding for cell in report.differences if cell.finding is not None)
    return next((_escape(finding.because) for finding in found if finding.cause is cause), "")


def _cells(report: ParityReport) -> Iterator[str]:
    differences = report.differences
    if not differences:
        return
    yield "### Differing cells"
    yield ""
    heading = ("feature", "entity key", "outcome", "cause", "offline", "online")
    yield from _table(heading, [_cell_row(cell) for cell in differences[:_SHOWN]])
    n_more = report.total.n_differing - min(len(differences), _SHOWN)
    if n_more > 0:
        yield f"... and {n_more:,} more."
        yield ""
    command = next((c.finding.command for c in differences if c.finding and c.finding.command), "")
    if command:
        yield "To reproduce the first:"
        yield ""
        yield from (f"    {line}" for line in command.splitlines())
        yield ""


def _cell_row(difference: Difference) -> tuple[str, ...]:
    finding = difference.finding
    return (
        _code(f"{difference.view_name}:{difference.feature}"),
        _escape(format_key(difference.entity_key)),
        difference.outcome.value + (" (waived)" if difference.is_waived else ""),
        "" if finding is None else finding.cause.value,
        _escape(format_cell(difference.offline)),
        _escape(format_cell(difference.online)),
    )


def _previous(report: ParityReport) -> Iterator[str]:
    previous = report.previous
    if previous is None:
        return
    yield (
        f"Since the previous run ({previous.verdict}): **{previous.n_new:,} new**,"
        f" {previous.n_fixed:,} fixed, {previous.n_still:,} still there."
    )
    yield ""


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heading)} |"
    yield f"|{'|'.join(['---'] * len(heading))}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _escape(text: str) -> str:
    """Keep text from being read as Markdown or HTML, or from leaving its table cell."""
    return _SPECIAL.sub(r"\\\1", _on_one_line(text))


def _code(text: str) -> str:
    return f"`{_on_one_line(text).replace('`', _BACKTICK).replace('|', _BAR)}`"


def _on_one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
