"""What a comparison found: counts per feature and view, every difference, and the verdict.

Plain data; `parity.text` renders it for people and `parity.document` for machines.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evenstore.dtypes import Dtype
from evenstore.schema.request import Column
from evenstore.semantics import Status
from parity.compare import Cell, CellColumn, Outcome, compare_columns
from parity.golden import StratumCount
from parity.values import PlainValue

__all__ = [
    "CheckedRows",
    "Counts",
    "Difference",
    "FeatureComparison",
    "ParityReport",
    "Refusal",
    "Verdict",
    "compare_feature",
]


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
class Counts:
    """Cells of a feature, a view or a service, counted.

    Attributes:
        n_compared: All cells.
        n_non_null: Cells in which at least one side has a value.
        n_ambiguous: Cells whose winning row is tied within its snapshot. Both sides resolve such
            ties by the same rule, so they are compared like all others.
        by_outcome: How many cells have each outcome; they add up to `n_compared`.
    """

    n_compared: int = 0
    n_non_null: int = 0
    n_ambiguous: int = 0
    by_outcome: Counter[Outcome] = field(default_factory=Counter)

    @property
    def n_both_null(self) -> int:
        """Cells in which neither side has a value."""
        return self.n_compared - self.n_non_null

    @property
    def n_differing(self) -> int:
        """Cells in which the sides disagree, whatever the outcome."""
        return sum(n for outcome, n in self.by_outcome.items() if not outcome.is_agreement)

    @property
    def coverage(self) -> float:
        """Share of cells in which at least one side has a value; 0 when nothing was compared."""
        return self.n_non_null / self.n_compared if self.n_compared else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.n_compared + other.n_compared,
            self.n_non_null + other.n_non_null,
            self.n_ambiguous + other.n_ambiguous,
            self.by_outcome + other.by_outcome,
        )


@dataclass(frozen=True, slots=True)
class FeatureComparison:
    """All cells of one feature of the answer."""

    view_name: str
    feature: str
    dtype: Dtype
    counts: Counts
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class ParityReport:
    """The whole result of one check.

    Attributes:
        project: The Feast project.
        feature_service: What was compared.
        gateway: Base URL of the gateway that was asked.
        schema_fingerprint: Of the registry; the gateway has the same.
        is_clock_frozen: Whether the gateway answers for an instant that does not move.
        seed: Of the golden set.
        n_rows_asked: Entity rows asked for.
        n_rows: Entity rows drawn.
        first_as_of_us: The earliest instant that the gateway stated.
        last_as_of_us: The latest.
        min_coverage: Coverage below this violates parity.
        features: In the order of the service.
        strata: What the golden set is made of.
        refusals: Entity rows without an online answer; each of their cells is UNANSWERED.
    """

    project: str
    feature_service: str
    gateway: str
    schema_fingerprint: str
    is_clock_frozen: bool
    seed: int
    n_rows_asked: int
    n_rows: int
    first_as_of_us: int
    last_as_of_us: int
    min_coverage: float
    features: tuple[FeatureComparison, ...]
    strata: tuple[StratumCount, ...]
    refusals: tuple[Refusal, ...] = ()

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
        if total.n_differing:
            violations.append(f"{total.n_differing:,} of {total.n_compared:,} values differ")
        if total.coverage < self.min_coverage:
            violations.append(
                f"coverage is {total.coverage:.3f}, below the minimum of {self.min_coverage:g}"
            )
        return violations

    @property
    def verdict(self) -> Verdict:
        """Whether parity holds: no value differs and enough values were there to compare."""
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
        if not outcome.is_agreement
    ]
    n_non_null = sum(
        has_offline or has_online
        for has_offline, has_online in zip(
            _has_values(offline, column), _has_values(online, column), strict=True
        )
    )
    counts = Counts(len(outcomes), n_non_null, sum(ambiguous), Counter(outcomes))
    return FeatureComparison(
        column.view_name, column.field.name, column.field.dtype, counts, tuple(differences)
    )


def _has_values(cells: CellColumn, column: Column) -> list[bool]:
    """Tell in which cells a side has a value of its own: a declared default is none."""
    if column.default_json is None:
        return [value is not None for value in cells.values]
    return [status is Status.PRESENT for status in cells.statuses]
