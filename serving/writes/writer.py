"""The writer process: the one process of a gateway that writes, beside the workers that read.

Started by the supervisor as `python -m serving.writes.writer` when a worker first connects to the
writer's socket. Its standard input carries one line of settings and stays open for as long as the
supervisor lives; its standard output says `ready` once. SIGTERM ends the materializations under
way; rows are taken until standard input ends, so that workers can finish their requests.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from uvloop import new_event_loop

from evenstore.errors import ConfigurationError, EvenstoreError
from serving.logs import configure_logging
from serving.settings import READY_LINE
from serving.writes.pipes import read_line, take_standard_output
from serving.writes.settings import WriterSettings
from serving.writes.wire import read_order

__all__ = ["main"]

logger = logging.getLogger("evenstore.serving")

_STDIN = 0
_READ_SIZE = 2**20


def main() -> int:
    """Write until told to stop; returns the exit code."""
    # Until its own handler is there, a signal to end what has not begun means nothing.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready_fd = take_standard_output()
    configure_logging("writer")
    try:
        settings = WriterSettings.from_json(read_line())
        configure_logging("writer", log_format=settings.log_format)
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_Writer(settings).run(ready_fd))
    except EvenstoreError as exc:
        logger.critical("%s", exc.message)
        return 1
    return 0


class _Writer:
    """The server on the Unix socket."""

    def __init__(self, settings: WriterSettings) -> None:
        if not Path(settings.repo_path).is_dir():
            msg = f"the Feast repo is gone: {settings.repo_path}"
            raise ConfigurationError(msg, hint="put it back, or restart the gateway elsewhere")
        # Feast takes seconds to import: what is certain to fail fails before.
        from serving.writes.orders import WriteOrders

        self._settings = settings
        self._orders = WriteOrders(settings)
        self._is_gone = asyncio.Event()
        self._n_busy = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._ending: list[asyncio.Task[None]] = []

    async def run(self, ready_fd: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end_materializations)
        loop.add_reader(_STDIN, self._on_supervisor_input)
        listener = socket.socket(fileno=self._settings.listen_fd)
        server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_READ_SIZE)
        gc.collect()
        gc.freeze()
        os.write(ready_fd, READY_LINE)
        os.close(ready_fd)
        # Beside the first requests, not before them: a registry that is away may take its time.
        warming = loop.run_in_executor(None, self._orders.warm)
        await self._is_gone.wait()
        server.close()
        warming.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                await self._orders.end_materializations()
                await self._is_idle.wait()
        # Threads that wait for Redis must not hold up the end: what they write is written or not.
        logging.shutdown()
        os._exit(0)

    def _end_materializations(self) -> None:
        self._ending.append(asyncio.create_task(self._orders.end_materializations()))

    def _on_supervisor_input(self) -> None:
        # Nothing is sent after the settings: this is the end of the pipe, and of the gateway.
        if not os.read(_STDIN, 1):
            asyncio.get_running_loop().remove_reader(_STDIN)
            self._is_gone.set()

    async def _serve(self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        limit = self._settings.max_body_bytes
        try:
            while (order := await read_order(reader, max_body_bytes=limit)) is not None:
                self._n_busy += 1
                self._is_idle.clear()
                try:
                    answer = await self._orders.carry_out(order)
                    stream.write(answer.encode())
                    await stream.drain()
                finally:
                    self._n_busy -= 1
                    if not self._n_busy:
                        self._is_idle.set()
        except (OSError, ValueError, asyncio.IncompleteReadError) as exc:
            logger.warning("a worker's connection was lost: %s", type(exc).__name__)
        finally:
            stream.close()


if __name__ == "__main__":
    sys.exit(main())
