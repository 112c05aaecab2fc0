"""Writers that a process of its own runs beside joins; it imports nothing that they do not need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "DRIVERS_OF_A_FILE",
    "EVENTS",
    "NOON",
    "N_FILES",
    "SECOND",
    "STAMP",
    "Pace",
    "append",
    "replace_in_place",
    "replace_with_new_names",
    "rows_of",
]

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STAMP = pa.timestamp("us", "UTC")
N_FILES, DRIVERS_OF_A_FILE, EVENTS = 3, 40, 50
_LAST_VERSION = 10**6


class Pace:
    """How a writer in another process rests between versions, until it is told that it is over.

    At first shorter than a few joins and longer than one; a reader that never gets to the end, on
    a slow machine, slows it down, for it would learn nothing.
    """

    def __init__(self, context: SpawnContext) -> None:
        self._is_over = context.Event()
        self._pause_s: Any = context.Value("d", 0.25)

    def rest(self) -> bool:
        """Wait until the next version; returns whether there is one."""
        return not self._is_over.wait(self._pause_s.value)

    def slow_down(self) -> None:
        self._pause_s.value *= 1.25

    def end(self) -> None:
        self._is_over.set()


def rows_of(file: int, version: int) -> pa.Table:
    """Make one file: every event of its drivers has the version, known when it was written."""
    drivers = [file * DRIVERS_OF_A_FILE + i for i in range(DRIVERS_OF_A_FILE)]
    n_rows = len(drivers) * EVENTS
    events = [NOON + SECOND * i for i in range(EVENTS) for _ in drivers]
    return pa.table(
        {
            "driver_id": pa.array(drivers * EVENTS, pa.int64()),
            "event_timestamp": pa.array(events, STAMP),
            "created": pa.array([NOON + SECOND * version] * n_rows, STAMP),
            "version": pa.array([version] * n_rows, pa.int64()),
        }
    )


def publish(path: Path, table: pa.Table) -> None:
    """Give a file its name when it is complete, replacing one of that name."""
    hidden = path.with_name(f".{path.name}")
    pq.write_table(table, hidden)
    hidden.replace(path)


def replace_with_new_names(folder: Path, pace: Pace) -> None:
    """Publish each file of a version under a new name, then remove the old one."""
    for version in range(1, _LAST_VERSION):
        for file in range(N_FILES):
            publish(folder / f"{file}-{version}.parquet", rows_of(file, version))
            (folder / f"{file}-{version - 1}.parquet").unlink()
        if not pace.rest():
            return


def replace_in_place(folder: Path, pace: Pace) -> None:
    """Replace each file under its own name, as no writer should and some do."""
    for version in range(1, _LAST_VERSION):
        for file in range(N_FILES):
            publish(folder / f"{file}-0.parquet", rows_of(file, version))
        if not pace.rest():
            return


def append(folder: Path, pace: Pace) -> None:
    """Add a file of corrections for every driver, again and again."""
    for version in range(1, _LAST_VERSION):
        table = pa.concat_tables([rows_of(file, version) for file in range(N_FILES)])
        publish(folder / f"more-{version}.parquet", table)
        if not pace.rest():
            return
