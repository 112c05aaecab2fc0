"""The report as lines of text: each difference, counts per view, strata, and last the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evenstore.clock import format_us
from evenstore.semantics import Status
from parity.compare import Cell, Outcome
from parity.golden import StratumCount
from parity.report import Counts, Difference, ParityReport, Refusal
from parity.strata import Stratum
from parity.values import PlainValue, format_value

__all__ = ["format_difference", "format_report", "format_verdict"]

_SHOWN_DIFFERENCES = 50


def format_report(report: ParityReport, *, n_shown: int = _SHOWN_DIFFERENCES) -> Iterator[str]:
    """Give the report line by line.

    Args:
        report: What was found.
        n_shown: How many differing cells get a line of their own; the rest are counted.
    """
    yield from _format_heading(report)
    for lines in (
        [_format_refusal(refusal) for refusal in report.refusals],
        [format_difference(difference) for difference in report.differences],
    ):
        if lines:
            yield ""
            yield from lines[:n_shown]
        if len(lines) > n_shown:
            yield f"... and {len(lines) - n_shown:,} more; --json has all of them"
    yield ""
    yield from _format_counts(report)
    yield ""
    yield from _format_strata(report.strata)
    yield ""
    yield from (f"violated: {violation}" for violation in report.violations)
    yield format_verdict(report.total)


def format_difference(difference: Difference) -> str:
    """Say on one line which cell differs, what each side answers and as of which instant."""
    key = _format_key(difference.entity_key)
    return (
        f"{difference.outcome.value} {difference.view_name}:{difference.feature} {key}"
        f" offline={_format_cell(difference.offline)} online={_format_cell(difference.online)}"
    )


def format_verdict(total: Counts) -> str:
    """Say the result in the one line that scripts may rely on."""
    return (
        f"parity: {total.n_compared:,} values compared ({total.n_non_null:,} non-null),"
        f" {total.n_differing:,} mismatches"
    )


def _format_heading(report: ParityReport) -> Iterator[str]:
    yield f"`{report.feature_service}` of project `{report.project}` at {report.gateway}"
    span = format_us(report.first_as_of_us)
    if report.last_as_of_us != report.first_as_of_us:
        span += f" to {format_us(report.last_as_of_us)}"
    frozen = ", where the gateway's clock is frozen" if report.is_clock_frozen else ""
    yield f"as of {span}{frozen}"
    fewer = f" ({report.n_rows_asked:,} asked for)" if report.n_rows < report.n_rows_asked else ""
    yield f"{report.n_rows:,} entity rows{fewer}, seed {report.seed}"


def _format_refusal(refusal: Refusal) -> str:
    return f"refused {_format_key(refusal.entity_key)} {refusal.code}: {refusal.message}"


def _format_key(entity_key: Mapping[str, PlainValue]) -> str:
    return " ".join(f"{name}={format_value(value)}" for name, value in entity_key.items())


def _format_cell(cell: Cell) -> str:
    if cell.status is None:
        return "refused"
    if cell.status is Status.PRESENT:
        answer = format_value(cell.value)
    elif cell.value is None:
        answer = cell.status.name
    else:
        answer = f"{format_value(cell.value)} ({cell.status.name})"
    return answer if cell.event_us is None else f"{answer} @{format_us(cell.event_us)}"


def _format_counts(report: ParityReport) -> Iterator[str]:
    heading = (
        *("view", "compared", "non-null", "both null", "differing"),
        *("expired-absent", "ambiguous", "coverage"),
    )
    rows = [
        (
            name,
            f"{counts.n_compared:,}",
            f"{counts.n_non_null:,}",
            f"{counts.n_both_null:,}",
            f"{counts.n_differing:,}",
            f"{counts.by_outcome[Outcome.EXPIRED_ABSENT]:,}",
            f"{counts.n_ambiguous:,}",
            f"{counts.coverage:.3f}",
        )
        for name, counts in report.views.items()
    ]
    yield from _format_table(heading, rows)


def _format_strata(strata: Sequence[StratumCount]) -> Iterator[str]:
    views = list(dict.fromkeys(count.view_name for count in strata))
    cells = {(count.view_name, count.stratum): count for count in strata}
    yield "entity rows drawn (of entities known) per stratum"
    rows = [
        (name, *(_format_stratum(cells[name, stratum]) for stratum in Stratum)) for name in views
    ]
    yield from _format_table(("view", *(stratum.value for stratum in Stratum)), rows)
    for name in views:
        empty = [stratum.value for stratum in Stratum if cells[name, stratum].n_rows == 0]
        if empty:
            yield f"not covered: {name} has no {', '.join(empty)} entity rows"


def _format_stratum(count: StratumCount) -> str:
    if count.stratum is Stratum.UNKNOWN:
        return f"{count.n_rows:,}"
    return f"{count.n_rows:,} ({count.n_entities:,})"


def _format_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = [heading, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    for first, *others in table:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells)
