"""Turns what is stored of one view's row into values and statuses, in either layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from typing_extensions import override

from evenstore.codec.feast_row import FeastRowLayout, decode_timestamp
from evenstore.codec.feast_value import value_decoder
from evenstore.codec.packed_reader import PackedReader
from evenstore.codec.packed_row import TOMBSTONE, RowSchema, read_head, view_id
from evenstore.errors import CorruptRowError, FutureRowError
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.shadow import ShadowCount
from evenstore.schema.request import ViewRead
from evenstore.semantics import Status, TtlEnforcement, decide_status, is_within_ttl

__all__ = [
    "DEFAULT_MAX_SKEW_US",
    "FeastViewDecoder",
    "PackedViewDecoder",
    "RowAnswer",
    "ViewDecoder",
]

DEFAULT_MAX_SKEW_US = 60_000_000
"""How much later than now a row may be: clocks of writers and readers differ by less."""

RowAnswer = tuple[int | None, Sequence[Any], Sequence[Status]]
"""The event timestamp (None where there is no row), the values, and their statuses."""

StoredT = TypeVar("StoredT")


class ViewDecoder(ABC, Generic[StoredT]):
    """Turns one view's stored rows into values and statuses; thread-safe.

    Args:
        read: The view and the features asked for.
        max_skew_us: How much later than the request a stored row may be before it is refused.

    Attributes:
        shadowed: Rows answered so far that an enforced ttl would have withheld, where the view
            shadows its ttl.
    """

    def __init__(self, read: ViewRead, max_skew_us: int) -> None:
        self.read = read
        self.shadowed = ShadowCount(read.view.name)
        self._max_skew_us = max_skew_us
        n_features = len(read.features)
        self._nulls: list[Any] = [None] * n_features
        self._not_found = [Status.NOT_FOUND] * n_features

    @abstractmethod
    def decode(self, stored: StoredT, as_of_us: int) -> RowAnswer:
        """Decode one row.

        Args:
            stored: What Redis has of it.
            as_of_us: The instant of the request's receipt.

        Raises:
            CorruptRowError: Stored bytes are not of the declared type.
            FutureRowError: The row is later than the instant by more than the allowed skew.
            RowSchemaNeeded: The row's schema must be asked for first, then decode again.
        """

    def _no_row(self) -> RowAnswer:
        return None, self._nulls, self._not_found

    def _is_expired(self, event_us: int, as_of_us: int) -> bool:
        view = self.read.view
        if event_us > as_of_us + self._max_skew_us:
            msg = f"{view.name}: a stored row is later than the instant of the request"
            raise FutureRowError(msg, hint="is the gateway's clock right, or frozen in the past?")
        if is_within_ttl(event_us=event_us, as_of_us=as_of_us, ttl_us=view.ttl_us):
            return False
        if view.ttl_enforcement is TtlEnforcement.SHADOW:
            self.shadowed.add()
        return view.ttl_enforcement is TtlEnforcement.ENFORCE

    def _named(self, exc: CorruptRowError, feature: str = "") -> CorruptRowError:
        where = f"{self.read.view.name}:{feature}" if feature else self.read.view.name
        return CorruptRowError(f"{where}: {exc.message}", hint=exc.hint)


class FeastViewDecoder(ViewDecoder[Sequence[bytes | None]]):
    """Decodes the fields of a hash of the `feast` layout."""

    def __init__(self, read: ViewRead, max_skew_us: int = DEFAULT_MAX_SKEW_US) -> None:
        super().__init__(read, max_skew_us)
        layout = FeastRowLayout(read.view)
        # What to ask Redis for, in this order.
        self.fields: tuple[bytes, ...] = (
            layout.timestamp_field,
            *(layout.feature_fields[field.name] for field in read.features),
        )
        self._decoders = [value_decoder(field.dtype) for field in read.features]

    @override
    def decode(self, stored: Sequence[bytes | None], as_of_us: int) -> RowAnswer:
        timestamp, values = stored[0], stored[1:]
        if timestamp is None:
            return self._no_row()
        try:
            event_us = decode_timestamp(timestamp)
        except CorruptRowError as exc:
            raise self._named(exc) from exc
        is_expired = self._is_expired(event_us, as_of_us)
        # Withheld values are not even decoded: a feature retyped since then concerns nobody.
        decoded = list(self._nulls)
        if not (is_expired and self.read.view.withholds_expired):
            decoded = [self._value(i, data) for i, data in enumerate(values)]
        statuses = [
            decide_status(is_found=data is not None, is_expired=is_expired, is_null=value is None)
            for data, value in zip(values, decoded, strict=True)
        ]
        return event_us, decoded, statuses

    def _value(self, position: int, data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return self._decoders[position](data)
        except CorruptRowError as exc:
            raise self._named(exc, self.read.features[position].name) from exc


class _Projection:
    """How the features asked for are taken from rows of one stored schema."""

    def __init__(self, schema: RowSchema, read: ViewRead) -> None:
        self._reader = PackedReader(schema)
        stored = {(field.name, field.dtype): i for i, field in enumerate(schema.features)}
        # A feature of another type then is absent: its bytes are not of the type asked for.
        positions = [stored.get((field.name, field.dtype)) for field in read.features]
        # One more value, always null, stands for what is absent.
        self._positions = [len(schema.features) if i is None else i for i in positions]
        self.is_found = [i is not None for i in positions]
        self.is_complete = all(self.is_found)

    def read(self, row: bytes, start: int, flags: int) -> list[Any]:
        """Return the values asked for."""
        values = self._reader.read(row, start, flags)
        values.append(None)
        return [values[i] for i in self._positions]


class PackedViewDecoder(ViewDecoder[bytes | None]):
    """Decodes a row of the packed layout.

    A row of an older schema is read by that schema: what it does not have, or had under another
    type, is NOT_FOUND.
    """

    def __init__(
        self, project: str, read: ViewRead, max_skew_us: int = DEFAULT_MAX_SKEW_US
    ) -> None:
        super().__init__(read, max_skew_us)
        self.view_id = view_id(read.view.name)
        self._project = project
        schema = RowSchema.of(read.view.features)
        self._projections = {schema.fingerprint: _Projection(schema, read)}
        self._withholds = read.view.withholds_expired
        self._present = [Status.PRESENT] * len(read.features)

    def learn(self, fingerprint: bytes, schema: RowSchema) -> None:
        """Take note of an older schema."""
        self._projections[fingerprint] = _Projection(schema, self.read)

    @override
    def decode(self, stored: bytes | None, as_of_us: int) -> RowAnswer:
        if stored is None:
            return self._no_row()
        try:
            event_us, flags, fingerprint, start = read_head(stored)
            if flags & TOMBSTONE:
                return self._no_row()
            is_expired = self._is_expired(event_us, as_of_us)
            projection = self._projections.get(fingerprint)
            if projection is None:
                raise RowSchemaNeeded.of(self._project, self.read.view.name, fingerprint)
            if is_expired and self._withholds:
                values = self._nulls
            else:
                values = projection.read(stored, start, flags)
        except CorruptRowError as exc:
            raise self._named(exc) from exc
        if projection.is_complete and not is_expired and None not in values:
            return event_us, values, self._present
        statuses = [
            decide_status(is_found=is_found, is_expired=is_expired, is_null=value is None)
            for is_found, value in zip(projection.is_found, values, strict=True)
        ]
        return event_us, values, statuses
