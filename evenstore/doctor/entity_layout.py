"""What a stored key of either layout tells of itself: whose it is, how large, which views it holds.

The one place of the doctor that knows keys and bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override

from evenstore.codec.entity_key import split_project
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.packed_key import project_prefix
from evenstore.codec.packed_row import split_slots, view_id
from evenstore.online.connection import Command
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["EntityLayout", "StoredEntity", "open_layout"]

_SLOT_HEAD_BYTES = 5


@dataclass(frozen=True, slots=True)
class StoredEntity:
    """One stored key.

    Attributes:
        n_bytes: What it takes, all of Redis' own overhead included.
        view_bytes: What each view that has a row there stores, without overhead.
        is_compact: Whether Redis keeps it in its compact form; only a hash can be in another.
        longest_bytes: The longest field name or value of a hash.
        n_fields: The fields of a hash.
    """

    n_bytes: int
    view_bytes: Mapping[str, int]
    is_compact: bool = True
    longest_bytes: int = 0
    n_fields: int = 0


class EntityLayout(Protocol):
    """How one layout's keys are told from others and read."""

    redis_type: bytes

    def owns(self, key: bytes) -> bool:
        """Tell whether a key is an entity of the project in this layout."""
        ...

    def commands(self, key: bytes) -> list[Command]:
        """Return two commands that read what is in a key."""
        ...

    def read(self, n_bytes: int, replies: Sequence[Any]) -> StoredEntity | None:
        """Read the answers; None where the key has gone meanwhile.

        Raises:
            FormatVersionError: A later version wrote it.
            CorruptRowError: It cannot be read.
        """
        ...


def open_layout(layout: Layout, project: str, views: Iterable[FeatureViewSchema]) -> EntityLayout:
    """Return what reads a project's entities in a layout."""
    kind = _PackedEntities if layout is Layout.PACKED else _FeastEntities
    return kind(project, views)


class _FeastEntities(EntityLayout):
    """A hash per entity, with fields for every view."""

    redis_type = b"hash"

    def __init__(self, project: str, views: Iterable[FeatureViewSchema]) -> None:
        self._project = project.encode("utf-8")
        self._layouts = [(view.name, FeastRowLayout(view)) for view in views]

    @override
    def owns(self, key: bytes) -> bool:
        return split_project(key) == self._project

    @override
    def commands(self, key: bytes) -> list[Command]:
        return [(b"OBJECT", b"ENCODING", key), (b"HGETALL", key)]

    @override
    def read(self, n_bytes: int, replies: Sequence[Any]) -> StoredEntity | None:
        encoding, answer = replies
        stored = _fields(answer)
        if not stored:
            return None
        view_bytes = {}
        for name, layout in self._layouts:
            if layout.timestamp_field in stored:
                own = (layout.timestamp_field, layout.order_field, *layout.feature_fields.values())
                view_bytes[name] = sum(len(field) + len(stored.get(field, b"")) for field in own)
        return StoredEntity(
            n_bytes=n_bytes,
            view_bytes=view_bytes,
            is_compact=encoding in {b"listpack", b"ziplist"},
            longest_bytes=max(len(part) for pair in stored.items() for part in pair),
            n_fields=len(stored),
        )


class _PackedEntities(EntityLayout):
    """A string per entity, with a slot for every view."""

    redis_type = b"string"

    def __init__(self, project: str, views: Iterable[FeatureViewSchema]) -> None:
        self._prefix = project_prefix(project)
        self._slots = [(view.name, view_id(view.name)) for view in views]

    @override
    def owns(self, key: bytes) -> bool:
        return key.startswith(self._prefix)

    @override
    def commands(self, key: bytes) -> list[Command]:
        return [(b"OBJECT", b"ENCODING", key), (b"GET", key)]

    @override
    def read(self, n_bytes: int, replies: Sequence[Any]) -> StoredEntity | None:
        _, stored = replies
        if not stored:
            return None
        rows = split_slots(stored)
        view_bytes = {
            name: len(rows[slot]) + _SLOT_HEAD_BYTES for name, slot in self._slots if slot in rows
        }
        return StoredEntity(n_bytes, view_bytes)


def _fields(answer: Any) -> Mapping[bytes, bytes]:
    if isinstance(answer, Mapping):
        return answer
    return dict(zip(answer[::2], answer[1::2], strict=True)) if answer else {}
