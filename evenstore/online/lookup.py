"""Online lookups without I/O: the Redis commands of a request, feature vectors from the replies.

The gateway and the Feast SDK path send the commands in their own way and share everything else.
Neither Feast nor pandas is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.codec.entity_key import EntityKeyEncoder, check_key_value
from evenstore.codec.feast_row import FeastRowLayout, decode_timestamp
from evenstore.codec.feast_value import value_decoder
from evenstore.errors import CorruptRowError, EntityRowsError, FutureRowError, UnsupportedDtypeError
from evenstore.online.connection import Command
from evenstore.schema.model import Field
from evenstore.schema.on_demand import FeatureValues, OnDemandStage, coerce_value
from evenstore.schema.request import Column, FeatureRequest, ViewRead
from evenstore.semantics import Status, decide_status, is_within_ttl

__all__ = [
    "DEFAULT_MAX_SKEW_US",
    "FeatureColumn",
    "FeatureVectors",
    "LookupBatch",
    "OnlineLookup",
    "ViewDecoder",
]

DEFAULT_MAX_SKEW_US = 60_000_000
"""How much later than now a row may be: clocks of writers and readers differ by less."""


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature of the answer for every entity row.

    Attributes:
        column: Which feature.
        values: Python values; None where null, not found or withheld.
        statuses: One per row.
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


class ViewDecoder:
    """Turns the stored fields of one view's row into values and statuses.

    Args:
        read: The view and the features asked for.
        max_skew_us: How much later than the request a stored row may be before it is refused.
    """

    def __init__(self, read: ViewRead, max_skew_us: int = DEFAULT_MAX_SKEW_US) -> None:
        layout = FeastRowLayout(read.view)
        self.read = read
        # What to ask Redis for, in this order.
        self.fields: tuple[bytes, ...] = (
            layout.timestamp_field,
            *(layout.feature_fields[field.name] for field in read.features),
        )
        self._decoders = [value_decoder(field.dtype) for field in read.features]
        self._max_skew_us = max_skew_us

    def decode(
        self, stored: Sequence[bytes | None], as_of_us: int
    ) -> tuple[int | None, list[Any], list[Status]]:
        """Decode one row.

        Args:
            stored: The replies for `fields`.
            as_of_us: The instant of the request's receipt.

        Returns:
            The event timestamp (None where there is no row), the values, and their statuses.

        Raises:
            CorruptRowError: Stored bytes are not of the declared type.
            FutureRowError: The row is later than the instant by more than the allowed skew.
        """
        timestamp, values = stored[0], stored[1:]
        if timestamp is None:
            return None, [None] * len(values), [Status.NOT_FOUND] * len(values)
        event_us = self._event_us(timestamp)
        if event_us > as_of_us + self._max_skew_us:
            msg = f"{self.read.view.name}: a stored row is later than the instant of the request"
            raise FutureRowError(msg, hint="is the gateway's clock right, or frozen in the past?")
        view = self.read.view
        is_expired = not is_within_ttl(
            event_us=event_us, as_of_us=as_of_us, ttl_us=view.enforced_ttl_us
        )
        # Withheld values are not even decoded: a feature retyped since then concerns nobody.
        decoded = [None] * len(values)
        if not (is_expired and view.withholds_expired):
            decoded = [self._value(i, data) for i, data in enumerate(values)]
        statuses = [
            decide_status(is_found=data is not None, is_expired=is_expired, is_null=value is None)
            for data, value in zip(values, decoded, strict=True)
        ]
        return event_us, decoded, statuses

    def _event_us(self, timestamp: bytes) -> int:
        try:
            return decode_timestamp(timestamp)
        except CorruptRowError as exc:
            msg = f"{self.read.view.name}: {exc.message}"
            raise CorruptRowError(msg, hint=exc.hint) from exc

    def _value(self, position: int, data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return self._decoders[position](data)
        except CorruptRowError as exc:
            where = f"{self.read.view.name}:{self.read.features[position].name}"
            msg = f"{where}: {exc.message}"
            raise CorruptRowError(msg, hint=exc.hint) from exc


class _KeyGroup:
    """Views that share a Redis hash: read by one HMGET per entity."""

    def __init__(self, project: str, first: ViewRead) -> None:
        self.columns = first.key_columns
        self.join_keys = first.view.join_keys
        self.encoder = EntityKeyEncoder(first.view.join_keys, project)
        self.decoders: list[ViewDecoder] = []

    def fields(self) -> tuple[bytes, ...]:
        return tuple(field for decoder in self.decoders for field in decoder.fields)


class OnlineLookup:
    """Everything about one request's schema that can be done before it comes.

    Build once per feature service (or list of references) and schema; use for every request, from
    any thread.

    Args:
        project: The Feast project.
        request: What is asked for.
        max_skew_us: How much later than now a stored row may be before it is refused.
    """

    def __init__(
        self, project: str, request: FeatureRequest, *, max_skew_us: int = DEFAULT_MAX_SKEW_US
    ) -> None:
        self.request = request
        groups: dict[tuple[object, ...], _KeyGroup] = {}
        for read in request.reads:
            group = groups.setdefault(
                (read.key_columns, read.view.join_keys), _KeyGroup(project, read)
            )
            group.decoders.append(ViewDecoder(read, max_skew_us))
        self.groups = tuple(groups.values())
        self.commands_tail = tuple(group.fields() for group in self.groups)
        self.on_demand = OnDemandStage(request)

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
        n_rows = _common_length(wanted, columns)
        keys = {
            field.name: [
                check_key_value(value, field, row_idx=i)
                for i, value in enumerate(columns[field.name])
            ]
            for field in self.request.entity_columns
        }
        request_data = {
            field.name: _request_column(field, columns[field.name])
            for field in self.request.request_fields
        }
        return LookupBatch(self, keys, request_data, n_rows)


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
        # Per group: for each entity row the position of its reply, so that an entity is read once.
        self._reply_idx: list[list[int]] = []
        for group, tail in zip(lookup.groups, lookup.commands_tail, strict=True):
            self._add_group(group, tail)

    def _add_group(self, group: _KeyGroup, tail: tuple[bytes, ...]) -> None:
        positions: dict[bytes, int] = {}
        reply_idx = []
        for row in range(self.n_rows):
            key = group.encoder.encode([self._keys[column][row] for column in group.columns])
            position = positions.get(key)
            if position is None:
                position = positions[key] = len(self.commands)
                self.commands.append((b"HMGET", key, *tail))
            reply_idx.append(position)
        self._reply_idx.append(reply_idx)

    def finish(self, replies: Sequence[Any], *, as_of_us: int) -> FeatureVectors:
        """Make the answer.

        Args:
            replies: One per command, in order.
            as_of_us: The instant of the request's receipt.

        Raises:
            CorruptRowError: Stored bytes are not of the declared type; never misread.
            FutureRowError: A stored row is later than the instant by more than the allowed skew.
        """
        features: dict[tuple[str, str], FeatureValues] = {}
        event_us: dict[str, list[int | None]] = {}
        for group, reply_idx in zip(self._lookup.groups, self._reply_idx, strict=True):
            start = 0
            for decoder in group.decoders:
                stop = start + len(decoder.fields)
                rows = {i: decoder.decode(replies[i][start:stop], as_of_us) for i in set(reply_idx)}
                name = decoder.read.output_name
                event_us[name] = [rows[i][0] for i in reply_idx]
                for j, field in enumerate(decoder.read.features):
                    features[name, field.name] = FeatureValues(
                        [rows[i][1][j] for i in reply_idx], [rows[i][2][j] for i in reply_idx]
                    )
                start = stop
        features.update(self._lookup.on_demand.apply(features, self._request_data, self.n_rows))
        no_event: list[int | None] = [None] * self.n_rows
        return FeatureVectors(
            as_of_us=as_of_us,
            n_rows=self.n_rows,
            keys=self._keys,
            columns=tuple(
                FeatureColumn(
                    column=column,
                    values=features[column.view_name, column.field.name].values,
                    statuses=features[column.view_name, column.field.name].statuses,
                    event_us=event_us.get(column.view_name, no_event),
                )
                for column in self._lookup.request.columns
            ),
        )


def _common_length(wanted: Sequence[Field], columns: Mapping[str, Sequence[Any]]) -> int:
    missing = [field.name for field in wanted if field.name not in columns]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        needed = ", ".join(f"`{field.name}` ({field.dtype.value})" for field in wanted)
        msg = f"missing column: {names}"
        raise EntityRowsError(msg, hint=f"send {needed}")
    lengths = {field.name: len(columns[field.name]) for field in wanted}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        msg = f"columns differ in length: {listed}"
        raise EntityRowsError(msg, hint="send one value per entity row in every column")
    if lengths:
        return next(iter(lengths.values()))
    return max((len(values) for values in columns.values()), default=1)


def _request_column(field: Field, values: Sequence[Any]) -> list[Any]:
    try:
        return [
            coerce_value(value, field.dtype, where=f"request data `{field.name}`, row {i}")
            for i, value in enumerate(values)
        ]
    except UnsupportedDtypeError as exc:
        raise EntityRowsError(exc.message, hint=f"send {field.dtype.value} values") from exc
