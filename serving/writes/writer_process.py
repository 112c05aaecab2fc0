"""The writer process as the supervisor sees it: started when it is needed, and again when it dies.

It takes seconds to start, so it is started as soon as the workers are ready, without keeping them;
it has as much memory as two of them, which a gateway that only reads can be spared: then the first
request that writes starts it. The supervisor holds the listening socket, so that requests wait in
it while the writer starts; when it cannot be started, they are refused at once instead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path

from evenstore.processes import process_start
from serving.settings import READY_LINE
from serving.worker_process import start_child
from serving.writes.settings import WriterSettings

__all__ = ["WriterListener", "WriterProcess"]

logger = logging.getLogger("evenstore.serving")

_SUFFIX = ".sock"
_BACKLOG = 128
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_STABLE_S = 10.0
_KILL_GRACE_S = 5.0
# A Unix socket's path has at most 107 bytes on Linux, 103 on macOS.
_LONGEST_PATH = 100


class WriterListener:
    """The listening Unix socket, in a folder that only this user may enter.

    Args:
        folder: A private folder; where its path is too long for a socket, a temporary one is made.
        project: The Feast project, for the names of files.

    Attributes:
        path: The socket's.
        socket: The socket.
    """

    def __init__(self, folder: Path, project: str) -> None:
        self._own_folder: Path | None = None
        _remove_left(folder, project)
        self.path = folder / f"{project}.{os.getpid()}{_SUFFIX}"
        if len(str(self.path).encode()) > _LONGEST_PATH:
            self._own_folder = Path(tempfile.mkdtemp(prefix="evenstore-"))
            self.path = self._own_folder / "writer.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(0)
        self.socket.bind(str(self.path))
        self.socket.listen(_BACKLOG)

    def refuse_waiting(self) -> None:
        """Close the connections that nobody has taken."""
        with suppress(OSError):
            while True:
                self.socket.accept()[0].close()

    def close(self) -> None:
        """Take no more connections and remove the socket's file."""
        self.socket.close()
        self.path.unlink(missing_ok=True)
        if self._own_folder is not None:
            shutil.rmtree(self._own_folder, ignore_errors=True)


class WriterProcess:
    """Keeps one writer running, from `prepare` or the first request on.

    A writer that dies is started again by the next request; those under way with it are refused by
    their workers. After one that died young the next is started after a pause that doubles from 0.1
    to 10 seconds, in which requests are refused.

    Args:
        listener: The socket; closing it is the caller's.
        settings: For the process.
    """

    def __init__(self, listener: WriterListener, settings: WriterSettings) -> None:
        self._is_wanted = asyncio.Event()
        self._listener = listener
        self._settings = settings
        self._process: Process | None = None
        self._is_stopping = asyncio.Event()

    async def run(self) -> None:
        """Start a writer whenever it is needed, until `stop`."""
        pause_s = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_for_request()
            started_s = loop.time()
            exit_code = await self._run_once()
            if self._is_stopping.is_set():
                return
            if loop.time() - started_s > _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            logger.error("the writer ended with exit code %s", exit_code)
            await self._refuse_for(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def prepare(self) -> None:
        """Start a writer before anyone asks."""
        self._is_wanted.set()

    def begin_stop(self) -> None:
        """End the materializations under way; rows are still taken, for workers that finish."""
        self._is_stopping.set()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def stop(self) -> None:
        """Let the writer finish what it does, and end it."""
        self._is_stopping.set()
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            return
        process.stdin.close()
        try:
            async with asyncio.timeout(self._settings.drain_s + _KILL_GRACE_S):
                await process.wait()
        except TimeoutError:
            logger.warning("the writer did not end in time: killing it")
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run_once(self) -> int:
        process = await start_child(
            "serving.writes.writer", self._settings.to_json(), self._settings.listen_fd
        )
        self._process = process
        if process.stdout is not None and await process.stdout.readline() == READY_LINE:
            logger.info("the writer is ready")
        return await process.wait()

    async def _wait_for_request(self) -> None:
        loop = asyncio.get_running_loop()
        descriptor = self._listener.socket.fileno()
        loop.add_reader(descriptor, self._is_wanted.set)
        try:
            await self._is_wanted.wait()
        finally:
            loop.remove_reader(descriptor)
            self._is_wanted.clear()

    async def _refuse_for(self, pause_s: float) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + pause_s
        while loop.time() < until_s:
            self._listener.refuse_waiting()
            await asyncio.sleep(min(_FIRST_PAUSE_S, pause_s))


def _remove_left(folder: Path, project: str) -> None:
    """Remove the sockets of gateways that were killed; several may share the folder."""
    for path in folder.glob(f"{project}.*{_SUFFIX}"):
        pid = path.name.removeprefix(f"{project}.").removesuffix(_SUFFIX)
        if pid.isdecimal() and (int(pid) == os.getpid() or process_start(int(pid)) is None):
            path.unlink(missing_ok=True)
