"""A view's source as it was known at given instants, for some of its entities.

`write_known_files` writes one file per instant with the rows that became known since the one
before. Loading the first files only is then a run that cannot see what was created later, by the
very code that loads a source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.offline.retry import unchanged_sources
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import EARLIEST_US
from evenstore.sql.known_rows import KnownRows

__all__ = ["KnownFiles", "write_known_files"]

_ENTITIES = "known_entities"


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """The files of one view, in the order in which their rows became known.

    Attributes:
        source: All files.
        n_files: For each instant, how many of the first files hold what was known then.
        n_never_known: Rows of the entities without a created timestamp, where others have one.
    """

    source: SourceFiles
    n_files: tuple[int, ...]
    n_never_known: int

    def is_new(self, instant_idx: int) -> bool:
        """Tell whether rows became known since the instant before; true at the first one."""
        return instant_idx == 0 or self.n_files[instant_idx] > self.n_files[instant_idx - 1]

    def known_at(self, instant_idx: int) -> SourceFiles:
        """Return the source as it was known at an instant."""
        return self.source.only(self.source.paths[: self.n_files[instant_idx]])


def write_known_files(
    source: SourceFiles,
    view: FeatureViewSchema,
    entity_table: pa.Table,
    instants_us: Sequence[int],
    folder: Path,
    *,
    limits: SessionLimits | None = None,
) -> KnownFiles:
    """Copy the rows of some entities, one file for each instant at which there are new ones.

    Args:
        source: The view's files, as they are now.
        view: The view.
        entity_table: The entities' join keys, of their declared types, each once.
        instants_us: Ascending, at least one.
        folder: An empty folder for the files.
        limits: Of DuckDB.

    Raises:
        SourceUnavailableError: A file cannot be read.
        SourceChangedError: A file was replaced while it was read: list the files anew.
    """
    statements = KnownRows(source, view, _ENTITIES)
    paths: list[str] = []
    n_files: list[int] = []
    after_us = EARLIEST_US
    with unchanged_sources([source]), open_session(limits, sources=[source]) as session:
        if view.join_keys:
            session.register(_ENTITIES, entity_table)
        session.execute(statements.keep_places_sql())
        session.execute(statements.keep_rows_sql())
        ((n_never_known,),) = session.sql(statements.count_never_known_sql()).fetchall()
        for i, until_us in enumerate(instants_us):
            ((n_rows,),) = session.sql(statements.count_sql(after_us, until_us)).fetchall()
            # Also without rows: a source has at least one file.
            if n_rows or not paths:
                paths.append(str(folder / f"known_{i:04d}.parquet"))
                session.execute(statements.copy_sql(after_us, until_us, paths[-1]))
            n_files.append(len(paths))
            after_us = until_us
    known = dataclasses.replace(
        source,
        paths=tuple(paths),
        path_columns=(),
        store=None,
        identities=(),
        ranged=(),
        is_uniform=True,
    )
    return KnownFiles(known, tuple(n_files), int(n_never_known))
