"""DuckDB in process: sessions pinned to UTC, and its errors as ours.

DuckDB keeps the time zone on the connection. A naive timestamp would be read in the machine's zone
in some casts, so every session is pinned to UTC before its first query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from evenstore.errors import OfflineStoreError, SourceUnavailableError

__all__ = ["SessionLimits", "open_session"]


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

    Raises:
        SourceUnavailableError: A file cannot be read.
        OfflineStoreError: Any other error of DuckDB.
    """
    chosen = limits or SessionLimits()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False
    }
    for name in ("memory_limit", "threads", "temp_directory"):
        value = getattr(chosen, name)
        if value is not None:
            settings[name] = value
    try:
        with duckdb.connect(":memory:", config=settings) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection
    except duckdb.IOException as exc:
        msg = f"a file of the source cannot be read: {_first_line(exc)}"
        raise SourceUnavailableError(
            msg, hint="was it replaced while it was read? run again"
        ) from exc
    except duckdb.Error as exc:
        msg = f"DuckDB: {_first_line(exc)}"
        raise OfflineStoreError(msg) from exc


def _first_line(exc: BaseException) -> str:
    return next(iter(str(exc).strip().splitlines()), type(exc).__name__)
