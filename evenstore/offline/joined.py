"""What a join gives for one feature: values and statuses, as the view's ttl leaves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.schema.model import Field
from evenstore.schema.request import ViewRead
from evenstore.schema.values import refuse_unfit_values, to_declared_array
from evenstore.semantics import Status
from evenstore.sql.relation import CREATED_US, EVENT_US

__all__ = ["JoinedFeature", "JoinedView", "decide"]


@dataclass(frozen=True, slots=True)
class JoinedFeature:
    """One feature for every entity row.

    Attributes:
        field: Which feature.
        values: Declared Arrow type; null where null, not found or withheld.
        statuses: int8, `Status`.
        event_us: int64 microseconds of the winning row, null where there is none.
    """

    field: Field
    values: pa.Array
    statuses: pa.Array
    event_us: pa.Array


@dataclass(frozen=True, slots=True)
class JoinedView:
    """One view for every entity row; values and statuses are decided when they are asked for.

    Attributes:
        read: What was read.
        event_us: int64 microseconds of the winning row, null where there is none.
        is_expired: Per row, whether the winning row is older than the view's ttl.
        is_withheld: Per row, whether it is too old for its values to be given.
        found: The winning rows' own values by feature name, before any is withheld.
        created_us: int64 microseconds of the winning row where it was fetched; null where there is
            no row, or it has none.
    """

    read: ViewRead
    event_us: pa.Array
    is_expired: npt.NDArray[np.bool_]
    is_withheld: npt.NDArray[np.bool_]
    found: dict[str, pa.Array]
    created_us: pa.Array

    def values(self, field: Field) -> pa.Array:
        """Return a feature's values: null where null, not found or withheld."""
        found = self.found[field.name]
        if not self.is_withheld.any():
            return found
        return pc.if_else(pa.array(self.is_withheld), pa.scalar(None, found.type), found)

    def statuses(self, field: Field) -> pa.Array:
        """Return a feature's statuses: int8, `Status`."""
        is_found, is_null = pc.is_valid(self.event_us), pc.is_null(self.found[field.name])
        decided = np.select(
            [~_mask(is_found), self.is_expired, _mask(is_null)],
            [Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE, Status.NULL_VALUE],
            default=Status.PRESENT,
        )
        return pa.array(decided.astype(np.int8))

    def features(self) -> list[JoinedFeature]:
        """Return every feature that was read, decided."""
        return [
            JoinedFeature(field, self.values(field), self.statuses(field), self.event_us)
            for field in self.read.features
        ]


def decide(joined: pa.Table | pa.RecordBatch, read: ViewRead, as_of_us: pa.Array) -> JoinedView:
    """Decide what entity rows get from the feature rows that were joined to them.

    Args:
        joined: `_event_us` and the features of `read`, one row per entity row.
        read: What was read.
        as_of_us: Each entity row's instant, int64 microseconds.

    Raises:
        UnsupportedDtypeError: A list holds a null.
    """
    event_us = _single(joined.column(EVENT_US))
    found = {}
    for field in read.features:
        values = to_declared_array(_single(joined.column(field.name)), field.dtype)
        refuse_unfit_values(values, field.dtype, where=f"{read.view.name}:{field.name}")
        found[field.name] = values
    is_expired = _is_older(event_us, as_of_us, read.view.enforced_ttl_us)
    is_withheld = _is_older(event_us, as_of_us, read.value_age_limit_us)
    created_us = pa.nulls(len(event_us), pa.int64())
    if CREATED_US in joined.schema.names:
        created_us = _single(joined.column(CREATED_US))
    return JoinedView(read, event_us, is_expired, is_withheld, found, created_us)


def _is_older(
    event_us: pa.Array, as_of_us: pa.Array, limit_us: int | None
) -> npt.NDArray[np.bool_]:
    """Tell which rows are older than a limit; none where there is none."""
    if limit_us is None:
        return np.zeros(len(event_us), dtype=bool)
    age_us = pc.subtract(as_of_us, event_us)
    return _mask(pc.fill_null(pc.greater(age_us, limit_us), fill_value=False))


def _mask(condition: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(condition.to_numpy(zero_copy_only=False), dtype=bool)


def _single(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
