"""Views of a request that share entity keys: read together, in either layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import override

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import split_slots
from evenstore.online.connection import Command
from evenstore.online.row_schemas import RowSchemaNeeded
from evenstore.online.view_decoder import (
    DEFAULT_MAX_SKEW_US,
    FeastViewDecoder,
    PackedViewDecoder,
    RowAnswer,
)
from evenstore.schema.model import Layout
from evenstore.schema.request import ViewRead

__all__ = ["KeyGroup", "open_key_group"]


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

    @abstractmethod
    def commands(self, keys: Sequence[bytes]) -> list[Command]:
        """Return the commands that read some entities."""

    @abstractmethod
    def decode(self, replies: Sequence[Any], as_of_us: int) -> Iterator[list[RowAnswer]]:
        """Decode the replies of `commands`: for each view in turn, its row of every entity.

        Raises:
            CorruptRowError: Stored bytes are not of the declared type.
            FormatVersionError: A later version wrote them.
            FutureRowError: A stored row is later than the instant by more than the allowed skew.
            RowSchemaNeeded: `learn` the answer of its command, then decode again.
        """

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

    @override
    def commands(self, keys: Sequence[bytes]) -> list[Command]:
        return [(b"HMGET", key, *self._fields) for key in keys]

    @override
    def decode(self, replies: Sequence[Any], as_of_us: int) -> Iterator[list[RowAnswer]]:
        start = 0
        for decoder in self._decoders:
            stop = start + len(decoder.fields)
            yield [decoder.decode(reply[start:stop], as_of_us) for reply in replies]
            start = stop

    @override
    def learn(self, needed: RowSchemaNeeded, reply: object) -> None:
        """Take no note: a hash names its features itself."""


class PackedKeyGroup(KeyGroup):
    """Reads strings: one command for all entities."""

    def __init__(self, project: str, reads: Sequence[ViewRead], max_skew_us: int) -> None:
        super().__init__(project, reads, PackedKeyEncoder(reads[0].view.join_keys, project))
        self._decoders = [PackedViewDecoder(project, read, max_skew_us) for read in reads]

    @override
    def commands(self, keys: Sequence[bytes]) -> list[Command]:
        return [(b"MGET", *keys)] if keys else []

    @override
    def decode(self, replies: Sequence[Any], as_of_us: int) -> Iterator[list[RowAnswer]]:
        entities = [
            {} if value is None else split_slots(value) for reply in replies for value in reply
        ]
        for decoder in self._decoders:
            yield [decoder.decode(slots.get(decoder.view_id), as_of_us) for slots in entities]

    @override
    def learn(self, needed: RowSchemaNeeded, reply: object) -> None:
        schema = needed.read(reply)
        for decoder in self._decoders:
            if decoder.read.view.name == needed.view_name:
                decoder.learn(needed.fingerprint, schema)


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
