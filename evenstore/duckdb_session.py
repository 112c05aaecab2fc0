"""DuckDB in process: sessions pinned to UTC, remote stores registered, its errors as ours.

DuckDB keeps the time zone on the connection. A naive timestamp would be read in the machine's zone
in some casts, so every session is pinned to UTC before its first query.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from evenstore.errors import ConfigurationError, OfflineStoreError, SourceUnavailableError
from evenstore.schema.files import RemoteStore, SourceFiles
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.scan import build_probe_sql, used_columns

__all__ = [
    "SessionLimits",
    "find_damaged_file",
    "open_cursor",
    "open_session",
    "translate_duckdb_error",
]

_FEW_FILES = 32
_numbers = itertools.count()
_lock = threading.Lock()


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


_databases: dict[tuple[int, SessionLimits], duckdb.DuckDBPyConnection] = {}


@contextmanager
def open_session(
    limits: SessionLimits | None = None, *, sources: Iterable[SourceFiles] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session of its own for the block, and translate DuckDB's errors.

    SQL sees files and registered relations only, never the variables of Python code around it. Two
    sessions of one process never see each other's tables; those of the same limits share them.

    Args:
        limits: Memory and threads.
        sources: What the block reads. Their remote stores are registered, and an error of a damaged
            file names it.

    Raises:
        ConfigurationError: A limit has no meaning to DuckDB.
        SourceUnavailableError: A file cannot be read, or holds a value that cannot be converted.
        OfflineStoreError: Any other error of DuckDB.
    """
    read = tuple(sources)
    chosen = limits or SessionLimits()
    try:
        with _shared_session(chosen) if _can_share(read) else _own_session(chosen, read) as session:
            yield session
    except duckdb.Error as exc:
        found: SourceUnavailableError | None = None
        if _is_unreadable_file(exc):
            found = find_damaged_file(read)
        elif isinstance(exc, duckdb.ConversionException):
            found = _find_unconvertible_column(read)
        raise found or translate_duckdb_error(exc) from exc


@contextmanager
def open_cursor(session: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a second cursor that sees the session's tables, for a stream beside its queries."""
    ((schema,),) = session.sql("select current_schema()").fetchall()
    with session.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        cursor.execute(f"use {quote_identifier(schema)}")
        yield cursor


def _can_share(sources: tuple[SourceFiles, ...]) -> bool:
    """Tell whether a session leaves nothing behind in a database that others use.

    SQL of a caller's own could change settings; stores would stay registered with their
    credentials; footers of many files are worth keeping, but only as long as a session.
    """
    if not sources or any(source.store is not None for source in sources):
        return False
    return sum(len(source.paths) for source in sources) <= _FEW_FILES


@contextmanager
def _own_session(
    limits: SessionLimits, sources: tuple[SourceFiles, ...]
) -> Iterator[duckdb.DuckDBPyConnection]:
    with _connect(limits) as session:
        session.execute("set timezone = 'UTC'")
        # A join reads the footers of the same files more than once.
        session.execute("set parquet_metadata_cache = true")
        _register(session, sources)
        yield session


@contextmanager
def _shared_session(limits: SessionLimits) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session with a schema of its own in a database that the process keeps.

    A new database costs 30 ms, more than a small join.
    """
    database = _shared_database(limits)
    schema = quote_identifier(f"session_{next(_numbers)}")
    with database.cursor() as session:
        session.execute("set timezone = 'UTC'")
        session.execute(f"create schema {schema}")
        try:
            session.execute(f"use {schema}")
            yield session
        finally:
            with database.cursor() as cleaner:
                cleaner.execute(f"drop schema {schema} cascade")


def _shared_database(limits: SessionLimits) -> duckdb.DuckDBPyConnection:
    # Of this process alone: a forked child has the parent's memory, but not its threads.
    key = (os.getpid(), limits)
    with _lock:
        if key not in _databases:
            _databases[key] = _connect(limits)
        return _databases[key]


def find_damaged_file(sources: Iterable[SourceFiles]) -> SourceUnavailableError | None:
    """Read each file of some sources until one fails; DuckDB does not always say which it was.

    Returns:
        An error that names the view and the file, None where every file can be read.
    """
    for source in sources:
        for path in source.paths:
            one = source.only([path])
            why = _probe(one, used_columns(one))
            if why:
                msg = f"{_where(source)}`{path}` cannot be read: {why}"
                hint = "run again if it was replaced while it was read; else write it anew"
                return SourceUnavailableError(msg, hint=hint)
    return None


def _find_unconvertible_column(sources: Iterable[SourceFiles]) -> SourceUnavailableError | None:
    """Read each column of some sources until one fails; DuckDB does not say which it was."""
    for source in sources:
        for column in used_columns(source):
            if not _probe(source, [column]):
                continue
            failing = (path for path in source.paths if _probe(source.only([path]), [column]))
            path = next(failing, source.paths[0])
            why = _probe(source.only([path]), [column])
            msg = f"{_where(source)}column `{column}` of `{path}` cannot be converted: {why}"
            hint = "instants are kept as 64 bits of microseconds, which end in the year 294246"
            return SourceUnavailableError(msg, hint=hint)
    return None


def _probe(source: SourceFiles, columns: Iterable[str]) -> str:
    """Read all values of some columns, and say why they cannot be read; empty where they can."""
    try:
        with _connect(SessionLimits()) as connection:
            _register(connection, (source,))
            connection.execute(build_probe_sql(source, columns)).fetchall()
    except duckdb.Error as exc:
        return _first_line(exc)
    return ""


def _where(source: SourceFiles) -> str:
    return f"{source.name}: " if source.name else ""


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
