"""Turns the fields of a hash of the `feast` layout into values and statuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from evenstore.codec.feast_block import FeastBlockReader
from evenstore.codec.feast_row import FeastRowLayout, decode_timestamp
from evenstore.codec.feast_value import column_decoder, value_decoder
from evenstore.codec.view_block import NoBlockError, ViewBlock
from evenstore.errors import CorruptRowError
from evenstore.online.view_columns import ViewColumns, spread_column
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US, RowAnswer, ViewDecoder
from evenstore.schema.request import ViewRead
from evenstore.semantics import decide_status

__all__ = ["FeastViewDecoder"]


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
        self._column_decoders = [column_decoder(field.dtype) for field in read.features]
        self._block_reader = FeastBlockReader([field.dtype for field in read.features])

    def read_block(self, rows: Sequence[Sequence[bytes | None]]) -> ViewBlock:
        """Read many rows that are there.

        Raises:
            NoBlockError: One of them needs more care.
        """
        stored: Sequence[Any] = list(zip(*rows, strict=True))
        if not stored or any(None in column for column in stored):
            # A feature that is not there is not the same as null.
            raise NoBlockError
        return self._block_reader.read(stored[0], stored[1:])

    def together(self, rows: Sequence[Sequence[bytes | None]], as_of_us: int) -> ViewColumns | None:
        """Decode a few rows column by column; None where one of them needs more care.

        Raises:
            FutureRowError: A row is later than the instant by more than the allowed skew.
        """
        found = [i for i, row in enumerate(rows) if row[0] is not None]
        if not found:
            return None
        stored = list(zip(*[rows[i] for i in found], strict=True))
        if any(None in column for column in stored):
            # A feature that is not there, which is not the same as null.
            return None
        try:
            event_us: Sequence[Any] = [decode_timestamp(cell) for cell in stored[0]]
            values: list[Sequence[Any]] = [
                decode(column)
                for decode, column in zip(self._column_decoders, stored[1:], strict=True)
            ]
        except CorruptRowError:
            return None
        has_gaps = len(found) < len(rows) or any(None in column for column in values)
        if len(found) < len(rows):
            event_us = spread_column(event_us, found, len(rows))
            values = [spread_column(column, found, len(rows)) for column in values]
        return self.to_columns(event_us, values, as_of_us, has_gaps=has_gaps)

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
        if not self._withholds(event_us, as_of_us):
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
