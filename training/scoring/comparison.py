"""Two sides compared row by row: the bits of scores, the values and statuses of inputs.

Values are compared as the stores hold them, before they become a model's numbers: there an int64
above 2^53 is rounded, a list is its length, and null is NaN.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.client.answers import OnlineFeatures
from evenstore.client.values import Undecodable, decode_online, to_arrow
from evenstore.errors import TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from training.artefact import Artefact
from training.evaluation.metrics import Probabilities
from training.frame import feature_frame
from training.knowledge import differing_cells
from training.manifest import status_of

__all__ = [
    "FeatureDifference",
    "PlainInput",
    "RowDifference",
    "ScoreComparison",
    "compare_scores",
    "ulps_between",
]

PlainInput: TypeAlias = bool | int | float | str | list[Any] | None
"""An input as JSON can hold it: instants as ISO 8601 text, NaN and infinities as Python's text."""

_Flags: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FeatureDifference:
    """One input of the model that differs, as the stores hold it; None for null."""

    feature: str
    online_value: PlainInput
    offline_value: PlainInput
    online_status: str
    offline_status: str


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row whose score or inputs differ.

    Attributes:
        row_idx: Its place in the file, from 0.
        entity_row: What was asked for, as text by column.
        online_score: Of the gateway's vector.
        offline_score: Of the joined vector.
        ulps: How many float64 lie between the scores, one of them included.
        features: The inputs that differ.
    """

    row_idx: int
    entity_row: dict[str, str]
    online_score: float
    offline_score: float
    ulps: int
    features: tuple[FeatureDifference, ...]


@dataclass(frozen=True, slots=True)
class ScoreComparison:
    """What was compared and what differs.

    Attributes:
        n_inputs_not_null: Inputs, over all rows, that have a value on both sides; NaN is one.
        differences: Rows that differ in score or inputs, in order.
    """

    n_inputs_not_null: int
    differences: tuple[RowDifference, ...]


def compare_scores(
    artefact: Artefact, rows: pa.Table, answers: Sequence[OnlineFeatures], offline: pa.Table
) -> ScoreComparison:
    """Score both sides batch by batch and compare scores, inputs and the inputs' statuses.

    NaN equals NaN and differs from null; -0.0 differs from 0.0. NOT_FOUND online is equal to
    OUTSIDE_MAX_AGE offline, as an expired row need not be in the online store.

    Args:
        artefact: The model.
        rows: What was asked for.
        answers: The gateway's, one per batch; together as long as the rows.
        offline: The joined rows, with their status columns.

    Raises:
        TrainingError: The gateway's answer lacks a feature, or has a value of another type; or a
            value is infinite.
    """
    differences: list[RowDifference] = []
    features, start, n_not_null = artefact.record.features, 0, 0
    for answer in answers:
        as_of_us = np.full(len(answer), answer.as_of_us, dtype=np.int64)
        sides = (
            _online_table(answer, features),
            _offline_table(offline.slice(start, len(answer)), features),
        )
        frames = [feature_frame(table, features, as_of_us=as_of_us) for table in sides]
        scores = [artefact.score_frame(frame) for frame in frames]
        differing = {field.name: _differs(field.name, sides, frames) for field in features}
        n_not_null += sum(_count_not_null(field.name, sides) for field in features)
        differences += _differences(rows.slice(start, len(answer)), sides, differing, scores, start)
        start += len(answer)
    return ScoreComparison(n_not_null, tuple(differences))


def ulps_between(one: float, other: float) -> int:
    """Count the steps from one finite float64 to the next that lie between two; 0 when equal.

    0.0 and -0.0 are a step apart, as they differ in a bit.
    """
    return abs(_ordered(one) - _ordered(other))


def _ordered(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    # Negative floats count downwards from -1, so that neighbours have neighbouring numbers.
    return bits if bits >= 0 else -(bits + 2**63) - 1


def _online_table(answer: OnlineFeatures, features: tuple[Field, ...]) -> pa.Table:
    columns = {}
    for field in features:
        if field.name not in answer.values:
            msg = f"the gateway's answer lacks `{field.name}`"
            raise TrainingError(
                msg, hint="apply the registry and let the gateway load it, then retry"
            )
        statuses = answer.statuses[field.name]
        values = decode_online(field.dtype, answer.values[field.name], statuses)
        for value in values:
            if isinstance(value, Undecodable):
                msg = f"`{field.name}`: the gateway gave {value.raw} for {field.dtype.value}"
                raise TrainingError(
                    msg, hint="`evenstore-parity check` shows every value that is not as declared"
                )
        columns[field.name] = to_arrow(field.dtype, values)
        columns[status_of(field.name)] = pa.array([int(status) for status in statuses], pa.int8())
    return pa.table(columns)


def _offline_table(joined: pa.Table, features: tuple[Field, ...]) -> pa.Table:
    columns = {}
    for field in features:
        values, statuses = joined.column(field.name), joined.column(status_of(field.name))
        if field.dtype.is_float and not field.dtype.is_list:
            # JSON tells NaN from null beside PRESENT alone.
            is_nan = pc.fill_null(pc.is_nan(values), fill_value=False)
            is_folded = pc.and_(is_nan, pc.not_equal(statuses, int(Status.PRESENT)))
            values = pc.if_else(is_folded, pa.scalar(None, values.type), values)
        columns[field.name], columns[status_of(field.name)] = values, statuses
    return pa.table(columns)


def _differs(name: str, sides: Sequence[pa.Table], frames: Sequence[Any]) -> _Flags:
    values = differing_cells(*(side.column(name) for side in sides))
    online, offline = (side.column(status_of(name)).to_numpy() for side in sides)
    is_gone = (online == Status.NOT_FOUND) & (offline == Status.OUTSIDE_MAX_AGE)
    # The frame tells -0.0 from 0.0, which the columns do not.
    flags: _Flags = values | ((online != offline) & ~is_gone) | _differs_to_model(name, frames)
    return flags


def _differs_to_model(name: str, frames: Sequence[Any]) -> _Flags:
    online, offline = (frame[name] for frame in frames)
    if online.dtype == object:
        pairs = zip(online, offline, strict=True)
        return np.array([a != b for a, b in pairs], dtype=np.bool_)
    one, other = online.to_numpy(), offline.to_numpy()
    is_equal = one.view(np.int64) == other.view(np.int64)
    flags: _Flags = ~(is_equal | (np.isnan(one) & np.isnan(other)))
    return flags


def _count_not_null(name: str, sides: Sequence[pa.Table]) -> int:
    online, offline = (side.column(name).is_valid().to_numpy() for side in sides)
    return int((online & offline).sum())


def _differences(
    rows: pa.Table,
    sides: Sequence[pa.Table],
    differing: Mapping[str, _Flags],
    scores: Sequence[Probabilities],
    start: int,
) -> list[RowDifference]:
    is_any = scores[0].view(np.int64) != scores[1].view(np.int64)
    for flags in differing.values():
        is_any |= flags
    return [
        RowDifference(
            row_idx=start + int(i),
            entity_row={name: str(rows.column(name)[int(i)].as_py()) for name in rows.column_names},
            online_score=float(scores[0][i]),
            offline_score=float(scores[1][i]),
            ulps=ulps_between(float(scores[0][i]), float(scores[1][i])),
            features=tuple(
                _feature_difference(name, sides, int(i))
                for name, flags in differing.items()
                if flags[i]
            ),
        )
        for i in np.flatnonzero(is_any)
    ]


def _feature_difference(name: str, sides: Sequence[pa.Table], i: int) -> FeatureDifference:
    online, offline = (_plain(side.column(name)[i].as_py()) for side in sides)
    statuses = (Status(side.column(status_of(name))[i].as_py()).name for side in sides)
    return FeatureDifference(name, online, offline, *statuses)


def _plain(value: Any) -> PlainInput:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    plain: PlainInput = value
    return plain
