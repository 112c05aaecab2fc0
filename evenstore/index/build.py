"""Builds the index of one view: new files become a new segment, what is stale is dropped.

One build at a time works on a folder: the second waits for the lock, which the kernel drops with
the process. The catalogue is replaced when the new segment is whole, so that a killed build leaves
the index as it was; what it left behind is removed by the next one.
"""

from __future__ import annotations

import dataclasses
import fcntl
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import ConfigurationError, SourceUnavailableError
from evenstore.index.catalogue import (
    SEGMENTS,
    Catalogue,
    IndexedFile,
    IndexKind,
    SegmentEntry,
    indexed_files,
    read_catalogue,
    remove_catalogue,
    segment_folder,
    source_fingerprint,
    write_catalogue,
)
from evenstore.index.segment import open_segment
from evenstore.index.segment_writer import write_segment
from evenstore.progress import NullProgress, Progress
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema

__all__ = ["IndexSummary", "build_index", "remove_index"]

_LOCK = ".lock"
# Every segment is searched for every entity row.
_MAX_SEGMENTS = 8


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What a build did.

    Attributes:
        view: The view's name.
        kind: What the index holds beside keys and order.
        n_rows: Rows of the index now.
        n_files: Source files that it covers.
        n_files_added: Of these, files that were read now.
        n_segments: Its segments.
        n_bytes: Its size.
    """

    view: str
    kind: IndexKind
    n_rows: int
    n_files: int
    n_files_added: int
    n_segments: int
    n_bytes: int


def build_index(
    folder: Path,
    source: SourceFiles,
    view: FeatureViewSchema,
    *,
    kind: IndexKind = "table",
    limits: SessionLimits | None = None,
    progress: Progress | None = None,
) -> IndexSummary:
    """Make the index of a view cover its files as they are.

    Args:
        folder: The index's folder, this view's alone; made where it is missing.
        source: The view's files.
        view: The view.
        kind: What to keep beside keys and order; another one than before builds all anew.
        limits: Memory and threads of the sort.
        progress: Told of rows.

    Raises:
        SourceUnavailableError: A file cannot be read, or changed while it was read.
        ConfigurationError: The folder cannot be written.
    """
    with _locked(folder):
        present = indexed_files(source)
        fingerprint = source_fingerprint(source, view)
        before = _readable_catalogue(folder)
        _remove_all_but(folder, before.segments if before else ())
        kept: tuple[SegmentEntry, ...] = ()
        if before is not None and (before.kind, before.fingerprint) == (kind, fingerprint):
            kept = _usable_segments(folder, before, present, view)
        new = set(present) - {file for segment in kept for file in segment.files}
        if new and len(kept) >= _MAX_SEGMENTS:
            kept, new = (), set(present)
        segments = kept
        if new:
            paths = {file.path for file in new}
            added = _build_segment(
                folder,
                source.only(paths),
                view,
                kind,
                limits=limits,
                progress=progress or NullProgress(),
            )
            segments = (*kept, added)
        write_catalogue(folder, Catalogue(kind, fingerprint, segments))
        _remove_all_but(folder, segments)
    return IndexSummary(
        view=view.name,
        kind=kind,
        n_rows=sum(segment.n_rows for segment in segments),
        n_files=len(present),
        n_files_added=len(new),
        n_segments=len(segments),
        n_bytes=sum(segment.n_bytes for segment in segments),
    )


def remove_index(folder: Path) -> bool:
    """Remove an index; readers that have it open are not disturbed.

    Returns:
        Whether there was one.

    Raises:
        ConfigurationError: The folder cannot be written.
    """
    if not folder.is_dir():
        return False
    with _locked(folder):
        had_one = remove_catalogue(folder)
        _remove_all_but(folder, ())
    return had_one


def _readable_catalogue(folder: Path) -> Catalogue | None:
    try:
        return read_catalogue(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Another version's, or damaged: all is built anew.


def _usable_segments(
    folder: Path, before: Catalogue, present: Iterable[IndexedFile], view: FeatureViewSchema
) -> tuple[SegmentEntry, ...]:
    """Return the segments whose files are all as they were."""
    files = set(present)
    return tuple(
        segment
        for segment in before.segments
        if files.issuperset(segment.files) and _is_whole(folder, segment, view)
    )


def _is_whole(folder: Path, segment: SegmentEntry, view: FeatureViewSchema) -> bool:
    try:
        open_segment(segment_folder(folder, segment), segment, view)
    except (OSError, ValueError, KeyError, IndexError):
        return False
    return True


def _build_segment(
    folder: Path,
    source: SourceFiles,
    view: FeatureViewSchema,
    kind: IndexKind,
    *,
    limits: SessionLimits | None,
    progress: Progress,
) -> SegmentEntry:
    files = indexed_files(source)
    name = uuid.uuid4().hex
    entry = SegmentEntry(name, 0, 0, files, {})
    made = segment_folder(folder, entry)
    made.mkdir(parents=True)
    try:
        with open_session(limits, sources=[source]) as session:
            n_rows, n_entities = write_segment(
                session, made, source, view, kind=kind, progress=progress
            )
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    now = indexed_files(dataclasses.replace(source, identities=fingerprint_files(source)))
    if now != files:
        shutil.rmtree(made, ignore_errors=True)
        msg = f"{view.name}: a file changed while it was read"
        raise SourceUnavailableError(msg, hint="run again")
    sizes = {path.name: path.stat().st_size for path in sorted(made.iterdir())}
    return dataclasses.replace(entry, n_rows=n_rows, n_entities=n_entities, sizes=sizes)


def _remove_all_but(folder: Path, segments: Iterable[SegmentEntry]) -> None:
    """Remove segments that no catalogue names; who has one open keeps it."""
    kept = {segment.name for segment in segments}
    for path in sorted((folder / SEGMENTS).glob("*")):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("w")
    except OSError as exc:
        msg = f"cannot write the index `{folder}`: {exc.strerror or exc}"
        raise ConfigurationError(msg, hint="name a folder that can be written") from exc
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
