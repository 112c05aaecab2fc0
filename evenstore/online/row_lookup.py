"""Lookups that answer each entity row for itself: one bad row is an error of that row alone.

`evenstore.online.lookup` is the strict form, in which the first fault raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.codec.entity_key import check_key_value
from evenstore.errors import CorruptRowError, EntityRowsError, EvenstoreError, UnsupportedDtypeError
from evenstore.online.lookup import FeatureColumn, FeatureVectors, LookupBatch, OnlineLookup
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.schema.degradation import fails_open
from evenstore.schema.model import Field
from evenstore.schema.on_demand import FeatureValues, coerce_value
from evenstore.semantics import Status

__all__ = ["RowBatch", "RowVectors", "begin_rows"]

ReadValue = Callable[[Any], Any]
"""Turns a value as it was sent into the Python value of its type; leaves what it cannot read."""


@dataclass(frozen=True, slots=True)
class RowVectors:
    """An answer, and what is wrong with some of its rows.

    Attributes:
        vectors: One row per entity row sent. Keys of a row that was refused are None.
        errors: By row. A refused row, and a row at fault of a service that fails closed, is null
            and INVALID in every feature; else INVALID features say what the error is about.
        view_event_us: The stored rows' event timestamps by view, as `FeatureColumn.event_us`; of
            every view that was read, be it for an on-demand view alone.
        is_degraded: Whether the store was not read at all.
    """

    vectors: FeatureVectors
    errors: Mapping[int, EvenstoreError]
    view_event_us: Mapping[str, Sequence[int | None]]
    is_degraded: bool


def begin_rows(
    lookup: OnlineLookup,
    rows: Sequence[object],
    readers: Mapping[str, ReadValue] | None = None,
) -> RowBatch:
    """Check entity rows, each for itself, and make the commands of those that can be looked up.

    Args:
        lookup: The prepared request.
        rows: Objects with a value per join key and request field; others are ignored.
        readers: How to read the columns that do not come as Python values.
    """
    checked = _CheckedRows(lookup, rows, readers or {})
    return RowBatch(lookup, checked)


class _CheckedRows:
    """The columns of a request's good rows, and the errors of the others."""

    def __init__(
        self, lookup: OnlineLookup, rows: Sequence[object], readers: Mapping[str, ReadValue]
    ) -> None:
        self.n_rows = len(rows)
        self.errors: dict[int, EvenstoreError] = {}
        # What could be checked of every row; None elsewhere.
        self.all_keys = {
            field.name: self._column(rows, field, _check_key, readers.get(field.name))
            for field in lookup.request.entity_columns
        }
        request_data = {
            field.name: self._column(rows, field, _check_request_value, readers.get(field.name))
            for field in lookup.request.request_fields
        }
        self.good_idx = [i for i in range(self.n_rows) if i not in self.errors]
        self.keys = self._keep_good(self.all_keys)
        self.request_data = self._keep_good(request_data)

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
                self.errors.setdefault(i, exc)
                column.append(None)
        return column

    def _keep_good(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        if not self.errors:
            return dict(columns)
        return {name: [values[i] for i in self.good_idx] for name, values in columns.items()}


class RowBatch(LookupBatch):
    """Entity rows under way: `commands` to send, `finish_rows` with their replies."""

    def __init__(self, lookup: OnlineLookup, checked: _CheckedRows) -> None:
        super().__init__(lookup, checked.keys, checked.request_data, len(checked.good_idx))
        self._checked = checked
        self._unknown_schemas: dict[tuple[str, bytes], EvenstoreError] = {}

    def learn_rows(self, needed: RowSchemaNeeded, reply: object) -> None:
        """Take note of a stored row's schema; one that nobody knows is an error of its rows."""
        try:
            self.learn(needed, reply)
        except CorruptRowError as exc:
            self._unknown_schemas[needed.view_name, needed.fingerprint] = exc

    def finish_rows(self, replies: Sequence[Any], *, as_of_us: int) -> RowVectors:
        """Make the answer.

        Args:
            replies: One per command, in order.
            as_of_us: The instant of the request's receipt.

        Raises:
            RowSchemaNeeded: `learn_rows` the answer of its command, then finish again.
        """
        if not self.n_rows:  # Every row was refused.
            return self._unread(as_of_us, is_degraded=False)
        errors: dict[int, EvenstoreError] = {}

        def note_error(row: int, error: EvenstoreError) -> None:
            errors.setdefault(row, error)

        features, event_us = self._read(replies, as_of_us, note_error, self._unknown_schemas)
        if self._lookup.request.on_demand:
            request_data, n_rows = self._request_data, self.n_rows
            stage = self._lookup.on_demand
            features.update(stage.apply(features, request_data, n_rows, note_error=note_error))
        return self._answer(features, event_us, errors, as_of_us)

    def finish_unavailable(self, *, as_of_us: int) -> RowVectors:
        """Make the answer of a service that fails open when the store cannot be read.

        Declared defaults, and nulls where none is declared; every status is INVALID.
        """
        return self._unread(as_of_us, is_degraded=True)

    def _unread(self, as_of_us: int, *, is_degraded: bool) -> RowVectors:
        features = {
            (column.view_name, column.field.name): FeatureValues(
                [None] * self.n_rows, [Status.INVALID] * self.n_rows
            )
            for column in self._lookup.request.columns
        }
        no_event: list[int | None] = [None] * self.n_rows
        event_us = {read.output_name: no_event for read in self._lookup.request.reads}
        return self._answer(features, event_us, {}, as_of_us, is_degraded=is_degraded)

    def _answer(
        self,
        features: Mapping[tuple[str, str], FeatureValues],
        event_us: Mapping[str, Sequence[int | None]],
        errors: Mapping[int, EvenstoreError],
        as_of_us: int,
        *,
        is_degraded: bool = False,
    ) -> RowVectors:
        request, checked = self._lookup.request, self._checked
        good_idx = checked.good_idx
        all_errors = dict(checked.errors)
        all_errors.update((good_idx[row], error) for row, error in errors.items())
        blank = set(checked.errors) if fails_open(request) else set(all_errors)
        place = _Placement(checked.n_rows, good_idx, blank)
        columns = self._columns(features, event_us)
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
        return RowVectors(
            FeatureVectors(
                as_of_us=as_of_us,
                n_rows=checked.n_rows,
                keys=checked.all_keys,
                columns=columns,
            ),
            all_errors,
            {name: place(instants, None) for name, instants in event_us.items()},
            is_degraded,
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
