"""What a comparison found: counts per feature and view, every difference, and the verdict.

Plain data; `parity.text` renders it for people and `parity.document` for machines.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from evenstore.dtypes import Dtype
from evenstore.schema.request import Column
from evenstore.semantics import Status
from parity.causes.finding import Finding
from parity.compare import Cell, CellColumn, Outcome, compare_columns
from parity.counts import Counts, StatusPair
from parity.statistics.features import FeatureStatistics, count_bit_equal, measure_feature
from parity.values import PlainValue
from parity.view_facts import ViewFacts, format_span
from parity.waivers.waiver import WaiverUse

if TYPE_CHECKING:
    from parity.golden import StratumCount
    from parity.outputs.previous import SincePrevious

__all__ = [
    "CheckedRows",
    "Counts",
    "Difference",
    "FeatureComparison",
    "Mode",
    "ParityReport",
    "Refusal",
    "Verdict",
    "attach_findings",
    "compare_feature",
]


_Member = TypeVar("_Member", bound=enum.Enum)


class Mode(enum.Enum):
    """How the two stores were compared."""

    LIVE = "live"
    GOLDEN = "golden"
    FULL = "full"
    AUDIT = "audit"


class Verdict(enum.Enum):
    """Whether parity holds."""

    PASSED = "passed"
    VIOLATED = "violated"


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The entity rows of a check, as both sides were asked.

    Attributes:
        columns: Entity columns and request data, by name.
        as_of_us: Per row, the instant that the gateway stated for it.
    """

    columns: Mapping[str, Sequence[PlainValue]]
    as_of_us: Sequence[int]

    def key(self, row_idx: int, names: Iterable[str]) -> dict[str, PlainValue]:
        """Return some columns of one row: what names it in a report."""
        return {name: self.columns[name][row_idx] for name in names}


