"""Online lookups without I/O, column by column: what the gateway's requests are made of.

The commands are bytes ready for the wire, and the answer is columns, so that a lookup of a hundred
entities costs little more than a lookup of one. Each entity is answered for itself: what cannot be
read of one is that entity's error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from evenstore.codec.entity_key import check_key_value
from evenstore.codec.nullable_array import NullableArray
from evenstore.errors import CorruptRowError, EvenstoreError
from evenstore.online.key_group import KeyGroup
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.sent_columns import common_length, open_key_groups, request_column
from evenstore.online.view_columns import Column, ViewColumns
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US
from evenstore.schema.degradation import fails_open, fill_nulls, load_defaults
from evenstore.schema.model import Field, Layout
from evenstore.schema.on_demand import FeatureValues, OnDemandStage
from evenstore.schema.request import FeatureRequest, ViewRead
from evenstore.semantics import Status

__all__ = ["ColumnAnswer", "ColumnBatch", "ColumnLookup", "plain_column"]


_ON_DEMAND = "on demand"
_ARRAYS = (np.ndarray, NullableArray)


# Neither is frozen, and the answer is no list of objects: both would cost more than what a lookup
# of one entity computes.
@dataclass(slots=True)
class ColumnAnswer:
    """The answer to one request: three lists with one item per feature, in the order asked for.

    Attributes:
        values: Columns with one value per entity row.
        statuses: Columns with one status per entity row; None for PRESENT alone.
        event_us: Columns of the stored rows' event timestamps, the same object for all features of
            a view; None for on-demand outputs.
        errors: Why a stored row could not be read, by view and row, or an on-demand function
            failed on it.
        views: What was read, one per `ColumnLookup.reads`: views read for on-demand ones too.
        decoded_s: `perf_counter()` before on-demand views were computed; None where there is none.
    """

    values: list[Column]
    statuses: list[Sequence[Status] | None]
    event_us: list[Column | None]
    errors: dict[tuple[str, int], EvenstoreError]
    views: Sequence[ViewColumns] = ()
    decoded_s: float | None = None


@dataclass(slots=True)
class ColumnBatch:
    """A request under way.

    Attributes:
        n_rows: Number of entity rows.
        payload: The commands, ready for the wire.
        n_commands: How many they are.
        keys: The entity columns.
        request_data: What on-demand views take from the request.
        parts: How many replies each group has.
        unknown: The stored rows' schemas that were asked for in vain.
    """

    n_rows: int
    payload: bytes
    n_commands: int
    keys: Mapping[str, Sequence[Any]]
    request_data: Mapping[str, Sequence[Any]]
    parts: list[int]
    unknown: dict[tuple[str, bytes], EvenstoreError] = field(default_factory=dict)


class ColumnLookup:
    """Everything about one request's schema that can be done before it comes.

    Build once per feature service (or list of references) and schema; use for every request, from
    one thread.

    Args:
        project: The Feast project.
        request: What is asked for.
        layout: How rows lie in Redis.
        max_skew_us: How much later than now a stored row may be before it is refused.

    Attributes:
        request: What is asked for.
        reads: The views, in the order in which they are read.
    """

    def __init__(
        self,
        project: str,
        request: FeatureRequest,
        layout: Layout = Layout.PACKED,
        *,
        max_skew_us: int = DEFAULT_MAX_SKEW_US,
    ) -> None:
        self.request = request
        self._groups = open_key_groups(layout, project, request, max_skew_us=max_skew_us)
        self._on_demand = OnDemandStage(request) if request.on_demand else None
        self._wanted = (*request.entity_columns, *request.request_fields)
        # What most requests send: one column, for views that are read together.
        self._only_column = _only_column(self._groups, self._wanted)
        self.reads = [read for group in self._groups for read in group.reads]
        self._order = _order(self.reads, request)
        self._defaults = load_defaults(request)
        self._fails_open = fails_open(request)
        self._has_defaults = any(default is not None for default in self._defaults)

    def begin(self, columns: Mapping[str, Sequence[Any]]) -> ColumnBatch:
        """Check a request's columns and encode its commands.

        Args:
            columns: Entity columns and request data, equally long; others are ignored, as Feast
                does.

        Raises:
            EntityRowsError: A column is missing, columns differ in length, or a value is not of the
                declared type.
        """
        only = self._only_column
        if only is not None and only in columns:
            values = columns[only]
            encoded = self._groups[0].encode_plain(values)
            if encoded is not None:
                payload, n_commands = encoded
                return ColumnBatch(len(values), payload, n_commands, columns, {}, [n_commands])
        n_rows = common_length(self._wanted, columns)
        request_data = {
            each.name: request_column(each, columns[each.name])
            for each in self.request.request_fields
        }
        return self.encode(columns, request_data, n_rows)

    def encode(
        self,
        keys: Mapping[str, Sequence[Any]],
        request_data: Mapping[str, Sequence[Any]],
        n_rows: int,
    ) -> ColumnBatch:
        """Encode the commands of columns of one length.

        Args:
            keys: The entity columns, at least.
            request_data: The request's other columns, of their declared types.
            n_rows: The length.

        Raises:
            EntityRowsError: A key is not of the declared type.
        """
        batch = ColumnBatch(n_rows, b"", 0, keys, request_data, [])
        payloads: list[bytes] = []
        for group in self._groups:
            names = group.columns
            encoded = group.encode_plain(keys[names[0]]) if len(names) == 1 else None
            payload, n_commands = encoded or self._encode_checked(group, batch)
            payloads.append(payload)
            batch.parts.append(n_commands)
        batch.payload = payloads[0] if len(payloads) == 1 else b"".join(payloads)
        batch.n_commands = sum(batch.parts)
        return batch

    def finish(self, batch: ColumnBatch, replies: Sequence[Any], *, as_of_us: int) -> ColumnAnswer:
        """Make the answer.

        Args:
            batch: The request.
            replies: One per command, in order.
            as_of_us: The instant of the request's receipt.

        Raises:
            RowSchemaNeeded: `learn` the answer of its command, then finish again.
            SchemaError: An on-demand function failed.
        """
        if self._only_column is None:
            views = self._decode_groups(batch, replies, as_of_us)
        else:
            views = self._groups[0].decode_columns(replies, as_of_us, batch.unknown)
        errors: dict[tuple[str, int], EvenstoreError] = {}
        for i, view in enumerate(views):
            if view.errors:
                name = self.reads[i].output_name
                errors.update(((name, row), error) for row, error in view.errors.items())
        if self._on_demand is None:
            answer = self._gather(views, errors)
        else:
            answer = self._compute(views, batch, errors)
        if self._has_defaults:
            self._fill(answer)
        return answer

    def learn(self, batch: ColumnBatch, needed: RowSchemaNeeded, reply: object) -> None:
        """Take note of a stored row's schema, for this request and all later ones.

        Where Redis does not know it, the rows that have it are in error, in this request.
        """
        try:
            for group in self._groups:
                group.learn(needed, reply)
        except CorruptRowError as exc:
            batch.unknown[needed.view_name, needed.fingerprint] = exc

    def unavailable(self, batch: ColumnBatch) -> ColumnAnswer:
        """Answer without the store: nulls and declared defaults, all INVALID."""
        n_columns = len(self.request.columns)
        invalid = [Status.INVALID] * batch.n_rows
        nothing = [None] * batch.n_rows
        views = [ViewColumns(nothing, (), ())] * len(self.reads)
        answer = ColumnAnswer(
            [nothing] * n_columns, [invalid] * n_columns, [None] * n_columns, {}, views
        )
        self._fill(answer)
        return answer

    def _fill(self, answer: ColumnAnswer) -> None:
        for i, default in enumerate(self._defaults):
            statuses = answer.statuses[i]
            if default is None or statuses is None:
                continue
            values = plain_column(answer.values[i])
            filled = fill_nulls(values, default)
            if not self._fails_open and Status.INVALID in statuses:
                # What a service that fails closed could not read, nothing stands in for.
                filled = [
                    value if status is Status.INVALID else each
                    for value, each, status in zip(values, filled, statuses, strict=True)
                ]
            answer.values[i] = filled

    def _encode_checked(self, group: KeyGroup, batch: ColumnBatch) -> tuple[bytes, int]:
        if not group.columns:
            return group.encode([()] if batch.n_rows else [])
        by_name = {each.name: each for each in self.request.entity_columns}
        checked = {
            name: [
                check_key_value(value, by_name[name], row_idx=i)
                for i, value in enumerate(batch.keys[name])
            ]
            for name in group.columns
        }
        batch.keys = {**batch.keys, **checked}
        return group.encode(list(zip(*(checked[name] for name in group.columns), strict=True)))

    def _decode_groups(
        self, batch: ColumnBatch, replies: Sequence[Any], as_of_us: int
    ) -> list[ViewColumns]:
        views: list[ViewColumns] = []
        start = 0
        for group, n_replies in zip(self._groups, batch.parts, strict=True):
            end = start + n_replies
            decoded = group.decode_columns(replies[start:end], as_of_us, batch.unknown)
            views += decoded if group.columns else [_repeat(each, batch.n_rows) for each in decoded]
            start = end
        return views

    def _gather(
        self, views: Sequence[ViewColumns], errors: dict[tuple[str, int], EvenstoreError]
    ) -> ColumnAnswer:
        """Bring the features into the order asked for."""
        values: list[Column] = []
        statuses: list[Sequence[Status] | None] = []
        event_us: list[Column | None] = []
        for view in views:
            values += view.values
            statuses += view.statuses
            event_us += [view.event_us] * len(view.values)
        order = self._order
        if order is None:
            return ColumnAnswer(values, statuses, event_us, errors, views)
        return ColumnAnswer(
            [values[i] for i in order],
            [statuses[i] for i in order],
            [event_us[i] for i in order],
            errors,
            views,
        )

    def _compute(
        self,
        views: Sequence[ViewColumns],
        batch: ColumnBatch,
        errors: dict[tuple[str, int], EvenstoreError],
    ) -> ColumnAnswer:
        """Compute the on-demand views."""
        decoded_s = perf_counter()
        present = [Status.PRESENT] * batch.n_rows
        event_us: dict[str, Column] = {}
        features: dict[tuple[str, str], FeatureValues] = {}
        for read, view in zip(self.reads, views, strict=True):
            event_us[read.output_name] = view.event_us
            for each, values, statuses in zip(
                read.features, view.values, view.statuses, strict=True
            ):
                features[read.output_name, each.name] = FeatureValues(
                    plain_column(values), present if statuses is None else statuses
                )

        def note_error(row: int, error: EvenstoreError) -> None:
            errors.setdefault((_ON_DEMAND, row), error)

        if self._on_demand is not None:
            computed = self._on_demand.apply(
                features, batch.request_data, batch.n_rows, note_error=note_error
            )
            features.update(computed)
        columns = self.request.columns
        found = [features[column.view_name, column.field.name] for column in columns]
        return ColumnAnswer(
            [each.values for each in found],
            [each.statuses for each in found],
            [event_us.get(column.view_name) for column in columns],
            errors,
            views,
            decoded_s,
        )


def plain_column(column: Column) -> Sequence[Any]:
    """Return a column of Python values."""
    if isinstance(column, _ARRAYS):
        values: list[Any] = column.tolist()
        return values
    return column


def _only_column(groups: Sequence[KeyGroup], wanted: Sequence[Field]) -> str | None:
    if len(groups) == len(wanted) == 1 == len(groups[0].columns):
        return groups[0].columns[0]
    return None


def _order(reads: Sequence[ViewRead], request: FeatureRequest) -> list[int] | None:
    """Return where each column of the answer stands among all features read; None for in order."""
    if request.on_demand:
        return None
    names = [(read.output_name, each.name) for read in reads for each in read.features]
    places = {name: place for place, name in enumerate(names)}
    order = [places[column.view_name, column.field.name] for column in request.columns]
    return None if order == list(range(len(names))) else order


def _repeat(view: ViewColumns, n_rows: int) -> ViewColumns:
    """Give every row the one answer of a view without entities."""
    return ViewColumns(
        [*plain_column(view.event_us)] * n_rows,
        [[*plain_column(column)] * n_rows for column in view.values],
        [None if column is None else [*column] * n_rows for column in view.statuses],
        dict.fromkeys(range(n_rows), view.errors[0]) if view.errors else {},
    )
