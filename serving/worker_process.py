"""One place among the workers, as the supervisor sees it: a process, and another when it dies."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from evenstore.errors import ConfigurationError
from serving.settings import READY_LINE, WorkerSettings

__all__ = ["WorkerProcess", "start_child"]

logger = logging.getLogger("evenstore.serving")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_STABLE_S = 10.0
_KILL_GRACE_S = 5


class WorkerProcess:
    """Keeps one worker running.

    `run` starts it, waits until it accepts requests, and replaces it when it ends, after a pause
    that doubles from 0.1 to 10 seconds as long as workers die young. `stop` lets it finish its
    requests.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.is_ready = asyncio.Event()
        self._settings = settings
        self._process: Process | None = None
        self._is_stopping = asyncio.Event()

    async def run(self) -> None:
        """Keep a worker running until `stop`.

        Raises:
            ConfigurationError: The very first process ended before it was ready: another one would,
                too.
        """
        pause_s = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while not self._is_stopping.is_set():
            started_s = loop.time()
            exit_code = await self._run_once()
            if self._is_stopping.is_set():
                return
            if not self.is_ready.is_set():
                msg = f"{self._settings.name} ended with exit code {exit_code} before it was ready"
                raise ConfigurationError(msg, hint="the lines above say why")
            if loop.time() - started_s > _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            logger.error(
                "%s ended with exit code %s: starting another in %.1f s",
                self._settings.name,
                exit_code,
                pause_s,
            )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """Ask the worker to finish its requests and end; kill it when it takes too long."""
        self._is_stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._settings.drain_s + _KILL_GRACE_S):
                await process.wait()
        except TimeoutError:
            logger.warning("%s did not end in time: killing it", self._settings.name)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _run_once(self) -> int:
        process = await start_child(
            "serving.worker", self._settings.to_json(), self._settings.listen_fd
        )
        self._process = process
        if process.stdout is None:
            raise subprocess.SubprocessError
        if await process.stdout.readline() == READY_LINE:
            if self.is_ready.is_set():
                logger.info("%s is back", self._settings.name)
            self.is_ready.set()
        return await process.wait()


async def start_child(module: str, settings: str, listen_fd: int) -> Process:
    """Start a process of the gateway: `python -m` a module, with settings over its standard input.

    The pipe stays open: its end tells the child that the supervisor is gone, however it went.

    Args:
        module: What to run.
        settings: One line.
        listen_fd: The listening socket that it inherits.
    """
    # A session of its own keeps Ctrl-C in a terminal from reaching it: the supervisor decides when
    # its children stop. `-P` keeps files of the working directory from shadowing packages.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        module,
        stdin=PIPE,
        stdout=PIPE,
        pass_fds=(listen_fd,),
        start_new_session=True,
    )
    if process.stdin is None:
        raise subprocess.SubprocessError
    process.stdin.write(settings.encode() + b"\n")
    return process
