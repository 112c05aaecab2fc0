"""The supervisor: compiles the registry, keeps workers and writer running, stops them in order.

It imports Feast, so that no worker has to, and answers no request itself. Where nothing has changed
since the last gateway it does so only when the registry changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenstore.clock import SystemClock
from evenstore.errors import ConfigurationError
from evenstore.processes import process_start
from evenstore.redis_url import redact_url
from serving.listener import base_url, start_listening
from serving.schema_publisher import SchemaPublisher
from serving.settings import GatewaySettings
from serving.telemetry.places import open_metrics_folder
from serving.warm_start import WarmStart, find_warm_start
from serving.worker_process import WorkerProcess
from serving.writes.settings import WriterSettings
from serving.writes.writer_process import WriterListener, WriterProcess

if TYPE_CHECKING:
    from serving.registry_source import RegistrySource

__all__ = ["Supervisor", "gateway_folder"]

logger = logging.getLogger("evenstore.serving")

_FOLDER = "serving"
_N_REPO_DIGITS = 8
_SCHEMA_POLL_S = 0.25
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

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            ConfigurationError: There is no usable schema, or a worker cannot start.
        """
        is_stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, is_stopping.set)
        start = await asyncio.to_thread(_prepare, self._settings)
        await start.publish()
        start_listening(self._listener)
        logger.info("project `%s`, Redis %s", start.project, redact_url(start.redis_url))
        if not self._settings.writes:
            await self._run_processes(start, None, is_stopping)
            return
        writer_listener = WriterListener(start.folder, start.project)
        try:
            await self._run_processes(start, writer_listener, is_stopping)
        finally:
            writer_listener.close()

    async def _run_processes(
        self, start: _Start, writer_listener: WriterListener | None, is_stopping: asyncio.Event
    ) -> None:
        """Run workers and writer until the end, then stop them in order."""
        metrics_folder = open_metrics_folder(start.folder)
        workers = []
        for n in range(self._settings.n_workers):
            settings = self._settings.for_worker(
                f"worker {n + 1}",
                listen_fd=self._listener.fileno(),
                schema_path=str(start.publisher.document),
                redis_url=start.redis_url,
                schema_poll_s=_SCHEMA_POLL_S,
                writer_socket=None if writer_listener is None else str(writer_listener.path),
                metrics_folder=str(metrics_folder),
                status_path=str(start.publisher.status_path),
            )
            workers.append(WorkerProcess(settings))
        running = [asyncio.create_task(worker.run(), name="worker") for worker in workers]
        writer = None if writer_listener is None else self._writer(writer_listener)
        if writer is not None:
            running.append(asyncio.create_task(writer.run(), name="writer"))
        try:
            ready = asyncio.create_task(self._announce_when_ready(workers, writer), name="ready")
            await self._supervise(start.publisher, [ready], running, is_stopping)
        finally:
            # First, so that new connections are refused instead of waiting for nobody.
            self._listener.close()
            if writer is not None:
                writer.begin_stop()
            await asyncio.gather(*(worker.stop() for worker in workers))
            if writer is not None:
                await writer.stop()
            await _cancel(running)

    async def _supervise(
        self,
        publisher: SchemaPublisher,
        beside: Sequence[asyncio.Task[None]],
        running: Sequence[asyncio.Task[None]],
        is_stopping: asyncio.Event,
    ) -> None:
        """Wait for the signal to stop, or for a worker that cannot start."""
        own = [
            asyncio.create_task(is_stopping.wait(), name="signals"),
            asyncio.create_task(
                publisher.follow(poll_s=self._settings.registry_poll_s), name="registry"
            ),
        ]
        if self._settings.owner_pid is not None:
            own.append(asyncio.create_task(_owner_end(self._settings.owner_pid), name="owner"))
        try:
            done, _ = await asyncio.wait([*own, *running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel([*beside, *own])
        for task in done:
            task.result()
        logger.info("stopping: no new connections, requests under way are finished")

    async def _announce_when_ready(
        self, workers: Sequence[WorkerProcess], writer: WriterProcess | None
    ) -> None:
        for worker in workers:
            await worker.is_ready.wait()
        url = base_url(self._listener)
        logger.info("serving on %s with %d worker(s)", url, len(workers))
        self._announce(url)
        if writer is not None and not self._settings.lazy_writer:
            writer.prepare()

    def _writer(self, listener: WriterListener) -> WriterProcess:
        limits = self._settings.limits
        settings = WriterSettings(
            listen_fd=listener.socket.fileno(),
            repo_path=str(self._settings.repo_path),
            registry_poll_s=self._settings.registry_poll_s,
            max_body_bytes=limits.max_body_bytes,
            max_rows=limits.max_entity_rows,
            drain_s=self._settings.drain_s,
            log_format=self._settings.log_format,
        )
        return WriterProcess(listener, settings)


@dataclass(frozen=True, slots=True)
class _Start:
    """What is known before the first process is started.

    Attributes:
        project: The Feast project.
        redis_url: Where its online store is.
        folder: Private folder for documents and sockets.
        publisher: Of the schema.
        warm: What was compiled before, where nothing has changed since.
    """

    project: str
    redis_url: str
    folder: Path
    publisher: SchemaPublisher
    warm: WarmStart | None

    async def publish(self) -> None:
        if self.warm is None:
            await self.publisher.publish_first()
        else:
            self.publisher.adopt(self.warm.schema, self.warm.registry.is_unchanged)


def _prepare(settings: GatewaySettings) -> _Start:
    """Find out what to serve: from the last gateway's documents, or from Feast."""
    repo_path = settings.repo_path
    warm = find_warm_start(repo_path, gateway_folder(settings))
    if warm is not None:
        folder = _private_folder(settings)
        publisher = SchemaPublisher(
            warm.project, folder, SystemClock(), lambda: _open_source(repo_path)
        )
        return _Start(warm.project, warm.redis_url, folder, publisher, warm)
    source = _open_source(repo_path)
    redis_url = source.redis_url()
    folder = _private_folder(settings)
    publisher = SchemaPublisher(source.project, folder, SystemClock(), lambda: source)
    return _Start(source.project, redis_url, folder, publisher, None)


def _open_source(repo_path: Path) -> RegistrySource:
    from serving.registry_source import RegistrySource

    return RegistrySource(repo_path)


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


def gateway_folder(settings: GatewaySettings) -> Path:
    """Return the private folder for documents and sockets: a home's repos have one each.

    Two repos may give their projects one name, and each must be served its own schema.
    """
    repo = hashlib.sha256(str(settings.repo_path.resolve()).encode()).hexdigest()
    return settings.home.absolute() / _FOLDER / repo[:_N_REPO_DIGITS]


def _private_folder(settings: GatewaySettings) -> Path:
    folder = gateway_folder(settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as exc:
        msg = f"cannot use `{folder}`: {exc.strerror}"
        raise ConfigurationError(msg, hint="`--home` takes a folder you can write to") from exc
    return folder.resolve()
