"""How differing values move a model's scores, in total and by each cause and feature.

A cause's share is measured alone: the offline inputs with that cause's cells replaced by their
online values. Shares need not add up to the total, because a model's inputs act together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from evenstore.errors import ParityError
from evenstore.schema.request import Column, FeatureRequest
from parity.compare import CellColumn
from parity.impact.frame import model_column
from parity.impact.model import ImpactModel, Scores
from parity.report import CheckedRows, Difference, FeatureComparison

__all__ = ["ModelImpact", "Movement", "measure_impact"]


@dataclass(frozen=True, slots=True)
class Movement:
    """What some differing cells do to the scores.

    Attributes:
        n_moved: Rows whose score is another one.
        n_flipped: Rows whose decision is another one.
        mean_moved: Mean absolute change of the rows that moved; 0 without any.
        max_moved: The greatest absolute change.
    """

    n_moved: int = 0
    n_flipped: int = 0
    mean_moved: float = 0.0
    max_moved: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelImpact:
    """What all differing cells do to one model.

    Attributes:
        model: Its name.
        threshold: Score from which a decision is yes.
        n_rows: Entity rows.
        n_unscored: Rows without an online score, because Feast refused to answer.
        total: Of all differing cells together, among rows with an online score.
        by_cause: Of each cause alone, by its name.
        by_feature: Of each feature alone, by `view__feature`.
    """

    model: str
    threshold: float
    n_rows: int
    n_unscored: int
    total: Movement
    by_cause: Mapping[str, Movement] = field(default_factory=dict)
    by_feature: Mapping[str, Movement] = field(default_factory=dict)

    def to_document(self) -> dict[str, object]:
        """Return the impact as what JSON can hold."""
        return asdict(self)


def measure_impact(
    model: ImpactModel,
    request: FeatureRequest,
    rows: CheckedRows,
    *,
    offline: Sequence[CellColumn],
    online: Sequence[CellColumn],
    features: Iterable[FeatureComparison],
    threshold: float,
) -> ModelImpact:
    """Score both sides.

    Args:
        model: The model.
        request: What was compared.
        rows: The entity rows, for ages of timestamps.
        offline: The offline cells, in the order of the request.
        online: The online cells, in the order of the request.
        features: The differing cells with their causes.
        threshold: Score from which a decision is yes.

    Raises:
        ParityError: The request lacks an input of the model, or the model cannot score.
    """
    names = _inputs(model, request)
    inputs = {
        names[column]: position
        for position, column in enumerate(request.columns)
        if column in names
    }
    frames = [_frame(model, inputs, request, side, rows) for side in (offline, online)]
    is_scored = np.ones(len(rows.as_of_us), dtype=bool)
    for position in inputs.values():
        is_scored &= np.array([status is not None for status in online[position].statuses])
    truth = model.score(frames[0])
    differing = [
        (names[column], feature)
        for column, feature in zip(request.columns, features, strict=True)
        if column in names and feature.differences
    ]
    measure = _Measure(model, frames[0], frames[1], truth, is_scored, threshold)
    by_cause: dict[str, list[tuple[str, Difference]]] = {}
    for name, feature in differing:
        for difference in feature.differences:
            if difference.finding is not None:
                by_cause.setdefault(difference.finding.cause.value, []).append((name, difference))
    return ModelImpact(
        model=model.name,
        threshold=threshold,
        n_rows=len(rows.as_of_us),
        n_unscored=int((~is_scored).sum()),
        total=measure.of_frame(frames[1]) if differing else Movement(),
        by_cause={cause: measure.of_cells(cells) for cause, cells in sorted(by_cause.items())},
        by_feature={
            name: measure.of_cells([(name, cell) for cell in feature.differences])
            for name, feature in differing
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Measure:
    model: ImpactModel
    offline: Any
    online: Any
    truth: Scores
    is_scored: Any
    threshold: float

    def of_frame(self, frame: Any) -> Movement:
        return self._compare(self.model.score(frame))

    def of_cells(self, cells: Sequence[tuple[str, Difference]]) -> Movement:
        mixed = self.offline.copy()
        for name, difference in cells:
            at = difference.row_idx, mixed.columns.get_loc(name)
            mixed.iat[at] = self.online.iat[at]
        return self.of_frame(mixed)

    def _compare(self, scores: Scores) -> Movement:
        moved = np.abs(scores - self.truth)[self.is_scored]
        flipped = (scores >= self.threshold) != (self.truth >= self.threshold)
        n_moved = int((moved > 0).sum())
        return Movement(
            n_moved=n_moved,
            n_flipped=int(flipped[self.is_scored].sum()),
            mean_moved=float(moved[moved > 0].mean()) if n_moved else 0.0,
            max_moved=float(moved.max(initial=0.0)),
        )


def _inputs(model: ImpactModel, request: FeatureRequest) -> dict[Column, str]:
    """Find the model's inputs among what was compared, by full or else by short name."""
    full = {column.output_name(full_feature_names=True): column for column in request.columns}
    short = {column.field.name: column for column in request.columns}
    names: dict[Column, str] = {}
    for name in model.features:
        column = full.get(name) or short.get(name)
        if column is None:
            msg = f"model `{model.name}` takes `{name}`, which is not compared"
            raise ParityError(msg, hint="audit the feature service that it was trained on")
        names[column] = name
    return names


def _frame(
    model: ImpactModel,
    inputs: Mapping[str, int],
    request: FeatureRequest,
    cells: Sequence[CellColumn],
    rows: CheckedRows,
) -> Any:
    columns = {
        name: model_column(
            request.columns[inputs[name]].field.dtype, cells[inputs[name]].values, rows.as_of_us
        )
        for name in model.features
    }
    return pd.DataFrame(columns)
