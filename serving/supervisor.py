"""The supervisor: compiles the registry for the workers, keeps them running, stops them in order.

It imports Feast, so that no worker has to, and answers no request itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.processes import process_start
from evenstore.redis_url import redact_url
from evenstore.schema.document import read_document, write_document
from evenstore.schema.model import RegistrySchema
from serving.listener import base_url, start_listening
from serving.registry_source import RegistrySource
from serving.settings import GatewaySettings, WorkerSettings
from serving.worker_process import WorkerProcess

__all__ = ["Supervisor"]

logger = logging.getLogger("evenstore.serving")

_SCHEMA_POLL_S = 0.25
_WRITE_TRIES = 50
_WRITE_PAUSE_S = 0.1
_OWNER_POLL_S = 1.0


class Supervisor:
    """One gateway: a bound socket, a registry, and the workers between them.

    Args:
        settings: What was asked for.
        listener: The bound socket; closed when `run` returns.
        announce: Called once with the base URL when every worker accepts requests.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        listener: socket.socket,
        announce: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._announce = announce
        self._source = RegistrySource(settings.repo_path)
        self._document = _document_path(settings.home, self._source.project)
        self._schema: RegistrySchema | None = None
        self._complaint = ""

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            ConfigurationError: There is no usable schema, or a worker cannot start.
        """
        is_stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, is_stopping.set)
        redis_url = self._source.redis_url()
        await self._compile_first()
        start_listening(self._listener)
        workers = [
            WorkerProcess(self._worker_settings(n + 1, redis_url))
            for n in range(self._settings.n_workers)
        ]
        logger.info("project `%s`, Redis %s", self._source.project, redact_url(redis_url))
        running = [asyncio.create_task(worker.run(), name="worker") for worker in workers]
        try:
            await self._supervise(workers, running, is_stopping)
        finally:
            # First, so that new connections are refused instead of waiting for nobody.
            self._listener.close()
            await asyncio.gather(*(worker.stop() for worker in workers))
            await _cancel(running)

    async def _supervise(
        self,
        workers: Sequence[WorkerProcess],
        running: Sequence[asyncio.Task[None]],
        is_stopping: asyncio.Event,
    ) -> None:
        """Wait for the signal to stop, or for a worker that cannot start."""
        announcing = asyncio.create_task(self._announce_when_ready(workers), name="announce")
        own = [
            asyncio.create_task(is_stopping.wait(), name="signals"),
            asyncio.create_task(self._follow_registry(), name="registry"),
        ]
        if self._settings.owner_pid is not None:
            own.append(asyncio.create_task(_owner_end(self._settings.owner_pid), name="owner"))
        try:
            done, _ = await asyncio.wait([*own, *running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel([announcing, *own])
        for task in done:
            task.result()
        logger.info("stopping: no new connections, requests under way are finished")

    async def _announce_when_ready(self, workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            await worker.is_ready.wait()
        url = base_url(self._listener)
        logger.info("serving on %s with %d worker(s)", url, len(workers))
        self._announce(url)

    async def _compile_first(self) -> None:
        """Compile before any worker starts; fall back to what the last gateway compiled."""
        problem = await self._compile()
        tries = 0
        while problem is None and self._schema is None and tries < _WRITE_TRIES:
            # The registry was being written.
            await asyncio.sleep(_WRITE_PAUSE_S)
            problem = await self._compile()
            tries += 1
        if self._schema is not None:
            return
        if not self._document.is_file():
            raise _no_schema(problem) from problem
        try:
            self._schema = await asyncio.to_thread(read_document, self._document)
        except (EvenstoreError, OSError, ValueError, TypeError, LookupError) as exc:
            raise _no_schema(problem) from exc
        logger.warning(
            "starting from the last good schema %s: %s", self._schema.fingerprint, self._document
        )

    async def _follow_registry(self) -> None:
        while True:
            await asyncio.sleep(self._settings.registry_poll_s)
            await self._compile()

    async def _compile(self) -> BaseException | None:
        """Compile and publish the registry if it changed; return what prevented it, if anything."""
        # A registry's driver may raise anything at all, and none of it may end the supervisor:
        # the outcome is looked at instead of caught.
        compiling = asyncio.create_task(asyncio.to_thread(self._compile_and_publish))
        await asyncio.wait([compiling])
        problem = compiling.exception()
        if problem is None:
            if self._complaint:
                logger.warning("the registry can be read again")
            self._complaint = ""
            return None
        complaint = _describe(problem)
        if complaint != self._complaint:
            logger.error("the registry cannot be used, the schema stays as it is: %s", complaint)
            self._complaint = complaint
        return problem

    def _compile_and_publish(self) -> None:
        schema = self._source.read()
        if schema is None or schema == self._schema:
            return
        write_document(schema, self._document)
        self._schema = schema
        logger.info(
            "schema %s: %d feature views, %d on-demand views, %d feature services",
            schema.fingerprint,
            len(schema.feature_views),
            len(schema.on_demand_views),
            len(schema.feature_services),
        )

    def _worker_settings(self, number: int, redis_url: str) -> WorkerSettings:
        settings = self._settings
        return WorkerSettings(
            name=f"worker {number}",
            listen_fd=self._listener.fileno(),
            schema_path=str(self._document),
            redis_url=redis_url,
            redis_timeout_s=settings.redis_timeout_s,
            max_redis_connections=settings.max_redis_connections,
            schema_poll_s=_SCHEMA_POLL_S,
            drain_s=settings.drain_s,
            limits=settings.limits,
        )


async def _owner_end(pid: int) -> None:
    """Return when a process has ended; its start tells it from a later one with its pid."""
    started = process_start(pid)
    while True:
        await asyncio.sleep(_OWNER_POLL_S)
        if started is None or process_start(pid) != started:
            logger.info("process %d, which this gateway belongs to, has ended", pid)
            return


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _document_path(home: Path, project: str) -> Path:
    # Private: workers run the on-demand functions that the document holds.
    folder = home / "serving"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as exc:
        msg = f"cannot use `{folder}`: {exc.strerror}"
        raise ConfigurationError(msg, hint="`--home` takes a folder you can write to") from exc
    return folder.resolve() / f"{project}.schema.json"


def _no_schema(problem: BaseException | None) -> ConfigurationError:
    reason = "it stays empty" if problem is None else _describe(problem)
    msg = f"the registry cannot be used: {reason}"
    hint = problem.hint if isinstance(problem, EvenstoreError) else None
    return ConfigurationError(msg, hint=hint or "is `registry` in feature_store.yaml right?")


def _describe(problem: BaseException) -> str:
    if isinstance(problem, EvenstoreError):
        return problem.message
    text = str(problem).strip()
    first_line = text.splitlines()[0] if text else ""
    return f"{type(problem).__name__}: {first_line}"
