"""The folder of one feature table: flat, immutable Parquet files, one for each day and correction.

A file is named `YYYY-MM-DD-<content id>.parquet`; the id is the hash of its rows, the SQL's
fingerprint and version, so a name never stands for two contents. The folder is flat on purpose: a
`day=...` path would appear as a feature in readers that understand partitions. Other files in the
folder are left alone.

One run at a time works on a folder: the second waits for the lock, which the kernel drops with the
process, so a killed run blocks nobody. What it left half-written is removed by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.errors import TransformError
from evenstore.transform.feature_sql import FeatureSql

__all__ = ["DayFiles", "Publication", "open_day_files", "read_day_metadata"]

_FILE_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})-[0-9a-f]{16}\.parquet")
_TEMPORARY_SUFFIX = ".tmp"
_PREFIX = "evenstore."


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing one day did to its folder."""

    n_written: int
    n_removed: int


class DayFiles:
    """The files of one feature table, held under its lock. Made by `open_day_files`."""

    def __init__(self, folder: Path, sql: FeatureSql) -> None:
        self._folder = folder
        self._sql = sql
        self._by_day: dict[date, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            match = _FILE_NAME.fullmatch(path.name)
            if match is not None:
                self._by_day.setdefault(date.fromisoformat(match[1]), []).append(path)

    def is_current(self, day: date, *, inputs: str, n_files: int) -> bool:
        """Tell whether a day has exactly so many files, made by this SQL from these inputs."""
        files = self._by_day.get(day, [])
        wanted = (self._sql.fingerprint, inputs)
        found = [read_day_metadata(file) for file in files]
        return len(files) == n_files and all(
            (metadata.get("sql_fingerprint"), metadata.get("inputs")) == wanted
            for metadata in found
        )

    def publish(self, day: date, files: Sequence[pa.Table], *, inputs: str) -> Publication:
        """Make tables the only files of their day; the same content again changes nothing.

        Args:
            day: Whose windows the rows are.
            files: Sorted rows of each file: the day's, then those of a correction.
            inputs: Digest of what they were made from, kept in the file.

        Guarantees:
            New files are complete and on disk before old ones go: a reader may see both for a
            moment, never neither. A kill in between leaves both, and the next run removes the old.
            A file that stays keeps the digest of the inputs it was first made from.
        """
        old = self._by_day.get(day, [])
        paths = []
        n_written = 0
        for revision, rows in enumerate(files):
            metadata = self._metadata(day, revision)
            content_id = hashlib.sha256(_parquet_bytes(rows, metadata)).hexdigest()[:16]
            path = self._folder / f"{day.isoformat()}-{content_id}.parquet"
            if path not in old or not read_day_metadata(path):
                self._write(path, _parquet_bytes(rows, metadata | {"inputs": inputs}))
                n_written += 1
            paths.append(path)
        outdated = [file for file in old if file not in paths]
        if outdated:  # A new name must survive a power cut before the old file goes.
            _sync_folder(self._folder)
        for file in outdated:
            file.unlink(missing_ok=True)
        self._by_day[day] = paths
        return Publication(n_written=n_written, n_removed=len(outdated))

    def _metadata(self, day: date, revision: int) -> dict[str, str]:
        # The day's own file is revision 0; it says nothing of it, so that its name does not depend
        # on whether a correction followed.
        correction = {"correction": str(revision)} if revision else {}
        return correction | {
            "sql_name": self._sql.name,
            "sql_version": str(self._sql.version),
            "sql_fingerprint": self._sql.fingerprint,
            "day": day.isoformat(),
            "version": version("evenstore"),
        }

    def _write(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY_SUFFIX}")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as exc:
            msg = f"cannot write `{path}`: {exc.strerror}"
            raise TransformError(
                msg, hint="make room or name another folder; days before stay"
            ) from exc
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def open_day_files(folder: Path, sql: FeatureSql) -> Iterator[DayFiles]:
    """Make the folder if need be, wait for its lock, clear what a killed run left.

    Raises:
        TransformError: The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the folder, not in it: the folder holds nothing but feature rows.
        lock = (folder.parent / f".{folder.name}.lock").open("ab")
    except OSError as exc:
        msg = f"{sql.name}: cannot write to `{folder}`: {exc.strerror}"
        raise TransformError(msg, hint="name a folder that can be made and written") from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
        try:
            yield DayFiles(folder, sql)
        finally:
            _sync_folder(folder)


def read_day_metadata(path: Path) -> Mapping[str, str]:
    """Read who made a file, from what and for which day; empty when it is not readable Parquet.

    Returns:
        `sql_name`, `sql_version`, `sql_fingerprint`, `day`, `version` (of evenstore), `inputs`, and
        `correction` where the file corrects the day's first one.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}
    return {
        key.decode().removeprefix(_PREFIX): value.decode()
        for key, value in metadata.items()
        if key.decode().startswith(_PREFIX)
    }


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parquet_bytes(rows: pa.Table, metadata: Mapping[str, str]) -> bytes:
    sink = pa.BufferOutputStream()
    schema_metadata = {_PREFIX + key: value for key, value in metadata.items()}
    pq.write_table(rows.replace_schema_metadata(schema_metadata), sink, compression="zstd")
    return bytes(sink.getvalue())
