"""Materializations under way: each a child process, at most one per view."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from evenstore.errors import ConfigurationError, EvenstoreError
from serving.errors import ConflictError, OverloadedError, error_response
from serving.settings import LogFormat
from serving.writes.wire import WriteAnswer

__all__ = ["MaterializationOrder", "Materializations"]

logger = logging.getLogger("evenstore.serving")

_END_GRACE_S = 5.0
_NOTHING = WriteAnswer(HTTPStatus.OK, b"null")


@dataclass(frozen=True, slots=True)
class MaterializationOrder:
    """What a child process is to do.

    Attributes:
        repo_path: Folder of the Feast repo.
        views: Names of the views, none of them left out.
        start: ISO 8601; None for an incremental run.
        end: ISO 8601.
        loads_everything: Feast's `disable_event_timestamp`.
        full_feature_names: Feast's, for on-demand views whose results are stored.
        version: Feast's, of exactly one view.
        log_format: Form of the log's lines.
    """

    repo_path: str
    views: tuple[str, ...]
    start: str | None
    end: str
    loads_everything: bool = False
    full_feature_names: bool = False
    version: str | None = None
    log_format: LogFormat = "json"

    def to_json(self) -> str:
        """Render as one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> MaterializationOrder:
        """Read one line back.

        Raises:
            ConfigurationError: The line is not what `to_json` writes.
        """
        try:
            data = json.loads(line)
            return cls(**{**data, "views": tuple(data["views"])})
        except (ValueError, TypeError, KeyError) as exc:
            msg = "a materialization got no order on its standard input"
            raise ConfigurationError(msg, hint="it is started by the gateway's writer") from exc


class _Run:
    """One materialization: waiting for its turn, or a child process."""

    def __init__(self, order: MaterializationOrder) -> None:
        self.order = order
        self.is_ending = False
        self.task: asyncio.Task[WriteAnswer] | None = None
        self._process: Process | None = None

    async def execute(self, turns: asyncio.Semaphore) -> WriteAnswer:
        async with turns:
            return self._ended() if self.is_ending else await self._execute()

    async def end(self) -> None:
        """End the run; nothing is lost: rows that are written stay, the next run reads the rest."""
        self.is_ending = True
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_END_GRACE_S):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
        if self.task is not None:
            await asyncio.wait([self.task])

    async def _execute(self) -> WriteAnswer:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "serving.writes.run",
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
        )
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise OSError
        # The pipe stays open: its end tells the child that the writer is gone.
        process.stdin.write(self.order.to_json().encode() + b"\n")
        line = await process.stdout.read()
        exit_code = await process.wait()
        if self.is_ending:
            return self._ended()
        try:
            answer = orjson.loads(line)
            return WriteAnswer(answer["status"], orjson.dumps(answer["body"]))
        except (ValueError, TypeError, KeyError):
            msg = f"the materialization's process ended with exit code {exit_code}"
            return _refusal(EvenstoreError(msg, hint="the gateway's log says more"))

    def _ended(self) -> WriteAnswer:
        msg = f"the materialization of {', '.join(self.order.views)} was ended by another request"
        return _refusal(ConflictError(msg, hint="nothing is lost: the other one goes on"))


class Materializations:
    """Runs materializations beside the pushes; one event loop's.

    Args:
        n_at_once: How many run at a time; others wait for their turn. A registry that is a file can
            only be changed by one process at a time.
    """

    def __init__(self, *, n_at_once: int) -> None:
        self._turns = asyncio.Semaphore(n_at_once)
        self._runs: dict[str, _Run] = {}
        self._is_stopping = asyncio.Event()

    async def run(self, order: MaterializationOrder, *, is_async: bool, force: bool) -> WriteAnswer:
        """Begin a materialization; wait for its end unless `is_async`.

        Raises:
            ConflictError: One of a view is under way; `force` ends it first.
            OverloadedError: The writer is stopping.
        """
        if self._is_stopping.is_set():
            raise _stopping()
        if force:
            await self._end(self._under_way(order.views))
        busy = sorted({name for run in self._under_way(order.views) for name in run.order.views})
        if busy:
            names = ", ".join(f"`{name}`" for name in busy if name in order.views)
            msg = f"a materialization is under way of {names}"
            raise ConflictError(msg, hint="wait for its end, or end it with `?force=true`")
        if order.views:
            task = self._begin(order)
            if not is_async:
                # A caller that goes away does not end what it began.
                answer = await asyncio.shield(task)
                if self._is_stopping.is_set() and answer.status == HTTPStatus.CONFLICT:
                    raise _stopping()
                return answer
        if not is_async:
            return _NOTHING
        body = {"status": "accepted", "feature_views": list(order.views)}
        return WriteAnswer(HTTPStatus.ACCEPTED, orjson.dumps(body))

    async def stop(self) -> None:
        """End all that is under way; nothing new begins."""
        self._is_stopping.set()
        await self._end({id(run): run for run in self._runs.values()}.values())

    def _under_way(self, names: Iterable[str]) -> list[_Run]:
        found = {id(run): run for name in names if (run := self._runs.get(name)) is not None}
        return list(found.values())

    async def _end(self, runs: Iterable[_Run]) -> None:
        await asyncio.gather(*(run.end() for run in runs))

    def _begin(self, order: MaterializationOrder) -> asyncio.Task[WriteAnswer]:
        run = _Run(order)
        for name in order.views:
            self._runs[name] = run
        run.task = asyncio.create_task(run.execute(self._turns), name="materialization")
        run.task.add_done_callback(lambda task: self._forget(run, task))
        return run.task

    def _forget(self, run: _Run, task: asyncio.Task[WriteAnswer]) -> None:
        for name in run.order.views:
            if self._runs.get(name) is run:
                del self._runs[name]
        views = ", ".join(run.order.views)
        if task.cancelled() or task.exception() is not None:
            logger.error("materialization of %s could not be run", views)
        elif run.is_ending:
            logger.info("materialization of %s was ended before its end", views)
        elif task.result().status != HTTPStatus.OK:
            logger.error("materialization of %s: %s", views, task.result().body.decode())
        else:
            logger.info("materialization of %s has ended", views)


def _stopping() -> OverloadedError:
    msg = "the gateway is stopping: no materialization goes on"
    return OverloadedError(msg, hint="nothing is lost: the next one reads what is missing")


def _refusal(error: EvenstoreError) -> WriteAnswer:
    response = error_response(error)
    return WriteAnswer(response.status_code, bytes(response.body))
