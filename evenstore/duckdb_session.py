"""DuckDB in process: sessions pinned to UTC, remote stores registered, its errors as ours.

DuckDB keeps the time zone on the connection. A naive timestamp would be read in the machine's zone
in some casts, so every session is pinned to UTC before its first query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from evenstore.errors import ConfigurationError, OfflineStoreError, SourceUnavailableError
from evenstore.schema.files import RemoteStore, SourceFiles
from evenstore.sql.scan import build_probe_sql

__all__ = ["SessionLimits", "find_damaged_file", "open_session", "translate_duckdb_error"]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one session may use; None leaves DuckDB's own default.

    Attributes:
        memory_limit: For example `2GB`; beyond it queries spill to `temp_directory`.
        threads: Number of worker threads.
        temp_directory: Where queries spill to.
    """

    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: str | None = None


@contextmanager
def open_session(
    limits: SessionLimits | None = None, *, sources: Iterable[SourceFiles] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session of its own for the block, and translate DuckDB's errors.

    SQL sees files and registered relations only, never the variables of Python code around it.

    Args:
        limits: Memory and threads.
        sources: What the block reads. Their remote stores are registered, and an error of a damaged
            file names it.

    Raises:
        ConfigurationError: A limit has no meaning to DuckDB.
        SourceUnavailableError: A file cannot be read.
        OfflineStoreError: Any other error of DuckDB.
    """
    read = tuple(sources)
    try:
        with _connect(limits or SessionLimits()) as connection:
            connection.execute("set timezone = 'UTC'")
            _register(connection, read)
            yield connection
    except duckdb.Error as exc:
        found = find_damaged_file(read) if _is_unreadable_file(exc) else None
        raise found or translate_duckdb_error(exc) from exc


def find_damaged_file(sources: Iterable[SourceFiles]) -> SourceUnavailableError | None:
    """Read each file of some sources until one fails; DuckDB does not always say which it was.

    Returns:
        An error that names the view and the file, None where every file can be read.
    """
    for source in sources:
        for path in source.paths:
            one = source.only([path])
            try:
                with _connect(SessionLimits()) as connection:
                    _register(connection, (one,))
                    connection.execute(build_probe_sql(one)).fetchall()
            except duckdb.Error as exc:
                where = f"{source.name}: " if source.name else ""
                msg = f"{where}`{path}` cannot be read: {_first_line(exc)}"
                hint = "run again if it was replaced while it was read; else write it anew"
                return SourceUnavailableError(msg, hint=hint)
    return None


def _register(connection: duckdb.DuckDBPyConnection, sources: Iterable[SourceFiles]) -> None:
    stores: dict[str, RemoteStore] = {
        source.store.session_scheme: source.store for source in sources if source.store is not None
    }
    if not stores:
        return
    from evenstore.schema.session_filesystem import SessionFileSystem

    for store in stores.values():
        connection.register_filesystem(SessionFileSystem(store))


def _connect(chosen: SessionLimits) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "python_enable_replacements": False,
    }
    for name in ("memory_limit", "threads", "temp_directory"):
        value = getattr(chosen, name)
        if value is not None:
            settings[name] = value
    try:
        return duckdb.connect(":memory:", config=settings)
    except duckdb.Error as exc:
        msg = f"offline store: {_first_line(exc)}"
        hint = "check `memory_limit`, `threads` and `temp_directory` in feature_store.yaml"
        raise ConfigurationError(msg, hint=hint) from exc


def translate_duckdb_error(exc: duckdb.Error) -> OfflineStoreError:
    """Map an error of DuckDB to ours."""
    extension = _EXTENSION.search(str(exc))
    if extension is not None:
        msg = f"DuckDB has no extension `{extension[1]}`, and evenstore downloads none"
        hint = "name the files in a data source, which needs no extension, or install it in DuckDB"
        return OfflineStoreError(msg, hint=hint)
    if _is_unreadable_file(exc):
        msg = f"a file of the source cannot be read: {_first_line(exc)}"
        return SourceUnavailableError(
            msg, hint="run again if it was replaced while it was read; else write it anew"
        )
    if isinstance(exc, duckdb.OutOfMemoryException):
        msg = f"DuckDB is out of memory: {_first_line(exc)}"
        return OfflineStoreError(
            msg, hint="raise `memory_limit`, or give `temp_directory` a disk with room"
        )
    return OfflineStoreError(f"DuckDB: {_first_line(exc)}")


_EXTENSION = re.compile(r"required extension '(\w+)")


def _is_unreadable_file(exc: duckdb.Error) -> bool:
    # DuckDB's Parquet reader reports damage as the bare base class, or as an invalid input that
    # says "file"; only what the operating system refuses is an IOException.
    is_damaged = type(exc) is duckdb.Error
    is_damaged |= isinstance(exc, duckdb.InvalidInputException) and "file" in str(exc).lower()
    return is_damaged or isinstance(exc, duckdb.IOException | duckdb.SerializationException)


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    # An error of a registered file system comes with its traceback; what happened is its last line.
    is_traceback = bool(lines) and lines[0].startswith("Traceback")
    return (lines[-1] if is_traceback else lines[0]) if lines else type(exc).__name__
