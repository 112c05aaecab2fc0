"""Compacts the folder of one source: small or unsorted files become sorted ones.

Only files that were there at the start are touched, so that a writer that publishes meanwhile loses
nothing. One compaction at a time works on a folder: the second is refused. The kernel drops the
lock with the process, so a killed one blocks nobody.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from evenstore.compaction.journal import (
    Journal,
    NewFile,
    publish,
    read_journal,
    remove_old,
    write_journal,
)
from evenstore.compaction.rewrite import HIDDEN_FILES, Rewrite
from evenstore.compaction.selection import FileToCompact, describe_order, read_files, select
from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import ConfigurationError, OfflineStoreError, SourceUnavailableError
from evenstore.progress import NullProgress, Progress
from evenstore.schema.files import FileIdentity, SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema

__all__ = ["LISTING_S", "CompactionReport", "RewrittenFile", "compact_folder"]

_LOCK = ".compaction.lock"
_SCRATCH = ".compaction-"
# Longer than a reader needs to list a folder: one that had begun before the new files had their
# names has seen the old ones.
LISTING_S = 1.0


@dataclass(frozen=True, slots=True)
class RewrittenFile:
    """A file that is replaced, its rows, and why."""

    path: str
    n_rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did, or would do.

    Attributes:
        view: Whose join keys the rows are sorted by.
        folder: The source.
        n_files: Files before.
        n_files_written: New ones; 0 in a dry run.
        n_rows: Rows that were rewritten.
        rewritten: The files that were replaced.
        is_recovered: Whether a compaction that was killed was carried through first.
    """

    view: str
    folder: str
    n_files: int
    n_files_written: int
    n_rows: int
    rewritten: tuple[RewrittenFile, ...]
    is_recovered: bool


def compact_folder(
    folder: Path,
    open_files: Callable[[], SourceFiles],
    view: FeatureViewSchema,
    *,
    target_rows: int,
    is_dry_run: bool = False,
    limits: SessionLimits | None = None,
    progress: Progress | None = None,
    listing_s: float = LISTING_S,
) -> CompactionReport:
    """Rewrite the small and the unsorted files of a folder.

    Args:
        folder: A local folder, of which all Parquet files are the source's.
        open_files: Opens the source; called when what a killed run left has been cleared.
        view: The view by whose join keys rows are sorted.
        target_rows: Rows of a file, about; one of less than half is small.
        is_dry_run: Only say what would be rewritten.
        limits: Memory and threads of the sort.
        progress: Told of rows.
        listing_s: How long old files stay beside the new ones, for readers that are listing.

    Guarantees:
        At every moment the files hold all rows; some twice, until the old files are gone. A run
        that was killed is carried through by the next one.

    Raises:
        OfflineStoreError: Another compaction works on the folder, or its files are those of
            `evenstore transform`.
        SourceUnavailableError: A file cannot be read, or changed meanwhile; nothing is replaced.
        ConfigurationError: The folder cannot be written.
    """
    if is_dry_run:
        source = open_files()
        groups = _groups(source, view, target_rows)
        return _report(source, folder, groups, 0, is_recovered=False)
    with _locked(folder):
        is_recovered = _recover(folder)
        source = open_files()
        groups = _groups(source, view, target_rows)
        rewrites = [_rewrite(source, view, group, target_rows) for group in groups]
        written: list[NewFile] = []
        if rewrites:
            written = _write(folder, rewrites, limits, progress or NullProgress())
            _replace(folder, source, groups, written, listing_s)
        return _report(source, folder, groups, len(written), is_recovered=is_recovered)


def _sort_columns(source: SourceFiles, view: FeatureViewSchema) -> tuple[str, ...]:
    named = dict(source.columns)
    in_paths = {column.name for column in source.path_columns}
    stamps = [source.event.name, *([source.created.name] if source.created else [])]
    columns = [*(named[key.name] for key in view.join_keys), *stamps]
    return tuple(column for column in columns if column not in in_paths)


def _groups(
    source: SourceFiles, view: FeatureViewSchema, target_rows: int
) -> list[list[FileToCompact]]:
    files = read_files(source.identities, where=source.name)
    sorted_by = describe_order(_sort_columns(source, view))
    return select(files, sorted_by=sorted_by, target_rows=target_rows)


def _rewrite(
    source: SourceFiles, view: FeatureViewSchema, group: list[FileToCompact], target_rows: int
) -> Rewrite:
    files = [chosen.file for chosen in group]
    return Rewrite(
        source.only({file.identity.path for file in files}),
        files,
        _sort_columns(source, view),
        target_rows,
    )


def _write(
    folder: Path, rewrites: Sequence[Rewrite], limits: SessionLimits | None, progress: Progress
) -> list[NewFile]:
    written: list[NewFile] = []
    try:
        with TemporaryDirectory(dir=folder, prefix=_SCRATCH) as scratch:
            for rewrite in rewrites:
                with open_session(limits, sources=[rewrite.source]) as session:
                    written += rewrite.write(session, Path(scratch), progress)
    except BaseException:
        _remove_leftovers(folder)
        raise
    return written


def _replace(
    folder: Path,
    source: SourceFiles,
    groups: Sequence[Sequence[FileToCompact]],
    written: Sequence[NewFile],
    listing_s: float,
) -> None:
    old = tuple(chosen.file.identity for group in groups for chosen in group)
    try:
        _check_unchanged(source, old)
        journal = Journal(tuple(written), old)
        write_journal(folder, journal)
    except BaseException:
        if read_journal(folder) is None:
            _remove_leftovers(folder)
        raise
    publish(journal)
    time.sleep(listing_s)
    remove_old(folder, journal)


def _check_unchanged(source: SourceFiles, old: Sequence[FileIdentity]) -> None:
    if fingerprint_files(source.only({identity.path for identity in old})) != tuple(
        sorted(old, key=lambda identity: identity.path)
    ):
        msg = f"{source.name}: a file was replaced meanwhile; nothing was compacted"
        raise SourceUnavailableError(msg, hint="run again")


def _recover(folder: Path) -> bool:
    """Carry through what a killed run had decided, and clear what it had not."""
    journal = read_journal(folder)
    if journal is not None:
        publish(journal)
        remove_old(folder, journal)
    _remove_leftovers(folder)
    return journal is not None


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(f"{_SCRATCH}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.rglob(HIDDEN_FILES):
        path.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / _LOCK
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as exc:
        msg = f"cannot write to `{folder}`: {exc.strerror or exc}"
        raise ConfigurationError(msg, hint="run as a user who may write there") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.seek(0)
            msg = f"another compaction works on `{folder}` (process {file.read() or 'unknown'})"
            raise OfflineStoreError(msg, hint="wait until it has ended") from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _report(
    source: SourceFiles,
    folder: Path,
    groups: Sequence[Sequence[FileToCompact]],
    n_written: int,
    *,
    is_recovered: bool,
) -> CompactionReport:
    rewritten = tuple(
        RewrittenFile(chosen.file.identity.path, chosen.file.n_rows, chosen.reason)
        for group in groups
        for chosen in group
    )
    return CompactionReport(
        view=source.name,
        folder=str(folder),
        n_files=len(source.paths),
        n_files_written=n_written,
        n_rows=sum(file.n_rows for file in rewritten),
        rewritten=rewritten,
        is_recovered=is_recovered,
    )
