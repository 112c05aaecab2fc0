"""The files that a dataset is joined from: pinned when the join is opened, hashed when it is done.

Data files are immutable by rule. A file that is another one when it is hashed than when it was
pinned breaks the rule, and with it the proof: no dataset is made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evenstore.errors import SourceUnavailableError, TrainingError
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import fingerprint
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from training.manifest import CreatedTimestamps, SourceFile, ViewOrigin

__all__ = ["PinnedFile", "PinnedView", "hash_files", "hash_views", "pin_files", "pin_view"]

_N_THREADS = 4


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file as it was when it was pinned.

    Attributes:
        path: Absolute path, or the URL of a remote file.
        name: How the manifest calls it: relative to the feature repo where both share a folder.
        version: Size in bytes, modification time in nanoseconds and inode; None for a remote file,
            whose content cannot be pinned.
    """

    path: str
    name: str
    version: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class PinnedView:
    """What one view is read from.

    Attributes:
        name: The view's name, or the alias it was asked for by.
        schema_fingerprint: Of the view.
        source_fingerprint: Of what its columns and timestamps are called in the source.
        created_column: In the source; None where it has none.
        files: In the order of their names.
    """

    name: str
    schema_fingerprint: str
    source_fingerprint: str
    created_column: str | None
    files: tuple[PinnedFile, ...]


def pin_view(read: ViewRead, source: SourceFiles, repo: Path) -> PinnedView:
    """Note what a view is about to be read from.

    Raises:
        SourceUnavailableError: A file is gone.
    """
    created = None if source.created is None else source.created.name
    in_paths = tuple(column.name for column in source.path_columns)
    return PinnedView(
        name=read.output_name,
        schema_fingerprint=read.view.fingerprint,
        source_fingerprint=fingerprint((source.event.name, created, source.columns, in_paths)),
        created_column=created,
        files=pin_files(source.paths, repo),
    )


def pin_files(paths: Iterable[str], repo: Path) -> tuple[PinnedFile, ...]:
    """Note what files are there now, in the order of their names.

    Raises:
        SourceUnavailableError: A file is gone.
    """
    files = (_pin_file(path, repo.resolve()) for path in paths)
    return tuple(sorted(files, key=lambda file: file.name))


def hash_views(views: Iterable[PinnedView], knowledge: Knowledge) -> tuple[ViewOrigin, ...]:
    """Hash the files of all views, each file once.

    Raises:
        SourceUnavailableError: A file cannot be read.
        TrainingError: A file was changed since it was pinned.
    """
    pinned = tuple(views)
    hashed = hash_files(file for view in pinned for file in view.files)
    return tuple(
        ViewOrigin(
            name=view.name,
            schema_fingerprint=view.schema_fingerprint,
            source_fingerprint=view.source_fingerprint,
            created_timestamps=_created_timestamps(view, knowledge),
            n_created_nulls=_count_created_nulls(view, knowledge),
            files=tuple(hashed[file] for file in view.files),
        )
        for view in pinned
    )


def hash_files(files: Iterable[PinnedFile]) -> dict[PinnedFile, SourceFile]:
    """Hash the content of files, several at a time.

    Raises:
        SourceUnavailableError: A file cannot be read.
        TrainingError: A file was changed since it was pinned.
    """
    unique = tuple(dict.fromkeys(files))
    with ThreadPoolExecutor(_N_THREADS) as threads:
        return dict(zip(unique, threads.map(_hash_file, unique), strict=True))


def _pin_file(path: str, repo: Path) -> PinnedFile:
    if "://" in path:
        return PinnedFile(path, path, None)
    try:
        stat = Path(path).stat()
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    version = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return PinnedFile(path, _relative(path, repo), version)


def _relative(path: str, repo: Path) -> str:
    try:
        shared = os.path.commonpath([path, repo])
    except ValueError:  # Another drive of Windows.
        return path
    if Path(shared) == Path(shared).parent:
        return path
    return Path(os.path.relpath(path, repo)).as_posix()


def _hash_file(file: PinnedFile) -> SourceFile:
    if file.version is None:
        return SourceFile(file.name, None, None)
    try:
        with Path(file.path).open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            stat = Path(file.path).stat()
    except OSError as exc:
        raise _unreadable(file.path, exc) from exc
    if (stat.st_size, stat.st_mtime_ns, stat.st_ino) != file.version:
        msg = f"source file `{file.path}` was changed while the dataset was made from it"
        raise TrainingError(
            msg, hint="publish corrections as new files, and build the dataset again"
        )
    return SourceFile(file.name, stat.st_size, sha256)


def _unreadable(path: str, exc: OSError) -> SourceUnavailableError:
    msg = f"source file `{path}` cannot be read: {exc.strerror or exc}"
    return SourceUnavailableError(
        msg, hint="files are found when the dataset is built: build it again"
    )


def _created_timestamps(view: PinnedView, knowledge: Knowledge) -> CreatedTimestamps:
    if view.created_column is None:
        return CreatedTimestamps.ABSENT
    if knowledge is Knowledge.AS_KNOWN:
        return CreatedTimestamps.APPLIED
    return CreatedTimestamps.IGNORED


def _count_created_nulls(view: PinnedView, knowledge: Knowledge) -> int | None:
    is_applied = _created_timestamps(view, knowledge) is CreatedTimestamps.APPLIED
    if view.created_column is None or not is_applied:
        return None
    if any(file.version is None for file in view.files):
        return None
    return sum(_count_nulls(file.path, view.created_column) for file in view.files)


def _count_nulls(path: str, column: str) -> int:
    """Count the nulls of a column, from the file's statistics where it has them."""
    try:
        file = pq.ParquetFile(path)
        metadata = file.metadata
        names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        if column not in names:
            return int(metadata.num_rows)
        column_idx, n_nulls = names.index(column), 0
        for i in range(metadata.num_row_groups):
            statistics = metadata.row_group(i).column(column_idx).statistics
            if statistics is not None and statistics.has_null_count:
                n_nulls += statistics.null_count
            else:
                n_nulls += pc.sum(pc.is_null(file.read_row_group(i, [column])[column])).as_py() or 0
    except (OSError, pa.ArrowException) as exc:
        msg = f"source file `{path}` is no readable Parquet file"
        raise SourceUnavailableError(msg, hint="was it written to its end?") from exc
    return n_nulls
