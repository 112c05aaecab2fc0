"""Snapshots on disk, by which any worker can tell the numbers of all.

Each place among the workers (`worker 1`, `worker 2`) has one file, which its present process
replaces every second, before every answer to `/metrics`, and when it ends. The process that takes
the place after a crash goes on from the file. So no number that was ever shown falls; what a killed
process counted in its last second, and never showed, is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from evenstore.errors import ConfigurationError
from evenstore.processes import process_start
from evenstore.whole_file import whole_file
from serving.telemetry.metrics import Metrics
from serving.telemetry.snapshot import Snapshot

__all__ = ["Place", "WorkerNumbers", "open_metrics_folder"]

logger = logging.getLogger("evenstore.serving")

WRITE_EVERY_S = 1.0

_PREFIX = "metrics-"
_SUFFIX = ".json"

WorkerNumbers = tuple[str, Snapshot]
"""A worker's name and its numbers; of one that has ended without its gauges."""

Numbered = tuple[int, Snapshot]
"""A snapshot and how many were taken before it, plus one."""


def open_metrics_folder(parent: Path) -> Path:
    """Make the folder of a supervisor that starts, and remove those of supervisors that ended.

    Args:
        parent: A private folder; several gateways may share it.

    Raises:
        ConfigurationError: The folder cannot be used.
    """
    folder = parent / f"{_PREFIX}{os.getpid()}"
    try:
        for old in parent.glob(f"{_PREFIX}*"):
            pid = old.name.removeprefix(_PREFIX)
            if pid.isdecimal() and (old == folder or process_start(int(pid)) is None):
                shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
    except OSError as exc:
        msg = f"cannot use `{folder}`: {exc.strerror}"
        raise ConfigurationError(msg, hint="`--home` takes a folder you can write to") from exc
    return folder


class Place:
    """One worker's file among those of all workers.

    Args:
        folder: As `open_metrics_folder` made it; None for a worker on its own.
        worker: The worker's name.
    """

    def __init__(self, folder: Path | None, worker: str) -> None:
        self._folder = folder
        self._worker = worker
        self._file_name = worker.replace(" ", "-") + _SUFFIX
        self._about = {"worker": worker, "pid": os.getpid(), "start": process_start(os.getpid())}
        self._complaint = ""
        # Threads may end in another order than they began: an older snapshot replaces no newer one.
        self._lock = threading.Lock()
        self._n_taken = self._n_written = 0

    def take_over(self) -> Snapshot:
        """Return what the processes before this one had counted."""
        if self._folder is None:
            return Snapshot()
        found = _read(self._folder / self._file_name)
        return Snapshot() if found is None else found[0]

    def write(self, numbered: Numbered) -> None:
        """Replace this worker's file; a full disk is told once and costs no request."""
        number, snapshot = numbered
        with self._lock:
            if self._folder is None or number <= self._n_written:
                return
            try:
                with whole_file(self._folder / self._file_name) as temporary:
                    temporary.write_bytes(snapshot.to_json(**self._about))
            except ConfigurationError as exc:
                if exc.message != self._complaint:
                    logger.warning("the metrics of all workers lack ours: %s", exc.message)
                    self._complaint = exc.message
                return
            self._complaint = ""
            self._n_written = number

    def take(self, metrics: Metrics) -> Numbered:
        """Take a snapshot to write; in the thread that counts."""
        self._n_taken += 1
        return self._n_taken, metrics.snapshot()

    def read_others(self) -> list[WorkerNumbers]:
        """Return the numbers of the other places."""
        if self._folder is None:
            return []
        numbers = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            found = None if path.name == self._file_name else _read(path)
            if found is not None:
                snapshot, about = found
                if process_start(int(about["pid"])) != about["start"]:
                    snapshot.gauges = {}
                numbers.append((str(about["worker"]), snapshot))
        return numbers

    async def keep(self, metrics: Metrics, *, every_s: float = WRITE_EVERY_S) -> None:
        """Write the file again and again, and once more when cancelled."""
        try:
            while True:
                await asyncio.to_thread(self.write, self.take(metrics))
                await asyncio.sleep(every_s)
        finally:
            self.write(self.take(metrics))

    async def collect(self, metrics: Metrics) -> list[WorkerNumbers]:
        """Return the numbers of all workers, this one's of now first."""
        own = self.take(metrics)
        # What is shown is on disk first: should this process be killed, no number falls.
        await asyncio.to_thread(self.write, own)
        return [(self._worker, own[1]), *await asyncio.to_thread(self.read_others)]


def _read(path: Path) -> tuple[Snapshot, dict[str, Any]] | None:
    try:
        return Snapshot.from_json(path.read_bytes())
    except (OSError, ValueError):
        return None
