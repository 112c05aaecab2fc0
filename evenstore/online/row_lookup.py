"""Lookups that answer each entity row for itself: one bad row is an error of that row alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.codec.entity_key import check_key_value
from evenstore.errors import EntityRowsError, EvenstoreError, UnsupportedDtypeError
from evenstore.online.column_lookup import ColumnAnswer, ColumnLookup, plain_column
from evenstore.online.feature_column import FeatureColumn, feature_columns
from evenstore.schema.degradation import fails_open
from evenstore.schema.model import Field
from evenstore.schema.on_demand import coerce_value
from evenstore.semantics import Status

__all__ = ["EntityRows", "RowVectors"]

ReadValue = Callable[[Any], Any]
"""Turns a value as it was sent into the Python value of its type; leaves what it cannot read."""


@dataclass(frozen=True, slots=True)
class RowVectors:
    """An answer, and what is wrong with some of its rows.

    Attributes:
        as_of_us: The instant used for ttl and age.
        n_rows: How many entity rows were sent.
        keys: The entity columns, as checked; None where a row was refused.
        columns: The features, in the order asked for.
        errors: By row. A refused row, and a row at fault of a service that fails closed, is null
            and INVALID in every feature; else INVALID features say what the error is about.
        view_event_us: The stored rows' event timestamps by view, None where there is no row; of
            every view that was read, be it for an on-demand view alone.
        is_degraded: Whether the store was not read at all.
    """

    as_of_us: int
    n_rows: int
    keys: Mapping[str, Sequence[Any]]
    columns: tuple[FeatureColumn, ...]
    errors: Mapping[int, EvenstoreError]
    view_event_us: Mapping[str, Sequence[int | None]]
    is_degraded: bool


class EntityRows:
    """A request's entity rows, each checked for itself.

    Args:
        lookup: The prepared request.
        rows: Objects with a value per join key and request field; others are ignored.
        readers: How to read the columns that do not come as Python values.

    Attributes:
        batch: The lookup of the good rows, which `spread` brings to their places among all.
    """

    def __init__(
        self,
        lookup: ColumnLookup,
        rows: Sequence[object],
        readers: Mapping[str, ReadValue] | None = None,
    ) -> None:
        self._lookup = lookup
        self._n_rows = len(rows)
        self._errors: dict[int, EvenstoreError] = {}
        request, readers = lookup.request, readers or {}
        # What could be checked of every row; None elsewhere.
        self._keys = {
            field.name: self._column(rows, field, _check_key, readers.get(field.name))
            for field in request.entity_columns
        }
        request_data = {
            field.name: self._column(rows, field, _check_request_value, readers.get(field.name))
            for field in request.request_fields
        }
        self._good_idx = [i for i in range(self._n_rows) if i not in self._errors]
        self.batch = lookup.encode(
            self._keep_good(self._keys), self._keep_good(request_data), len(self._good_idx)
        )

    def _column(
        self,
        rows: Sequence[object],
        field: Field,
        check: Callable[[Any, Field, int], Any],
        read: ReadValue | None,
    ) -> list[Any]:
        column: list[Any] = []
        for i, row in enumerate(rows):
            try:
                value = _value_of(row, field, i)
                column.append(check(value if read is None else read(value), field, i))
            except EntityRowsError as exc:
                self._errors.setdefault(i, exc)
                column.append(None)
        return column

    def _keep_good(self, columns: Mapping[str, list[Any]]) -> Mapping[str, list[Any]]:
        if not self._errors:
            return columns
        return {name: [values[i] for i in self._good_idx] for name, values in columns.items()}

    def spread(
        self, answer: ColumnAnswer, *, as_of_us: int, is_degraded: bool = False
    ) -> RowVectors:
        """Make the answer for all rows.

        Args:
            answer: That of `batch`.
            as_of_us: Its instant.
            is_degraded: Whether it was made without the store.
        """
        good_idx, request = self._good_idx, self._lookup.request
        errors = dict(self._errors)
        for (_, row), error in answer.errors.items():
            errors.setdefault(good_idx[row], error)
        blank = set(self._errors) if fails_open(request) else set(errors)
        place = _Placement(self._n_rows, good_idx, blank)
        columns = feature_columns(request, answer, len(good_idx))
        if not place.is_everything:
            columns = tuple(
                FeatureColumn(
                    column=each.column,
                    values=place(each.values, None),
                    statuses=place(each.statuses, Status.INVALID),
                    event_us=place(each.event_us, None),
                )
                for each in columns
            )
        view_event_us = {
            read.output_name: place(plain_column(view.event_us), None)
            for read, view in zip(self._lookup.reads, answer.views, strict=True)
        }
        return RowVectors(
            as_of_us, self._n_rows, self._keys, columns, errors, view_event_us, is_degraded
        )


@dataclass(frozen=True, slots=True)
class _Placement:
    """Puts the columns of the rows that were looked up in their places among all rows."""

    n_rows: int
    good_idx: Sequence[int]
    blank: set[int]

    @property
    def is_everything(self) -> bool:
        """Whether each row was looked up, and none is to be blank."""
        return not self.blank and len(self.good_idx) == self.n_rows

    def __call__(self, column: Sequence[Any], filling: Any) -> Sequence[Any]:
        if self.is_everything:
            return column
        placed = [filling] * self.n_rows
        for i, value in zip(self.good_idx, column, strict=True):
            if i not in self.blank:
                placed[i] = value
        return placed


def _value_of(row: object, field: Field, row_idx: int) -> Any:
    if not isinstance(row, Mapping):
        msg = f"entity row {row_idx} is no object"
        raise EntityRowsError(msg, hint='send {"join key": value, ...} for each entity row')
    try:
        return row[field.name]
    except KeyError as exc:
        msg = f"entity row {row_idx} has no `{field.name}`"
        raise EntityRowsError(msg, hint=f"send it, {field.dtype.value}") from exc


def _check_key(value: Any, field: Field, row_idx: int) -> Any:
    return check_key_value(value, field, row_idx=row_idx)


def _check_request_value(value: Any, field: Field, row_idx: int) -> Any:
    try:
        return coerce_value(value, field.dtype, where=f"request data `{field.name}`, row {row_idx}")
    except UnsupportedDtypeError as exc:
        raise EntityRowsError(exc.message, hint=f"send {field.dtype.value} values") from exc
