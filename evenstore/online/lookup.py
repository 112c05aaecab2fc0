"""Online lookups without I/O: the Redis commands of a request, feature vectors from the replies.

The gateway and the Feast SDK path send the commands in their own way and share everything else.
Neither Feast nor pandas is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.codec.entity_key import check_key_value
from evenstore.errors import EvenstoreError
from evenstore.online.connection import Command
from evenstore.online.key_group import KeyGroup
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.sent_columns import common_length, open_key_groups, request_column
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US, UnknownSchemas
from evenstore.schema.degradation import fill_nulls, load_defaults
from evenstore.schema.model import Layout
from evenstore.schema.on_demand import FeatureValues, OnDemandStage
from evenstore.schema.request import Column, FeatureRequest
from evenstore.semantics import Status

__all__ = [
    "FeatureColumn",
    "FeatureVectors",
    "LookupBatch",
    "OnlineLookup",
]

_NONE_UNKNOWN: UnknownSchemas = {}


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature of the answer for every entity row.

    Attributes:
        column: Which feature.
        values: Python values; where null, not found or withheld, the service's declared default,
            else None.
        statuses: One per row; a default changes none.
        event_us: The stored row's event timestamp; None where there is no row, and for on-demand
            outputs.
    """

    column: Column
    values: Sequence[Any]
    statuses: Sequence[Status]
    event_us: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class FeatureVectors:
    """The answer to one request.

    Attributes:
        as_of_us: The instant used for ttl and age.
        n_rows: Number of entity rows.
        keys: The entity columns, as checked.
        columns: The features, in the order asked for.
    """

    as_of_us: int
    n_rows: int
    keys: Mapping[str, Sequence[Any]]
    columns: tuple[FeatureColumn, ...]


class OnlineLookup:
    """Everything about one request's schema that can be done before it comes.

    Build once per feature service (or list of references) and schema; use for every request, from
    any thread.

    Args:
        project: The Feast project.
        request: What is asked for.
        layout: How rows lie in Redis.
        max_skew_us: How much later than now a stored row may be before it is refused.
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
        self.groups = open_key_groups(layout, project, request, max_skew_us=max_skew_us)
        self.on_demand = OnDemandStage(request)
        self.defaults = load_defaults(request)

    def begin(self, columns: Mapping[str, Sequence[Any]]) -> LookupBatch:
        """Check a request's columns and make its commands.

        Args:
            columns: Entity columns and request data, equally long; others are ignored, as Feast
                does.

        Raises:
            EntityRowsError: A column is missing, columns differ in length, or a value is not of the
                declared type.
        """
        wanted = (*self.request.entity_columns, *self.request.request_fields)
        n_rows = common_length(wanted, columns)
        keys = {
            field.name: [
                check_key_value(value, field, row_idx=i)
                for i, value in enumerate(columns[field.name])
            ]
            for field in self.request.entity_columns
        }
        request_data = {
            field.name: request_column(field, columns[field.name])
            for field in self.request.request_fields
        }
        return LookupBatch(self, keys, request_data, n_rows)


@dataclass(frozen=True, slots=True)
class _GroupRead:
    """Which replies are a group's, and which of its entities each row names."""

    group: KeyGroup
    replies: slice
    entity_idx: list[int]


