"""The third side: what a golden set expects, which neither store has made today.

Both stores share code: a fault in it gives the same wrong value twice, and comparing the two finds
nothing. Values that were frozen, and reviewed, when the golden set was built do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evenstore.clock import format_us
from parity.compare import Cell, CellColumn, Outcome, compare_columns
from parity.golden_set.golden_file import FrozenFeature, GoldenFile
from parity.values import format_value, to_json

__all__ = ["FrozenComparison", "FrozenDifference", "compare_with_frozen"]


@dataclass(frozen=True, slots=True)
class FrozenDifference:
    """A cell in which a store's answer is not the expected one.

    Attributes:
        side: `offline` or `online`.
        outcome: What the answer is, relative to the expected one.
        feature: As references name it.
        row_idx: Position of the entity row in the golden set.
        as_of_us: Its instant.
        expected: The frozen cell.
        found: The side's cell.
    """

    side: str
    outcome: Outcome
    feature: str
    row_idx: int
    as_of_us: int
    expected: Cell
    found: Cell

    def to_json(self) -> dict[str, object]:
        """Return the difference as a report carries it."""
        return {
            "side": self.side,
            "outcome": self.outcome.value,
            "feature": self.feature,
            "row_idx": self.row_idx,
            "as_of_us": self.as_of_us,
            "expected": _cell(self.expected),
            "found": _cell(self.found),
        }


@dataclass(frozen=True, slots=True)
class FrozenComparison:
    """Both sides against the frozen values; `n_compared` counts cells of one side."""

    n_compared: int
    differences: tuple[FrozenDifference, ...]

    def violations(self, golden: GoldenFile) -> tuple[str, ...]:
        """Say what violates parity: one sentence per feature and side, with the first cell."""
        firsts: dict[tuple[str, str], FrozenDifference] = {}
        counts: dict[tuple[str, str], int] = {}
        for difference in self.differences:
            place = difference.feature, difference.side
            firsts.setdefault(place, difference)
            counts[place] = counts.get(place, 0) + 1
        return tuple(
            f"{feature}: {counts[feature, side]:,} {side} values differ from the frozen ones; "
            f"first at {_where(golden, first)}: expected {_told(first.expected)}, "
            f"{side} {_told(first.found)}"
            for (feature, side), first in firsts.items()
        )


def compare_with_frozen(
    golden: GoldenFile, offline: Sequence[CellColumn], online: Sequence[CellColumn]
) -> FrozenComparison | None:
    """Compare both sides with the frozen values; None where there are none."""
    if not golden.is_frozen:
        return None
    differences = [
        difference
        for feature, offline_cells, online_cells in zip(
            golden.features, offline, online, strict=True
        )
        for side, cells in (("offline", offline_cells), ("online", online_cells))
        for difference in _differences(feature, side, cells, golden.as_of_us)
    ]
    return FrozenComparison(golden.n_rows * len(golden.features), tuple(differences))


def _differences(
    feature: FrozenFeature, side: str, cells: CellColumn, as_of_us: Sequence[int]
) -> Iterator[FrozenDifference]:
    if feature.expected is None:
        return
    for row_idx, outcome in enumerate(compare_columns(feature.expected, cells)):
        if not outcome.is_agreement:
            yield FrozenDifference(
                side=side,
                outcome=outcome,
                feature=feature.name,
                row_idx=row_idx,
                as_of_us=as_of_us[row_idx],
                expected=feature.expected.cell(row_idx),
                found=cells.cell(row_idx),
            )


def _where(golden: GoldenFile, difference: FrozenDifference) -> str:
    row_idx = difference.row_idx
    key = ", ".join(
        f"{name}={format_value(golden.columns[name][row_idx])}" for name in golden.columns
    )
    return f"{key} as of {format_us(difference.as_of_us)}"


def _told(cell: Cell) -> str:
    status = "unanswered" if cell.status is None else cell.status.name
    return f"{format_value(cell.value)} ({status})"


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "value": to_json(cell.value),
        "status": None if cell.status is None else cell.status.name,
        "event_us": cell.event_us,
    }
