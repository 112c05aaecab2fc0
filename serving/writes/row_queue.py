"""Rows that wait to be written: what comes while others are written is written together.

One row costs nearly as much to encode and send as a hundred, and a change of thread as much again;
so all requests that wait go to one thread at once, whatever their views, and a lone one waits for
nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from evenstore.errors import OnlineStoreTimeoutError, OnlineStoreUnavailableError
from serving.errors import OverloadedError
from serving.writes.rows import PushedRows

__all__ = ["RowQueue"]

_MAX_ROWS = 10_000
_AT_ONCE = 2
_WORTH_A_SECOND_THREAD = 500

_REDIS_IS_AWAY = (OnlineStoreUnavailableError, OnlineStoreTimeoutError)


@dataclass(eq=False, slots=True)
class _Request:
    """Rows that one request writes: answered together, in `problem`."""

    parts: Sequence[PushedRows]
    n_rows: int
    stored: asyncio.Future[None]
    problem: Exception | None = field(default=None)


class RowQueue:
    """Writes rows in the order in which they come; one event loop's.

    Args:
        write: Writes rows of one view; called in a thread. Writing rows again must do no harm.
        threads: Where.
    """

    def __init__(self, write: Callable[[PushedRows], None], threads: Executor) -> None:
        self._write = write
        self._threads = threads
        self._waiting: deque[_Request] = deque()
        self._n_waiting_rows = 0
        self._n_under_way = 0

    async def write(self, parts: Iterable[PushedRows]) -> None:
        """Return when a request's rows are stored, in all of its views.

        Raises:
            Exception: Whatever `write` raised about this request's own rows, or because Redis is
                away; other requests written with it go by their own. Rows of other views may be
                stored.
        """
        filled = [part for part in parts if len(part)]
        if not filled:
            return
        n_rows = sum(map(len, filled))
        request = _Request(filled, n_rows, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._n_waiting_rows += n_rows
        self._begin()
        await request.stored

    def _begin(self) -> None:
        """Start a thread for what waits, if one is free.

        With few rows a second thread would only take turns with the first, and divide what is best
        written together. With many, one encodes while the other waits for Redis.
        """
        is_worth_it = not self._n_under_way or self._n_waiting_rows >= _WORTH_A_SECOND_THREAD
        if not self._waiting or not is_worth_it or self._n_under_way >= _AT_ONCE:
            return
        batch = self._take()
        if not batch:
            return
        loop = asyncio.get_running_loop()
        try:
            written = self._threads.submit(_write_all, batch, self._write)
        except RuntimeError as exc:
            self._refuse_from(batch, exc)
            return
        self._n_under_way += 1
        written.add_done_callback(lambda _: loop.call_soon_threadsafe(self._answer, batch, written))

    def _refuse_from(self, batch: Sequence[_Request], cause: RuntimeError) -> None:
        """Refuse some requests and all that wait: no thread can be had, so nobody would come."""
        refusal = _no_thread()
        refusal.__cause__ = cause
        while batch:
            _tell(batch, refusal)
            batch = self._take()

    def _take(self) -> list[_Request]:
        """Take what waited longest, not more than is good at once; nothing that was given up."""
        batch: list[_Request] = []
        n_rows = 0
        while self._waiting and (not batch or n_rows + self._waiting[0].n_rows <= _MAX_ROWS):
            request = self._waiting.popleft()
            self._n_waiting_rows -= request.n_rows
            if not request.stored.done():
                batch.append(request)
                n_rows += request.n_rows
        return batch

    def _answer(self, batch: Sequence[_Request], written: Future[None]) -> None:
        self._n_under_way -= 1
        _tell(batch, _no_thread() if written.cancelled() else written.exception())
        self._begin()


def _tell(batch: Sequence[_Request], failure: BaseException | None) -> None:
    """Answer requests: each by its own problem, unless all of them failed."""
    for request in batch:
        problem = request.problem if failure is None else failure
        if request.stored.done():  # Given up meanwhile.
            continue
        if problem is None:
            request.stored.set_result(None)
        else:
            request.stored.set_exception(problem)


def _no_thread() -> OverloadedError:
    msg = "no thread could be had to write the rows: the gateway stops, or has too many"
    return OverloadedError(msg, hint="send them again later; writing rows twice does no harm")


def _write_all(batch: Sequence[_Request], write: Callable[[PushedRows], None]) -> None:
    """Write the rows of requests, those of one view at a time."""
    # By identity: a view that was changed meanwhile is another one, of the same name.
    by_view: dict[int, list[tuple[_Request, PushedRows]]] = {}
    for request in batch:
        for part in request.parts:
            by_view.setdefault(id(part.view), []).append((request, part))
    for waiting in by_view.values():
        away = _write_view(waiting, write)
        if away is not None:
            # Every further view would wait for Redis as long again.
            for request in batch:
                request.problem = request.problem or away
            return


def _write_view(
    waiting: Sequence[tuple[_Request, PushedRows]], write: Callable[[PushedRows], None]
) -> Exception | None:
    """Write rows of one view; return why Redis is away, where it is."""
    problem = _attempt(write, PushedRows.joined([part for _, part in waiting]))
    if problem is None or isinstance(problem, _REDIS_IS_AWAY):
        return problem
    if len(waiting) == 1:
        request, _ = waiting[0]
        request.problem = request.problem or problem
        return None
    # Some rows are to blame, or the entity they belong to: the others are written.
    for one in waiting:
        away = _write_view([one], write)
        if away is not None:
            return away
    return None


def _attempt(write: Callable[[PushedRows], None], rows: PushedRows) -> Exception | None:
    try:
        write(rows)
    except Exception as exc:  # noqa: BLE001 - told to the request whose rows they are
        return exc
    return None