@dataclass(frozen=True, slots=True)
class Difference:
    """One cell in which the sides disagree.

    Attributes:
        outcome: What the online cell is, relative to the offline one.
        view_name: The view, by the name it was asked for by.
        feature: The feature's name.
        dtype: Its declared type.
        row_idx: Position of the entity row in the golden set.
        entity_key: The columns that the view is looked up by; for an on-demand view also those
            of the request.
        as_of_us: The instant both sides answered for.
        offline: The offline answer.
        online: The online answer.
        finding: The one cause, with its evidence; None before causes were looked for.
        is_waived: Whether a waiver accepts the cause, so that the cell does not violate parity.
    """

    outcome: Outcome
    view_name: str
    feature: str
    dtype: Dtype
    row_idx: int
    entity_key: Mapping[str, PlainValue]
    as_of_us: int
    offline: Cell
    online: Cell
    finding: Finding | None = None
    is_waived: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entity row that the gateway would not answer for.

    Attributes:
        row_idx: Position of the entity row in the golden set.
        entity_key: Entity columns and request data of the row.
        code: The gateway's stable error code.
        message: What the gateway said.
    """

    row_idx: int
    entity_key: Mapping[str, PlainValue]
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FeatureComparison:
    """All cells of one feature of the answer.

    Attributes:
        view_name: The view, by the name it was asked for by.
        feature: The feature's name.
        dtype: Its declared type.
        counts: All cells, counted; they decide the verdict.
        differences: Differing cells: all of them, or a sample where the mode bounds its memory.
        statistics: How far values differ; None where nobody measured.
    """

    view_name: str
    feature: str
    dtype: Dtype
    counts: Counts
    differences: tuple[Difference, ...]
    statistics: FeatureStatistics | None = None


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The whole result of one run, in any mode.

    Attributes:
        project: The Feast project.
        mode: How the stores were compared.
        subject: What was compared: a feature service, or in full mode a view.
        gateway: Base URL of the gateway that was asked; None where there was none.
        schema_fingerprint: Of the registry; empty where the repo is not compiled by us.
        is_clock_frozen: Whether the gateway answers for an instant that does not move.
        n_rows: Entity rows compared.
        first_as_of_us: The earliest instant that was compared.
        last_as_of_us: The latest.
        min_coverage: Coverage below this violates parity.
        features: In the order of the service.
        n_rows_asked: Entity rows asked for, where there may be fewer.
        seed: Of the golden set, where one was drawn.
        strata: What the golden set is made of.
        refusals: Entity rows without an online answer; each of their cells is UNANSWERED.
        view_facts: Freshness, instants and leaks, one entry per view that was read.
        waivers: What became of each declared waiver.
        allows_unknown_causes: Whether a waiver may accept the cause `unknown`.
        previous: What changed since a previous run, where one was given.
        other_violations: What violates parity beside differing cells, one sentence each.
        notes: What a reader must know and does not violate parity, one sentence each.
        sections: JSON-ready additions of a mode, by name (`impact`, ...).
    """

    project: str
    mode: Mode
    subject: str
    gateway: str | None
    schema_fingerprint: str
    is_clock_frozen: bool
    n_rows: int
    first_as_of_us: int
    last_as_of_us: int
    min_coverage: float
    features: tuple[FeatureComparison, ...]
    n_rows_asked: int | None = None
    seed: int | None = None
    strata: tuple[StratumCount, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    view_facts: tuple[ViewFacts, ...] = ()
    waivers: tuple[WaiverUse, ...] = ()
    allows_unknown_causes: bool = False
    previous: SincePrevious | None = None
    other_violations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sections: Mapping[str, object] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """Counts of the whole service."""
        return sum((feature.counts for feature in self.features), Counts())

    @property
    def views(self) -> dict[str, Counts]:
        """Counts per view, in the order of the service."""
        views: dict[str, Counts] = {}
        for feature in self.features:
            views[feature.view_name] = views.get(feature.view_name, Counts()) + feature.counts
        return views

    @property
    def differences(self) -> list[Difference]:
        """Every differing cell, by feature and then by entity row."""
        return [difference for feature in self.features for difference in feature.differences]

    @property
    def violations(self) -> list[str]:
        """Why parity is violated, one sentence each; empty when it holds."""
        total = self.total
        violations = []
        n_violating = total.n_differing - total.n_waived
        if n_violating:
            waived = f", beside {total.n_waived:,} that are waived" if total.n_waived else ""
            violations.append(f"{n_violating:,} of {total.n_compared:,} values differ{waived}")
        if total.n_unexplained and not self.allows_unknown_causes:
            unexplained = f"{total.n_unexplained:,} of {total.n_compared:,} values"
            violations.append(f"{unexplained} differ without a known cause")
        if total.coverage < self.min_coverage:
            violations.append(
                f"coverage is {total.coverage:.3f}, below the minimum of {self.min_coverage:g}"
            )
        violations += [problem for use in self.waivers for problem in use.problems]
        violations += [sentence for facts in self.view_facts for sentence in _broken(facts)]
        return [*violations, *self.other_violations]

    @property
    def verdict(self) -> Verdict:
        """Whether parity holds: nothing violates it."""
        return Verdict.VIOLATED if self.violations else Verdict.PASSED


def compare_feature(
    column: Column,
    rows: CheckedRows,
    *,
    key_columns: Sequence[str],
    offline: CellColumn,
    online: CellColumn,
    ambiguous: Sequence[bool],
) -> FeatureComparison:
    """Compare one feature for all entity rows and keep what differs.

    Args:
        column: The feature.
        rows: The entity rows, for the differences' keys and instants.
        key_columns: The columns that name a row of this feature's view.
        offline: The offline cells, one per entity row.
        online: The online cells, one per entity row.
        ambiguous: Per row, whether the winning row is tied.

    Raises:
        ValueError: The columns differ in length.
    """
    outcomes = compare_columns(offline, online)
    differences = [
        Difference(
            outcome=outcome,
            view_name=column.view_name,
            feature=column.field.name,
            dtype=column.field.dtype,
            row_idx=row_idx,
            entity_key=rows.key(row_idx, key_columns),
            as_of_us=rows.as_of_us[row_idx],
            offline=offline.cell(row_idx),
            online=online.cell(row_idx),
        )
        for row_idx, outcome in enumerate(outcomes)
        if outcome is not Outcome.MATCH and not outcome.is_agreement
    ]
    has_values = zip(_has_values(offline, column), _has_values(online, column), strict=True)
    counts = Counts(
        n_compared=len(outcomes),
        n_non_null=sum(has_offline or has_online for has_offline, has_online in has_values),
        n_ambiguous=sum(ambiguous),
        by_outcome=_count_members(outcomes),
        n_bit_equal=count_bit_equal(offline.values, online.values),
        statuses=_count_pairs(offline.statuses, online.statuses),
    )
    dtype = column.field.dtype
    statistics = measure_feature(dtype, offline, online, outcomes)
    return FeatureComparison(
        column.view_name, column.field.name, dtype, counts, tuple(differences), statistics
    )


def attach_findings(report: ParityReport, findings: Sequence[Finding]) -> ParityReport:
    """Give each difference its cause, and count the causes.

    Args:
        report: Without causes.
        findings: One per difference, in the order of `report.differences`.

    Raises:
        ValueError: There are more or fewer findings than differences.
    """
    pairs = iter([*zip(report.differences, findings, strict=True)])
    features = []
    for feature in report.features:
        found = [next(pairs) for _ in feature.differences]
        differences = tuple(replace(cell, finding=finding) for cell, finding in found)
        by_cause = Counter(finding.cause for _, finding in found)
        counts = replace(feature.counts, by_cause=by_cause)
        features.append(replace(feature, counts=counts, differences=differences))
    return replace(report, features=tuple(features))


def _count_members(members: Sequence[_Member]) -> Counter[_Member]:
    """Count members of an enum by identity: hashing one is a call of Python code each time."""
    counted = Counter(map(id, members))
    by_id = {id(member): member for member in members}
    return Counter({by_id[key]: n for key, n in counted.items()})


def _count_pairs(
    offline: Sequence[Status | None], online: Sequence[Status | None]
) -> Counter[StatusPair]:
    counted = Counter(zip(map(id, offline), map(id, online), strict=True))
    by_id = {id(status): status for status in (*Status, None)}
    return Counter({(by_id[one], by_id[other]): n for (one, other), n in counted.items()})


def _has_values(cells: CellColumn, column: Column) -> list[bool]:
    """Tell in which cells a side has a value of its own: a declared default is none."""
    if column.default_json is None:
        return [value is not None for value in cells.values]
    return [status is Status.PRESENT for status in cells.statuses]


def _broken(facts: ViewFacts) -> Iterator[str]:
    if facts.instants is not None and facts.instants.n_future:
        yield (
            f"{facts.view_name}: {facts.instants.n_future:,} entity rows got a row from after the"
            " instant asked for"
        )
    if not facts.keeps_promise:
        promised = f"{facts.view_name} promises to lag by {format_span(facts.promise_us)} at most"
        lags = (
            "was never materialized"
            if facts.lag_us is None
            else (f"lags by {format_span(facts.lag_us)}")
        )
        yield f"{promised} and {lags}"
