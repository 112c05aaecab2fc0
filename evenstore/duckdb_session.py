"""DuckDB in process: sessions pinned to UTC, and its errors as ours.

DuckDB keeps the time zone on the connection. A naive timestamp would be read in the machine's zone
in some casts, so every session is pinned to UTC before its first query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from evenstore.errors import ConfigurationError, OfflineStoreError, SourceUnavailableError

__all__ = ["SessionLimits", "open_session", "translate_duckdb_error"]


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
def open_session(limits: SessionLimits | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a session of its own for the block, and translate DuckDB's errors.

    SQL sees files and registered relations only, never the variables of Python code around it.

    Raises:
        ConfigurationError: A limit has no meaning to DuckDB.
        SourceUnavailableError: A file cannot be read.
        OfflineStoreError: Any other error of DuckDB.
    """
    try:
        with _connect(limits or SessionLimits()) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection
    except duckdb.Error as exc:
        raise translate_duckdb_error(exc) from exc


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


def _is_unreadable_file(exc: duckdb.Error) -> bool:
    # DuckDB's Parquet reader reports damage as the bare base class, or as an invalid input that
    # says "file"; only what the operating system refuses is an IOException.
    is_damaged = type(exc) is duckdb.Error
    is_damaged |= isinstance(exc, duckdb.InvalidInputException) and "file" in str(exc).lower()
    return is_damaged or isinstance(exc, duckdb.IOException | duckdb.SerializationException)


def _first_line(exc: BaseException) -> str:
    return next(iter(str(exc).strip().splitlines()), type(exc).__name__)
