"""A world of the property tests as files and a view, without Feast."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.footer import identify_files
from evenstore.schema.model import FeatureViewSchema
from tests.support.strategies import World

__all__ = ["source_of", "view_of", "write_files"]


def write_files(folder: Path, world: World) -> tuple[str, ...]:
    """Write a world's files; the order of the paths is that of `world.files`."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.parquet" for number in range(len(world.files))]
    for path, file in zip(paths, world.files, strict=True):
        pq.write_table(world.file_table(file), path, row_group_size=world.row_group_rows)
    return tuple(map(str, paths))


def source_of(world: World, paths: tuple[str, ...]) -> SourceFiles:
    """Open some of a world's files, as they are now."""
    has_ns = world.unit == "ns"
    created = TimestampColumn("created", has_ns) if world.rules.has_created else None
    return SourceFiles(
        paths=paths,
        event=TimestampColumn("event_timestamp", has_ns),
        created=created,
        columns=tuple((field.name, field.name) for field in world.join_keys + world.features),
        name="view",
        identities=identify_files(paths, where="view"),
    )


def view_of(world: World) -> FeatureViewSchema:
    """The view of a world."""
    return FeatureViewSchema("view", world.join_keys, world.features, world.rules.ttl_us)
