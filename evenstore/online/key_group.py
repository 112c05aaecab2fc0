"""Views of a request that share entity keys: read together, in either layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from typing_extensions import override

from evenstore.codec.command import encode_bulk, encode_command
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.packed_block import EntityBlock
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import split_slots
from evenstore.codec.view_block import NoBlockError
from evenstore.errors import CodecError, EvenstoreError, FutureRowError
from evenstore.online.block_columns import block_columns
from evenstore.online.connection import Command
from evenstore.online.feast_view_decoder import FeastViewDecoder
from evenstore.online.key_payload import KeyPayload, open_key_payload
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.view_columns import ViewColumns
from evenstore.online.view_decoder import (
    DEFAULT_MAX_SKEW_US,
    PackedViewDecoder,
    UnknownSchemas,
)
from evenstore.schema.model import Layout
from evenstore.schema.request import ViewRead
from evenstore.semantics import TtlEnforcement

__all__ = ["KeyGroup", "open_key_group"]

_NONE_UNKNOWN: UnknownSchemas = {}
# Fewer entities are read faster one by one.
_BLOCK = 24


class KeyGroup(ABC):
    """Views on the same join keys, taken from the same columns of the request.

    Attributes:
        columns: The caller's columns, in the order of the join keys.
        reads: The views.
        encoder: Makes the Redis keys.
    """

    def __init__(self, project: str, reads: Sequence[ViewRead], encoder: EntityKeyEncoder) -> None:
        self.project = project
        self.columns = reads[0].key_columns
        self.reads = tuple(reads)
        self.encoder = encoder
        self._plain: KeyPayload | None = None

    def encode_plain(self, values: Sequence[Any]) -> tuple[bytes, int] | None:
        """Encode the commands that read some entities by values that nobody has checked.

        Args:
            values: Of the only join key.

        Returns:
            The commands and how many they are; None where `encode` is to be called with checked
            values: several join keys, or a value that is not plainly of the declared type.
        """
        if self._plain is None or not values:
            return None
        payload = self._plain(values)
        return None if payload is None else self._request(payload, len(values))

    def encode(self, rows: Sequence[Sequence[Any]]) -> tuple[bytes, int]:
        """Encode the commands that read some entities.

        Args:
            rows: Checked values, in the order of the join keys.
        """
        commands = self.commands([self.encoder.encode(row) for row in rows])
        return b"".join([encode_command(command) for command in commands]), len(commands)

    @abstractmethod
    def _request(self, keys: bytes, n_keys: int) -> tuple[bytes, int]:
        """Return the commands on plain keys, and how many they are."""

    @abstractmethod
    def commands(self, keys: Sequence[bytes]) -> list[Command]:
        """Return the commands that read some entities."""

    @abstractmethod
    def decode_columns(
        self, replies: Sequence[Any], as_of_us: int, unknown: UnknownSchemas = _NONE_UNKNOWN
    ) -> list[ViewColumns]:
        """Decode the replies of `commands` column by column, each entity for itself.

        Args:
            replies: As they came.
            as_of_us: The instant of the request's receipt.
            unknown: The schemas that were asked for in vain.

        Returns:
            One answer per view; an entity that cannot be read has an error there.

        Raises:
            RowSchemaNeeded: `learn` the answer of its command, then decode again.
        """

    def _nobody(self) -> list[ViewColumns]:
        """Answer a request for no entity."""
        return [
            ViewColumns((), [()] * len(read.features), [None] * len(read.features))
            for read in self.reads
        ]

    @abstractmethod
    def learn(self, needed: RowSchemaNeeded, reply: object) -> None:
        """Take note of a stored row's schema.

        Raises:
            CorruptRowError: Redis does not know it.
        """


class FeastKeyGroup(KeyGroup):
    """Reads hashes: one command per entity."""

    def __init__(self, project: str, reads: Sequence[ViewRead], max_skew_us: int) -> None:
        super().__init__(project, reads, EntityKeyEncoder(reads[0].view.join_keys, project))
        self._decoders = [FeastViewDecoder(read, max_skew_us) for read in reads]
        self._fields = tuple(field for decoder in self._decoders for field in decoder.fields)
        n_arguments = 2 + len(self._fields)
        self._plain = open_key_payload(
            self.encoder,
            before=b"*%d\r\n$5\r\nHMGET\r\n" % n_arguments,
            after=b"".join([encode_bulk(field) for field in self._fields]),
        )

    @override
    def _request(self, keys: bytes, n_keys: int) -> tuple[bytes, int]:
        return keys, n_keys

    @override
    def commands(self, keys: Sequence[bytes]) -> list[Command]:
        return [(b"HMGET", key, *self._fields) for key in keys]

    @override
    def decode_columns(
        self, replies: Sequence[Any], as_of_us: int, unknown: UnknownSchemas = _NONE_UNKNOWN
    ) -> list[ViewColumns]:
        if not replies:
            return self._nobody()
        columns = []
        start = 0
        for decoder in self._decoders:
            stop = start + len(decoder.fields)
            rows = [reply[start:stop] for reply in replies]
            view = _together(decoder, rows, as_of_us)
            columns.append(decoder.answer_columns(rows, as_of_us) if view is None else view)
            start = stop
        return columns

    @override
    def learn(self, needed: RowSchemaNeeded, reply: object) -> None:
        """Take no note: a hash names its features itself."""


def _together(
    decoder: FeastViewDecoder, rows: Sequence[Sequence[bytes | None]], as_of_us: int
) -> ViewColumns | None:
    """Decode hashes column by column; None where a row is of a form that needs more care."""
    try:
        if len(rows) < _BLOCK:
            return decoder.together(rows, as_of_us)
        missing = None
        found = [row for row in rows if row[0] is not None]
        if len(found) < len(rows):
            missing = np.array([row[0] is None for row in rows])
        return block_columns(decoder, decoder.read_block(found), missing, as_of_us)
    except (FutureRowError, NoBlockError):
        # One row's error, which the careful way of reading gives to that row alone.
        return None


class PackedKeyGroup(KeyGroup):
    """Reads strings: one command for all entities."""

    def __init__(self, project: str, reads: Sequence[ViewRead], max_skew_us: int) -> None:
        super().__init__(project, reads, PackedKeyEncoder(reads[0].view.join_keys, project))
        self._decoders = [PackedViewDecoder(project, read, max_skew_us) for read in reads]
        self._plain = open_key_payload(self.encoder, before=b"", after=b"")
        # Their expired rows are counted, and may not be twice.
        self._has_shadows = any(
            read.view.ttl_enforcement is TtlEnforcement.SHADOW for read in reads
        )

    @override
    def _request(self, keys: bytes, n_keys: int) -> tuple[bytes, int]:
        return b"*%d\r\n$4\r\nMGET\r\n%b" % (n_keys + 1, keys), 1

    @override
    def commands(self, keys: Sequence[bytes]) -> list[Command]:
        return [(b"MGET", *keys)] if keys else []

    @override
    def decode_columns(
        self, replies: Sequence[Any], as_of_us: int, unknown: UnknownSchemas = _NONE_UNKNOWN
    ) -> list[ViewColumns]:
        if not replies:
            return self._nobody()
        (entities,) = replies
        columns = None
        if len(entities) >= _BLOCK:
            columns = self._block_columns(entities, as_of_us)
        if columns is not None:
            return columns
        if not self._has_shadows:
            with suppress(CodecError, FutureRowError, RowSchemaNeeded):
                return self._plain_columns(entities, as_of_us)
        return self._careful_columns(entities, as_of_us, unknown)

    def _plain_columns(self, entities: Sequence[bytes | None], as_of_us: int) -> list[ViewColumns]:
        """Decode a few entities; raises at the first row that needs more care."""
        all_slots = [_NO_SLOTS if entity is None else split_slots(entity) for entity in entities]
        if len(all_slots) == 1:
            (slots,) = all_slots
            return [
                decoder.one_plain(slots.get(decoder.view_id), as_of_us)
                for decoder in self._decoders
            ]
        return [
            decoder.all_plain([slots.get(decoder.view_id) for slots in all_slots], as_of_us)
            for decoder in self._decoders
        ]

    def _careful_columns(
        self, entities: Sequence[bytes | None], as_of_us: int, unknown: UnknownSchemas
    ) -> list[ViewColumns]:
        """Decode each entity for itself."""
        all_slots = [_slots(entity) for entity in entities]
        return [
            decoder.answer_columns(
                [
                    slots if isinstance(slots, EvenstoreError) else slots.get(decoder.view_id)
                    for slots in all_slots
                ],
                as_of_us,
                unknown,
            )
            for decoder in self._decoders
        ]

    def _block_columns(
        self, entities: Sequence[bytes | None], as_of_us: int
    ) -> list[ViewColumns] | None:
        """Decode many entities together; None where a row is of a form that needs more care."""
        missing = None
        found: Sequence[Any] = entities
        if None in entities:
            missing = np.array([entity is None for entity in entities])
            found = [entity for entity in entities if entity is not None]
        try:
            block = EntityBlock(found)
            # All are read before one is judged: rows of which one is given up are judged again.
            views = [decoder.block_reader.read(block) for decoder in self._decoders]
            return [
                block_columns(decoder, view, missing, as_of_us)
                for decoder, view in zip(self._decoders, views, strict=True)
            ]
        except (NoBlockError, CodecError, FutureRowError, IndexError, OverflowError, ValueError):
            # One row's error, which the careful way of reading gives to that row alone.
            return None

    @override
    def learn(self, needed: RowSchemaNeeded, reply: object) -> None:
        schema = needed.read(reply)
        for decoder in self._decoders:
            if decoder.read.view.name == needed.view_name:
                decoder.learn(needed.fingerprint, schema)


_NO_SLOTS: dict[bytes, bytes] = {}


def _slots(entity: bytes | None) -> dict[bytes, bytes] | EvenstoreError:
    if entity is None:
        return _NO_SLOTS
    try:
        return split_slots(entity)
    except CodecError as exc:
        return exc


def open_key_group(
    layout: Layout,
    project: str,
    reads: Sequence[ViewRead],
    *,
    max_skew_us: int = DEFAULT_MAX_SKEW_US,
) -> KeyGroup:
    """Prepare the reading of views that share their entity keys.

    Args:
        layout: How rows lie in Redis.
        project: The Feast project.
        reads: At least one view; all on the same join keys and columns.
        max_skew_us: How much later than the request a stored row may be before it is refused.
    """
    group = PackedKeyGroup if layout is Layout.PACKED else FeastKeyGroup
    return group(project, reads, max_skew_us)
