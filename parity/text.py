"""The report as lines of text: each difference, counts per view, strata, and last the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evenstore.clock import format_us
from evenstore.semantics import Status
from parity.compare import Cell, Outcome
from parity.counts import Counts
from parity.golden import StratumCount
from parity.report import Difference, ParityReport, Refusal
from parity.strata import Boundary, Stratum
from parity.values import PlainValue, format_value
from parity.view_facts import ViewFacts, format_span

__all__ = [
    "format_cell",
    "format_changes",
    "format_difference",
    "format_facts",
    "format_heading",
    "format_key",
    "format_report",
    "format_verdict",
]

_SHOWN_DIFFERENCES = 50


def format_report(report: ParityReport, *, n_shown: int = _SHOWN_DIFFERENCES) -> Iterator[str]:
    """Give the report line by line.

    Args:
        report: What was found.
        n_shown: How many differing cells get a line of their own; the rest are counted.
    """
    yield from format_heading(report)
    yield from _format_cells(report, n_shown)
    yield ""
    yield from _format_counts(report)
    yield ""
    for lines in (
        list(_format_causes(report)),
        [sentence for facts in report.view_facts for sentence in format_facts(facts)],
        list(_format_strata(report.strata)),
        list(format_changes(report)),
    ):
        if lines:
            yield from lines
            yield ""
    yield from (f"note: {note}" for note in report.notes)
    yield from (f"violated: {violation}" for violation in report.violations)
    yield format_verdict(report.total)


def format_heading(report: ParityReport) -> Iterator[str]:
    """Say what was compared, as of when, and over how many entity rows."""
    where = "" if report.gateway is None else f" at {report.gateway}"
    yield f"`{report.subject}` of project `{report.project}`{where}"
    span = format_us(report.first_as_of_us)
    if report.last_as_of_us != report.first_as_of_us:
        span += f" to {format_us(report.last_as_of_us)}"
    frozen = ", where the gateway's clock is frozen" if report.is_clock_frozen else ""
    yield f"as of {span}{frozen}"
    asked = report.n_rows_asked
    fewer = "" if asked is None or asked <= report.n_rows else f" ({asked:,} asked for)"
    seed = "" if report.seed is None else f", seed {report.seed}"
    yield f"{report.n_rows:,} entity rows{fewer}{seed}"


def format_difference(difference: Difference) -> str:
    """Say on one line which cell differs, what each side answers, as of which instant, and why."""
    finding = difference.finding
    cause = "" if finding is None else f" [{finding.cause.value}: {finding.because}]"
    waived = " (waived)" if difference.is_waived else ""
    return (
        f"{difference.outcome.value}{waived} {difference.view_name}:{difference.feature}"
        f" {format_key(difference.entity_key)}"
        f" offline={format_cell(difference.offline)} online={format_cell(difference.online)}{cause}"
    )


def format_verdict(total: Counts) -> str:
    """Say the result in the one line that scripts may rely on."""
    return (
        f"parity: {total.n_compared:,} values compared ({total.n_non_null:,} non-null),"
        f" {total.n_differing:,} mismatches"
    )


def format_key(entity_key: Mapping[str, PlainValue]) -> str:
    """Say an entity key as `name=value`, separated by blanks."""
    return " ".join(f"{name}={format_value(value)}" for name, value in entity_key.items())


def format_cell(cell: Cell) -> str:
    """Say what one side answers: value or status, and the event timestamp."""
    if cell.status is None:
        return "refused"
    if cell.status is Status.PRESENT:
        answer = format_value(cell.value)
    elif cell.value is None:
        answer = cell.status.name
    else:
        answer = f"{format_value(cell.value)} ({cell.status.name})"
    return answer if cell.event_us is None else f"{answer} @{format_us(cell.event_us)}"


def format_facts(facts: ViewFacts) -> Iterator[str]:
    """Say how far a view is loaded, what is due, and what was not known in time."""
    if facts.watermark_us is not None:
        said = f"{facts.view_name}: loaded up to {format_us(facts.watermark_us)}"
        said += f", {format_span(facts.lag_us)} ago"
        if facts.promise_us is not None:
            said += f" ({format_span(facts.promise_us)} promised)"
        if facts.n_entities_beyond_watermark:
            said += f"; {facts.n_entities_beyond_watermark:,} entities have later rows to load"
        yield said
    elif facts.promise_us is not None:
        yield f"{facts.view_name}: never materialized"
    yield from (f"{facts.view_name}: {sentence}" for sentence in facts.schema_skew)
    if facts.n_leaked:
        yield (
            f"{facts.view_name}: for {facts.n_leaked:,} entity rows the newest row was not known"
            " yet: training on `latest_truth` would leak it"
        )


def _format_cells(report: ParityReport, n_shown: int) -> Iterator[str]:
    for lines, n_all in (
        ([_format_refusal(refusal) for refusal in report.refusals], len(report.refusals)),
        (
            [format_difference(difference) for difference in report.differences],
            report.total.n_differing,
        ),
    ):
        if lines:
            yield ""
            yield from lines[:n_shown]
        n_more = n_all - min(len(lines), n_shown)
        if n_more > 0:
            all_kept = "; --json has all of them" if n_all == len(lines) else ""
            yield f"... and {n_more:,} more{all_kept}"


def _format_refusal(refusal: Refusal) -> str:
    return f"refused {format_key(refusal.entity_key)} {refusal.code}: {refusal.message}"


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


def _format_causes(report: ParityReport) -> Iterator[str]:
    total = report.total
    for cause in sorted(total.by_cause, key=lambda cause: (-total.by_cause[cause], cause.value)):
        yield f"cause {cause.value}: {total.by_cause[cause]:,} cells"
    for use in report.waivers:
        waiver = use.waiver
        if not use.is_compared:
            yield f"waiver of `{waiver.name}`: not compared here"
        elif not use.problems:
            yield (
                f"waiver of `{waiver.name}` until {waiver.expires} ({waiver.owner}:"
                f" {waiver.reason}): {use.n_within_tolerance:,} within tolerance,"
                f" {use.n_waived:,} waived"
            )


def format_changes(report: ParityReport) -> Iterator[str]:
    """Say what changed since the previous run, where one was given."""
    previous = report.previous
    if previous is None:
        return
    other = "" if previous.has_same_rows else ", over other entity rows"
    yield (
        f"since the previous run ({previous.verdict}{other}): {previous.n_new:,} new,"
        f" {previous.n_fixed:,} fixed, {previous.n_still:,} still there"
    )


def _format_strata(strata: Sequence[StratumCount]) -> Iterator[str]:
    if not strata:
        return
    views = list(dict.fromkeys(count.view_name for count in strata))
    cells = {(count.view_name, count.stratum): count for count in strata}
    yield "entity rows drawn (of entities known) per stratum"
    kinds = [kind for kind in (*Stratum, *Boundary) if any((view, kind) in cells for view in views)]
    rows = [
        (view, *(_format_stratum(cells.get((view, stratum))) for stratum in kinds))
        for view in views
    ]
    yield from _format_table(("view", *(stratum.value for stratum in kinds)), rows)
    for view in views:
        drawn = {stratum for stratum in kinds if (view, stratum) in cells}
        empty = [kind.value for kind in kinds if kind in drawn and not cells[view, kind].n_rows]
        if empty:
            yield f"not covered: {view} has no {', '.join(empty)} entity rows"


def _format_stratum(count: StratumCount | None) -> str:
    if count is None:
        return ""
    # Nobody knows how many there are: of unknown entities, and of boundaries, one can make any.
    if count.stratum is Stratum.UNKNOWN or isinstance(count.stratum, Boundary):
        return f"{count.n_rows:,}"
    return f"{count.n_rows:,} ({count.n_entities:,})"


def _format_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    table = [heading, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    for first, *others in table:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells)
