"""Rows that wait to be written: those of one view that come meanwhile are written together.

One row costs nearly as much to encode and send as a hundred; so a thousand small pushes a second
cost little, and a lone push waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from evenstore.errors import EvenstoreError, OnlineStoreError
from serving.writes.rows import PushedRows

__all__ = ["RowQueue"]

_MAX_ROWS = 10_000
_AT_ONCE = 2

_Waiting = tuple[PushedRows, asyncio.Future[None]]


class RowQueue:
    """Writes rows in the order in which they come; one event loop's.

    Args:
        write: Writes rows of one view; called in a thread.
        threads: Where.
    """

    def __init__(self, write: Callable[[PushedRows], None], threads: Executor) -> None:
        self._write = write
        self._threads = threads
        # Redis answers one batch while the next is encoded.
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting: dict[str, list[_Waiting]] = {}
        self._flushing: set[asyncio.Task[None]] = set()

    async def write(self, rows: PushedRows) -> None:
        """Return when the rows are stored.

        Raises:
            EvenstoreError: They are not.
        """
        if not len(rows):
            return
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        name = rows.view.name
        if name in self._waiting:
            self._waiting[name].append((rows, stored))
        else:
            self._waiting[name] = [(rows, stored)]
            task = asyncio.create_task(self._flush(name), name="flush")
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)
        await stored

    async def _flush(self, name: str) -> None:
        """Write what waits for a view now; what comes later begins a flush of its own."""
        async with self._slots:
            for batch in _batches(self._waiting.pop(name)):
                await self._write_batch(batch)

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        rows = PushedRows.joined([part for part, _ in batch])
        writing = asyncio.ensure_future(loop.run_in_executor(self._threads, self._write, rows))
        await asyncio.wait([writing])
        problem = writing.exception()
        is_of_rows = isinstance(problem, EvenstoreError) and not isinstance(
            problem, OnlineStoreError
        )
        if is_of_rows and len(batch) > 1:
            # Some rows are to blame: the others are written.
            for waiting in batch:
                await self._write_batch([waiting])
            return
        for _, stored in batch:
            if stored.cancelled():
                continue
            if problem is None:
                stored.set_result(None)
            else:
                stored.set_exception(problem)


def _batches(waiting: list[_Waiting]) -> list[list[_Waiting]]:
    """Divide rows so that no batch is too long and all are of the same state of the view."""
    batches: list[list[_Waiting]] = []
    n_rows = 0
    for item in waiting:
        rows, _ = item
        is_fitting = bool(batches) and batches[-1][0][0].view is rows.view
        if not is_fitting or n_rows + len(rows) > _MAX_ROWS:
            batches.append([])
            n_rows = 0
        batches[-1].append(item)
        n_rows += len(rows)
    return batches
