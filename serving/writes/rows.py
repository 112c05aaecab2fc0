"""A frame's rows of one view: checked, one per entity, ready to be encoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from evenstore.codec.feast_nested import round_to_float32
from evenstore.codec.feast_value import value_encoder
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.dtypes import Dtype
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin
from serving.writes.frame import Frame
from serving.writes.reading import FrameReading, refuse_future
from serving.writes.values import is_cells, to_array

__all__ = ["PushedRows", "RowColumns"]


@dataclass(frozen=True, slots=True)
class RowColumns:
    """Which columns of a frame rows of one view are made of.

    Attributes:
        view: The view; a column per join key and feature.
        event: The column of event timestamps.
        created: The column of created timestamps, if the view's source has one.
    """

    view: FeatureViewSchema
    event: str
    created: str | None


@dataclass(frozen=True, slots=True)
class PushedRows:
    """Checked rows of one view, in the frame's order.

    Attributes:
        view: The view.
        keys: Values of each join key.
        features: Values of each feature.
        event_us: Event timestamps.
        created_us: Created timestamps, None where a row has none.
    """

    view: FeatureViewSchema
    keys: list[list[Any]]
    features: list[list[Any]]
    event_us: list[int]
    created_us: list[int | None]

    @staticmethod
    def read(frame: Frame, columns: RowColumns, *, latest_us: int) -> PushedRows:
        """Check a frame against a view; columns that the view does not have are ignored.

        Args:
            frame: The frame.
            columns: What to read.
            latest_us: Latest event timestamp that is accepted.

        Raises:
            InvalidRequestError: Columns are missing, or hold what they must not; each is named with
                its first bad row.
            FutureRowError: A row is later than accepted.
        """
        reading = FrameReading(frame)
        view = columns.view
        keys = [reading.values(key.name, key.dtype, is_key=True) for key in view.join_keys]
        features = [reading.values(field.name, field.dtype) for field in view.features]
        event_us = reading.instants(columns.event, is_nullable=False)
        created_us: list[int | None] = [None] * frame.n_rows
        if columns.created is not None and columns.created in frame.columns:
            created_us = reading.instants(columns.created, is_nullable=True)
        reading.refuse(view.name)
        instants = [instant for instant in event_us if instant is not None]
        refuse_future(event_us, view.name, columns.event, latest_us=latest_us)
        return PushedRows(view, keys, features, instants, created_us)

    @staticmethod
    def joined(parts: Sequence[PushedRows]) -> PushedRows:
        """Put the rows of several frames of one view into one."""
        if len(parts) == 1:
            return parts[0]
        return PushedRows(
            parts[0].view,
            [list(chain(*columns)) for columns in zip(*(part.keys for part in parts), strict=True)],
            [
                list(chain(*columns))
                for columns in zip(*(part.features for part in parts), strict=True)
            ],
            list(chain(*(part.event_us for part in parts))),
            list(chain(*(part.created_us for part in parts))),
        )

    def __len__(self) -> int:
        return len(self.event_us)

    def greatest(self) -> PushedRows:
        """Keep the greatest row of every entity, ties by content as in offline joins."""
        n_rows = len(self.event_us)
        entities = list(zip(*self.keys, strict=True)) if self.keys else [()] * n_rows
        if len(set(entities)) == n_rows:
            return self
        winners: dict[tuple[Any, ...], int] = {}
        for row_idx, entity in enumerate(entities):
            rival = winners.setdefault(entity, row_idx)
            if rival != row_idx and self._rank(row_idx) > self._rank(rival):
                winners[entity] = row_idx
        return self._take(list(winners.values()))

    def batch(self, sequence_us: int) -> RowBatch:
        """Make what a row encoder takes; all rows share the push's ingest sequence."""
        n_rows = len(self.event_us)
        fields = self.view.features
        return RowBatch(
            keys=[
                to_array(values, key.dtype)
                for values, key in zip(self.keys, self.view.join_keys, strict=True)
            ],
            features=[
                to_array(values, field.dtype)
                for values, field in zip(self.features, fields, strict=True)
            ],
            encoded=frozenset(field.name for field in fields if is_cells(field.dtype)),
            instants=RowInstants(
                event_us=np.array(self.event_us, np.int64),
                created_us=np.array([instant or 0 for instant in self.created_us], np.int64),
                is_created_null=np.array(
                    [instant is None for instant in self.created_us], np.bool_
                ),
                sequence_us=np.full(n_rows, sequence_us, np.int64),
                origin=Origin.PUSH,
            ),
        )

    def _take(self, row_idxs: Sequence[int]) -> PushedRows:
        return PushedRows(
            self.view,
            [[column[i] for i in row_idxs] for column in self.keys],
            [[column[i] for i in row_idxs] for column in self.features],
            [self.event_us[i] for i in row_idxs],
            [self.created_us[i] for i in row_idxs],
        )

    def _rank(self, row_idx: int) -> tuple[Any, ...]:
        """Return what a row's place in the total order goes by, its content by feature name."""
        created_us = self.created_us[row_idx]
        named = sorted(
            zip(self.view.features, self.features, strict=True), key=lambda pair: pair[0].name
        )
        return (
            self.event_us[row_idx],
            (0,) if created_us is None else (1, created_us),
            *(_rank_value(column[row_idx], field.dtype) for field, column in named),
        )


def _rank_value(value: Any, dtype: Dtype) -> tuple[Any, ...]:
    """Return a value's place among others of its type: null lowest, NaN greatest."""
    if value is None:
        return (0,)
    if dtype is Dtype.FLOAT32:
        value = round_to_float32(value)
    if isinstance(value, float) and math.isnan(value):
        return (2,)
    if dtype.is_list and dtype.is_plain:
        return (1, tuple(_rank_value(element, dtype.element) for element in value))
    if is_cells(dtype):
        return (1, value_encoder(dtype)(value))
    return (1, value)
