"""Compacts the batch source of a Feast view."""

from __future__ import annotations

import functools
from pathlib import Path

from feast import FeatureView, FileSource
from feast.data_format import DeltaFormat
from feast.data_source import DataSource

from evenstore.compaction.compact import LISTING_S, CompactionReport, compact_folder
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import OfflineStoreError
from evenstore.progress import Progress
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.remote import is_url
from evenstore.schema.source import batch_source, open_source, resolve_path

__all__ = ["compact_view", "source_folder"]


def compact_view(
    view: FeatureView,
    schema: FeatureViewSchema,
    repo_path: Path | None,
    *,
    target_rows: int,
    is_dry_run: bool = False,
    limits: SessionLimits | None = None,
    progress: Progress | None = None,
    listing_s: float = LISTING_S,
) -> CompactionReport:
    """Compact a view's source; see `evenstore.compaction.compact.compact_folder`.

    Args:
        view: The Feast view, for its source: a local folder.
        schema: The same view, compiled.
        repo_path: What relative paths are relative to.
        target_rows: Rows of a file, about.
        is_dry_run: Only say what would be rewritten.
        limits: Memory and threads of the sort.
        progress: Told of rows.
        listing_s: How long old files stay beside the new ones.

    Raises:
        OfflineStoreError: The source is no local folder, another compaction works on it, or its
            files are those of `evenstore transform`.
        SourceUnavailableError: A file cannot be read, or changed meanwhile; nothing is replaced.
        ConfigurationError: The folder cannot be written.
    """
    return compact_folder(
        source_folder(batch_source(view), repo_path),
        functools.partial(open_source, view, schema, repo_path),
        schema,
        target_rows=target_rows,
        is_dry_run=is_dry_run,
        limits=limits,
        progress=progress,
        listing_s=listing_s,
    )


def source_folder(source: DataSource, repo_path: Path | None) -> Path:
    """Return the folder of a source that can be compacted.

    Raises:
        OfflineStoreError: The source is one file, a glob, a table or on a remote store.
    """
    where = f"data source `{source.name}`"
    if not isinstance(source, FileSource) or isinstance(source.file_format, DeltaFormat):
        msg = f"{where} is a table: its files are not evenstore's to replace"
        raise OfflineStoreError(msg, hint="compact it with its own tools")
    if is_url(source.path.removeprefix("file://")):
        msg = f"{where} is on a remote store"
        raise OfflineStoreError(msg, hint="only the files of a local folder can be compacted")
    folder = Path(resolve_path(source.path, repo_path))
    if not folder.is_dir():
        msg = f"{where} is not a folder: `{folder}`"
        hint = "point the source at a folder; one file and a glob cannot be compacted"
        raise OfflineStoreError(msg, hint=hint)
    return folder
