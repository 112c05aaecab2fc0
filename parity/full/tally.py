"""Counts every cell of a full comparison, and keeps some of those that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from evenstore.schema.model import Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import Status
from parity.compare import Cell, Outcome
from parity.counts import Counts
from parity.full.figures import FeatureFigures
from parity.full.instants import InstantTally
from parity.full.outcomes import IS_AGREEMENT, OUTCOMES, FeatureOutcomes
from parity.full.rows import Places, Rows
from parity.report import Difference, FeatureComparison
from parity.values import PlainValue

__all__ = ["EntityKeys", "Tally"]

EntityKeys = Sequence[Sequence[PlainValue]]
"""Plain values of the join keys, in their order, one per entity."""

_N_STATUSES = max(Status) + 1


@dataclass(slots=True)
class _FeatureTally:
    feature: Field
    outcomes: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(OUTCOMES), np.int64)
    )
    statuses: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(_N_STATUSES**2, np.int64)
    )
    n_non_null: int = 0
    n_same_bits: int = 0
    n_kept: Counter[Outcome] = field(default_factory=Counter)
    kept: list[Difference] = field(default_factory=list)
    figures: FeatureFigures = field(init=False)

    def __post_init__(self) -> None:
        self.figures = FeatureFigures(self.feature.dtype)

    def count(self, offline: Rows, online: Rows, position: int, found: FeatureOutcomes) -> None:
        n_rows = len(offline)
        if found.numbers.any():  # The first outcome is MATCH.
            self.outcomes += np.bincount(found.numbers, minlength=len(OUTCOMES))
        else:
            self.outcomes[0] += n_rows
        pairs = offline.statuses[position] * np.int8(_N_STATUSES) + online.statuses[position]
        self.statuses += np.bincount(pairs, minlength=_N_STATUSES**2)
        is_null = offline.values[position].is_null & online.values[position].is_null
        self.n_non_null += n_rows - int(np.count_nonzero(is_null))
        self.n_same_bits += int(np.count_nonzero(found.same_bits))


class Tally:
    """Counts cells by feature.

    Args:
        read: The view and its features.
        as_of_us: The instant that both sides answer for.
        max_differences: Differing cells kept of each feature and outcome.
        promise_us: How old a served row may be by the view's own promise; None for none.

    Attributes:
        instants: The rows' event timestamps.
        n_rows: Entities counted so far.
        n_differing_rows: Those with a cell that is no agreement.
    """

    def __init__(
        self,
        read: ViewRead,
        *,
        as_of_us: int,
        max_differences: int,
        promise_us: int | None = None,
    ) -> None:
        self._read = read
        self.instants = InstantTally(as_of_us=as_of_us, promise_us=promise_us)
        self._as_of_us = as_of_us
        self._max_differences = max_differences
        self._features = [_FeatureTally(feature) for feature in read.features]
        self.n_rows = 0
        self.n_differing_rows = 0

    def add(self, offline: Rows, online: Rows, outcomes: Sequence[FeatureOutcomes]) -> None:
        """Count rows that agree in every cell."""
        if not len(offline):
            return
        for position, (tally, found) in enumerate(zip(self._features, outcomes, strict=True)):
            tally.count(offline, online, position, found)
            tally.figures.add_equal(offline.values[position])
        self.instants.add(offline, online)
        self.n_rows += len(offline)

    def add_differing(
        self,
        keys: EntityKeys,
        offline: Rows,
        online: Rows,
        outcomes: Sequence[FeatureOutcomes],
    ) -> None:
        """Count rows that differ, and keep differing cells as long as there are few.

        Args:
            keys: The entities.
            offline: Their offline rows.
            online: Their online rows.
            outcomes: What was found of each.
        """
        for position, (tally, found) in enumerate(zip(self._features, outcomes, strict=True)):
            for number in np.unique(found.numbers).tolist():
                outcome = OUTCOMES[number]
                room = self._max_differences - tally.n_kept[outcome]
                if outcome.is_agreement or room <= 0:
                    continue
                places = np.flatnonzero(found.numbers == number)[:room]
                tally.n_kept[outcome] += len(places)
                tally.kept += self._differences(
                    tally.feature, outcome, keys, places, (position, offline, online)
                )
            tally.count(offline, online, position, found)
            differs = ~IS_AGREEMENT[found.numbers]
            tally.figures.add(offline.values[position], online.values[position], differs)
        self.instants.add(offline, online)
        self.n_rows += len(offline)
        self.n_differing_rows += len(offline)

    def compared(self, *, n_ambiguous: int) -> tuple[FeatureComparison, ...]:
        """Return what was counted, one entry per feature.

        Args:
            n_ambiguous: Entities whose newest row is tied with another.
        """
        return tuple(
            FeatureComparison(
                view_name=self._read.output_name,
                feature=tally.feature.name,
                dtype=tally.feature.dtype,
                counts=self._counts(tally, n_ambiguous),
                differences=tuple(sorted(tally.kept, key=lambda kept: kept.row_idx)),
                statistics=tally.figures.measured(),
            )
            for tally in self._features
        )

    def _counts(self, tally: _FeatureTally, n_ambiguous: int) -> Counts:
        pairs = Counter[tuple[Status | None, Status | None]]()
        for pair in np.flatnonzero(tally.statuses).tolist():
            offline, online = (Status(number) for number in divmod(pair, _N_STATUSES))
            told = None if online is Status.INVALID else online
            pairs[offline, told] += int(tally.statuses[pair])
        by_outcome = zip(OUTCOMES, tally.outcomes.tolist(), strict=True)
        return Counts(
            n_compared=self.n_rows,
            n_non_null=tally.n_non_null,
            n_ambiguous=n_ambiguous,
            by_outcome=Counter({outcome: n for outcome, n in by_outcome if n}),
            n_bit_equal=tally.n_same_bits,
            statuses=pairs,
        )

    def _differences(
        self,
        feature: Field,
        outcome: Outcome,
        keys: EntityKeys,
        places: Places,
        sides: tuple[int, Rows, Rows],
    ) -> list[Difference]:
        position, offline, online = sides
        names = [key.name for key in self._read.view.join_keys]
        cells = zip(
            places.tolist(),
            _cells(offline, position, places),
            _cells(online, position, places),
            strict=True,
        )
        return [
            Difference(
                outcome=outcome,
                view_name=self._read.output_name,
                feature=feature.name,
                dtype=feature.dtype,
                row_idx=self.n_rows + place,
                entity_key=dict(zip(names, keys[place], strict=True)),
                as_of_us=self._as_of_us,
                offline=offline_cell,
                online=online_cell,
            )
            for place, offline_cell, online_cell in cells
        ]


def _cells(rows: Rows, position: int, places: Places) -> list[Cell]:
    """Make cells of some rows of a feature."""
    values = rows.values[position].plain(places)
    statuses = rows.statuses[position][places].tolist()
    event_us = rows.event_us[places].tolist()
    is_there = rows.is_there[places].tolist()
    cells = zip(values, statuses, event_us, is_there, strict=True)
    return [
        Cell(
            value,
            None if status == Status.INVALID else Status(status),
            event if is_stored else None,
        )
        for value, status, event, is_stored in cells
    ]