class LookupBatch:
    """One request under way: `commands` to send, `finish` with their replies."""

    def __init__(
        self,
        lookup: OnlineLookup,
        keys: Mapping[str, Sequence[Any]],
        request_data: Mapping[str, Sequence[Any]],
        n_rows: int,
    ) -> None:
        self._lookup = lookup
        self._keys = keys
        self._request_data = request_data
        self.n_rows = n_rows
        self.commands: list[Command] = []
        self._reads = [self._add_group(group) for group in lookup.groups]

    def _add_group(self, group: KeyGroup) -> _GroupRead:
        # An entity is read once, however many rows name it.
        positions: dict[bytes, int] = {}
        entity_idx = [
            positions.setdefault(
                group.encoder.encode([self._keys[column][row] for column in group.columns]),
                len(positions),
            )
            for row in range(self.n_rows)
        ]
        commands = group.commands(list(positions))
        start = len(self.commands)
        self.commands += commands
        return _GroupRead(group, slice(start, start + len(commands)), entity_idx)

    def learn(self, needed: RowSchemaNeeded, reply: object) -> None:
        """Take note of a stored row's schema, for this request and all later ones.

        Raises:
            CorruptRowError: Redis does not know the schema.
        """
        for read in self._reads:
            read.group.learn(needed, reply)

    def finish(self, replies: Sequence[Any], *, as_of_us: int) -> FeatureVectors:
        """Make the answer.

        Args:
            replies: One per command, in order.
            as_of_us: The instant of the request's receipt.

        Raises:
            CorruptRowError: Stored bytes are not of the declared type; never misread.
            FormatVersionError: A later version wrote them.
            FutureRowError: A stored row is later than the instant by more than the allowed skew.
            RowSchemaNeeded: `learn` the answer of its command, then finish again.
        """
        features, event_us = self._read(replies, as_of_us, _raise)
        features.update(self._lookup.on_demand.apply(features, self._request_data, self.n_rows))
        columns = self._columns(features, event_us)
        return FeatureVectors(as_of_us, self.n_rows, self._keys, columns)

    def _read(
        self,
        replies: Sequence[Any],
        as_of_us: int,
        note_error: Callable[[int, EvenstoreError], None],
        unknown: UnknownSchemas = _NONE_UNKNOWN,
    ) -> tuple[dict[tuple[str, str], FeatureValues], dict[str, Sequence[int | None]]]:
        """Decode the features of all views, and their rows' event timestamps by view.

        Args:
            replies: One per command, in order.
            as_of_us: The instant of the request's receipt.
            note_error: Told of each row that a stored row at fault belongs to.
            unknown: The schemas that were asked for in vain.
        """
        features: dict[tuple[str, str], FeatureValues] = {}
        event_us: dict[str, Sequence[int | None]] = {}
        for read in self._reads:
            rows = _Rows(read.entity_idx)
            decoded = read.group.decode_columns(replies[read.replies], as_of_us, unknown)
            for view_read, columns in zip(read.group.reads, decoded, strict=True):
                for row, error in rows.place(columns.errors):
                    note_error(row, error)
                name = view_read.output_name
                event_us[name] = rows.take(columns.event_us)
                for field, values, statuses in zip(
                    view_read.features, columns.values, columns.statuses, strict=True
                ):
                    features[name, field.name] = FeatureValues(
                        rows.take(values), rows.take_statuses(statuses)
                    )
        return features, event_us

    def _columns(
        self,
        features: Mapping[tuple[str, str], FeatureValues],
        event_us: Mapping[str, Sequence[int | None]],
    ) -> tuple[FeatureColumn, ...]:
        """Bring the features into the order asked for, with their defaults."""
        no_event: list[int | None] = [None] * self.n_rows
        columns = []
        lookup = self._lookup
        for column, default in zip(lookup.request.columns, lookup.defaults, strict=True):
            found = features[column.view_name, column.field.name]
            columns.append(
                FeatureColumn(
                    column=column,
                    values=fill_nulls(found.values, default),
                    statuses=found.statuses,
                    event_us=event_us.get(column.view_name, no_event),
                )
            )
        return tuple(columns)


class _Rows:
    """Spreads what was read of some entities over the rows that name them."""

    def __init__(self, entity_idx: Sequence[int]) -> None:
        self._entity_idx = entity_idx
        # Most requests name each entity once, in order.
        self._is_one_each = not entity_idx or entity_idx[-1] == len(entity_idx) - 1
        self._present = [Status.PRESENT] * len(entity_idx)

    def take(self, column: Any) -> Sequence[Any]:
        """Return a column's value for every row."""
        # An array's own items would be NumPy scalars.
        values: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else column
        return values if self._is_one_each else [values[i] for i in self._entity_idx]

    def take_statuses(self, statuses: Sequence[Status] | None) -> Sequence[Status]:
        """Return a status for every row."""
        return self._present if statuses is None else self.take(statuses)

    def place(self, errors: Mapping[int, EvenstoreError]) -> Iterator[tuple[int, EvenstoreError]]:
        """Yield the error of every row whose entity has one."""
        if errors:
            for row, entity in enumerate(self._entity_idx):
                if entity in errors:
                    yield row, errors[entity]


def _raise(_row: int, error: EvenstoreError) -> None:
    raise error
