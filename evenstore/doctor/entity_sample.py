"""A bounded sample of a project's stored entities: how large they are, and which views they hold.

SCAN walks the keys in the order of their hashes, which has nothing to do with what they hold: the
first ones are as good as any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from evenstore.doctor.entity_layout import EntityLayout, StoredEntity, open_layout
from evenstore.online.connection import execute
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["EntitySample", "sample_entity_keys"]

_KEYS_PER_SCAN = 1000
_ENTITIES_PER_ROUND_TRIP = 20


@dataclass(frozen=True, slots=True)
class EntitySample:
    """Some of a project's stored entities, and how many there are.

    Attributes:
        entities: The sample.
        n_entities: Of the project in all: counted where `is_whole`, else scaled from the keys seen.
        n_other_entities: The same of those that lie in the other layout.
        is_whole: Whether every key of the database was seen.
    """

    entities: tuple[StoredEntity, ...]
    n_entities: int
    n_other_entities: int
    is_whole: bool

    def of_view(self, name: str) -> tuple[StoredEntity, ...]:
        """Return the entities that have a row of a view."""
        return tuple(entity for entity in self.entities if name in entity.view_bytes)

    @property
    def shows_absence(self) -> bool:
        """Whether a view that no sampled entity has is stored nowhere."""
        return self.is_whole and len(self.entities) == self.n_entities


def sample_entity_keys(
    client: redis.Redis,
    project: str,
    views: Iterable[FeatureViewSchema],
    layout: Layout,
    *,
    n_wanted: int = 200,
    n_scanned_most: int = 20_000,
) -> EntitySample:
    """Look at a bounded number of keys, and into some of those that are the project's.

    Args:
        client: Redis.
        project: The Feast project; keys of others only count for the scale.
        views: The views whose rows are told apart.
        layout: In which rows are read and written.
        n_wanted: Entities to look into at most.
        n_scanned_most: Keys to walk at most, about.

    Raises:
        OnlineStoreError: A command is refused, or Redis cannot be reached.
        CodecError: A stored row cannot be read.
    """
    entities = open_layout(layout, project, views)
    (other_layout,) = set(Layout) - {layout}
    other = open_layout(other_layout, project, ())
    cursor, n_seen, n_found, n_other = 0, 0, 0, 0
    chosen: list[bytes] = []
    while True:
        cursor, found = _ask(client, b"SCAN", cursor, b"COUNT", _KEYS_PER_SCAN)
        keys = [key for key in found if entities.owns(key)]
        n_seen += len(found)
        n_found += len(keys)
        n_other += sum(other.owns(key) for key in found)
        chosen += keys[: n_wanted - len(chosen)]
        cursor = int(cursor)
        if cursor == 0 or n_seen >= n_scanned_most:
            break
    # A key that a rehash shows twice is a rounding error here.
    scale = 1.0 if cursor == 0 or not n_seen else int(_ask(client, b"DBSIZE")) / n_seen
    return EntitySample(
        entities=tuple(_look_into(client, chosen, entities)),
        n_entities=round(n_found * scale),
        n_other_entities=round(n_other * scale),
        is_whole=cursor == 0,
    )


def _look_into(
    client: redis.Redis, keys: Sequence[bytes], layout: EntityLayout
) -> Iterator[StoredEntity]:
    types = execute(client, [(b"TYPE", key) for key in keys])
    kept = [key for key, kind in zip(keys, types, strict=True) if kind == layout.redis_type]
    for start in range(0, len(kept), _ENTITIES_PER_ROUND_TRIP):
        commands: list[Sequence[bytes | str | int]] = []
        for key in kept[start : start + _ENTITIES_PER_ROUND_TRIP]:
            commands.append((b"MEMORY", b"USAGE", key, b"SAMPLES", 0))
            commands += layout.commands(key)
        replies: Iterator[Any] = iter(execute(client, commands))
        for n_bytes, *stored in zip(replies, replies, replies, strict=True):
            entity = None if n_bytes is None else layout.read(int(n_bytes), stored)
            if entity is not None:
                yield entity


def _ask(client: redis.Redis, *command: bytes | int) -> Any:
    (reply,) = execute(client, [command])
    return reply
