"""One side's answer for many entities of a view, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.codec.nullable_array import NullableArray
from evenstore.offline.joined import JoinedView
from evenstore.online.view_columns import ViewColumns
from evenstore.schema.model import Field
from evenstore.semantics import Status
from parity.full.value_column import Mask, ValueColumn

__all__ = ["Int64s", "Places", "Rows"]

Int64s = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Rows:
    """What one side answers for some entities.

    Attributes:
        event_us: Event timestamp of each entity's row; anything where there is none.
        is_there: Whether each entity has a row.
        values: One column per feature; null where null, not found or withheld.
        statuses: One column of Feast's status numbers per feature; INVALID where there is no
            answer.
    """

    event_us: Int64s
    is_there: Mask
    values: Sequence[ValueColumn]
    statuses: Sequence[npt.NDArray[np.int8]]

    @staticmethod
    def of_joined(joined: JoinedView) -> Rows:
        """Take what a point-in-time join, or the newest rows, decide."""
        event_us, is_there = _instants(joined.event_us)
        row_statuses = np.full(len(event_us), Status.PRESENT, np.int8)
        row_statuses[joined.is_expired] = Status.OUTSIDE_MAX_AGE
        row_statuses[~is_there] = Status.NOT_FOUND
        values, statuses = [], []
        for field in joined.read.features:
            values.append(ValueColumn.of_offline(field.dtype, joined.values(field)))
            found = joined.found[field.name]
            statuses.append(_with_nulls(row_statuses, found) if found.null_count else row_statuses)
        return Rows(event_us, is_there, values, statuses)

    @staticmethod
    def of_table(table: pa.Table, names: Sequence[str], features: Sequence[Field]) -> Rows:
        """Take the features of a joined table, which all have one view's event timestamp.

        Args:
            table: As `evenstore.offline.history.read_history` returns it.
            names: The features' columns there.
            features: The features.
        """
        stamps = table[f"{names[0]}__event_timestamp"].combine_chunks().cast(pa.int64())
        event_us, is_there = _instants(stamps)
        columns = [table[name].combine_chunks() for name in names]
        return Rows(
            event_us,
            is_there,
            [
                ValueColumn.of_offline(field.dtype, column)
                for field, column in zip(features, columns, strict=True)
            ],
            [table[f"{name}__status"].combine_chunks().to_numpy() for name in names],
        )

    @staticmethod
    def of_lookup(columns: ViewColumns, features: Sequence[Field]) -> Rows:
        """Take what a lookup of a view answers."""
        event_us, is_there = _stored_instants(columns.event_us)
        made: dict[int, npt.NDArray[np.int8]] = {}
        statuses = []
        for told in columns.statuses:
            if id(told) not in made:  # Most columns share one list.
                made[id(told)] = _status_numbers(told, len(event_us))
            statuses.append(made[id(told)])
        values = [
            ValueColumn.of_online(field.dtype, column)
            for field, column in zip(features, columns.values, strict=True)
        ]
        return Rows(event_us, is_there, values, statuses)

    def __len__(self) -> int:
        return len(self.event_us)

    def take(self, places: Places) -> Rows:
        """Return some rows."""
        return Rows(
            self.event_us[places],
            self.is_there[places],
            [column.take(places) for column in self.values],
            [column[places] for column in self.statuses],
        )


def _instants(event_us: pa.Array) -> tuple[Int64s, Mask]:
    is_there = event_us.is_valid().to_numpy(zero_copy_only=False)
    return event_us.fill_null(0).to_numpy(), is_there


def _stored_instants(event_us: Any) -> tuple[Int64s, Mask]:
    if isinstance(event_us, np.ndarray):
        return event_us.astype(np.int64, copy=False), np.ones(len(event_us), np.bool_)
    if isinstance(event_us, NullableArray):
        return event_us.values.astype(np.int64, copy=False), ~event_us.is_null
    return _instants(pa.array(list(event_us), pa.int64()))


def _status_numbers(told: Sequence[Status] | None, n_rows: int) -> npt.NDArray[np.int8]:
    if told is None:
        return np.full(n_rows, Status.PRESENT, np.int8)
    # Several times as fast as reading them one by one.
    return np.frombuffer(bytes(told), np.int8)


def _with_nulls(row_statuses: npt.NDArray[np.int8], found: pa.Array) -> npt.NDArray[np.int8]:
    """Decide as `JoinedView.statuses` does, which takes ten times as long for each feature."""
    is_null = found.is_null().to_numpy(zero_copy_only=False)
    statuses = row_statuses.copy()
    statuses[is_null & (row_statuses == Status.PRESENT)] = Status.NULL_VALUE
    return statuses
