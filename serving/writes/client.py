"""The writer process as a worker sees it: requests over a Unix socket, bounded in number and time.

Neither Feast nor pandas is imported here.
"""

from __future__ import annotations

import asyncio
import logging

from serving.errors import (
    MaterializationTimeoutError,
    OverloadedError,
    WriterUnavailableError,
)
from serving.writes.wire import WriteAnswer, WriteOrder, read_answer

__all__ = ["WriterClient"]

logger = logging.getLogger("evenstore.serving")

_MAX_IDLE = 64
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class WriterClient:
    """Hands requests to the writer process; one event loop's.

    Connections are made as they are needed and kept. Materializations have a deadline of their own:
    their length is that of their data.

    Args:
        socket_path: The writer's socket; the supervisor starts the writer when someone connects.
        timeout_s: Longest wait for an answer.
        materialize_timeout_s: Longest wait for the end of a materialization.
        max_in_flight: Requests of this worker at a time; more are refused.
    """

    def __init__(
        self,
        socket_path: str,
        *,
        timeout_s: float = 30.0,
        materialize_timeout_s: float = 3600.0,
        max_in_flight: int = 64,
    ) -> None:
        self._socket_path = socket_path
        self._timeout_s = timeout_s
        self._materialize_timeout_s = materialize_timeout_s
        self._max_in_flight = max_in_flight
        self._n_in_flight = 0
        self._idle: list[_Connection] = []

    async def write(self, route: str, body: bytes) -> WriteAnswer:
        """Push or write rows; a lost connection is tried once more, which does no harm.

        Raises:
            OverloadedError: Too many requests wait.
            WriterUnavailableError: The writer process is not there, ended meanwhile, or did not
                answer in time; the rows may be written or not.
        """
        order = WriteOrder(route, body, patience_s=self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(order)
        except TimeoutError as exc:
            msg = f"the writer process did not answer within {self._timeout_s:g} s"
            raise WriterUnavailableError(msg, hint="send the rows again: it does no harm") from exc

    async def materialize(
        self, route: str, body: bytes, *, is_async: bool = False, force: bool = False
    ) -> WriteAnswer:
        """Begin a materialization and wait for its end, or only for its beginning.

        Args:
            route: `/materialize` or `/materialize-incremental`.
            body: The HTTP body.
            is_async: Whether the answer comes before the end.
            force: Whether one under way is ended first.

        Raises:
            OverloadedError: Too many requests wait.
            WriterUnavailableError: The writer process is not there, or ended meanwhile.
            MaterializationTimeoutError: It takes longer than anyone waits; it goes on.
        """
        order = WriteOrder(route, body, is_async=is_async, force=force)
        try:
            async with asyncio.timeout(self._materialize_timeout_s):
                return await self._send(order)
        except TimeoutError as exc:
            msg = f"no end of the materialization within {self._materialize_timeout_s:g} s"
            raise MaterializationTimeoutError(
                msg,
                hint="it goes on, and the gateway's log says how it ends; `?async=true` does not "
                "wait for that",
            ) from exc

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            _, stream = self._idle.pop()
            stream.close()

    async def _send(self, order: WriteOrder) -> WriteAnswer:
        if self._n_in_flight >= self._max_in_flight:
            msg = f"{self._n_in_flight} requests wait for the writer process"
            raise OverloadedError(msg, hint="nothing was written: send it again later")
        self._n_in_flight += 1
        try:
            return await self._send_on_some_connection(order)
        except (OSError, asyncio.IncompleteReadError, ValueError) as exc:
            logger.warning("the writer process cannot be reached: %s", type(exc).__name__)
            msg = "the writer process is not there"
            raise WriterUnavailableError(msg, hint="it is started again: retry") from exc
        finally:
            self._n_in_flight -= 1

    async def _send_on_some_connection(self, order: WriteOrder) -> WriteAnswer:
        # A kept connection may lead to a writer that has ended since. Repeating is for rows only: a
        # materialization might have begun.
        if self._idle and order.patience_s is not None:
            try:
                return await self._exchange(self._idle.pop(), order)
            except (OSError, asyncio.IncompleteReadError):
                await self.close()
        return await self._exchange(await self._connect(), order)

    async def _connect(self) -> _Connection:
        return await asyncio.open_unix_connection(self._socket_path)

    async def _exchange(self, connection: _Connection, order: WriteOrder) -> WriteAnswer:
        reader, stream = connection
        try:
            stream.write(order.encode())
            await stream.drain()
            answer = await read_answer(reader)
        except BaseException:
            stream.close()  # An answer that nobody reads would be taken for a later one.
            raise
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(connection)
        else:
            stream.close()
        return answer
