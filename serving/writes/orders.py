"""What the writer process does with a request: rows in threads, materializations in processes."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from feast import FeatureStore, FeatureView, OnDemandFeatureView
from feast.errors import FeatureViewNotFoundException

from evenstore.clock import clock_from_environment, us_to_datetime
from evenstore.errors import (
    EvenstoreError,
    FutureRowError,
    OfflineStoreError,
    OnlineStoreTimeoutError,
    UnknownFeatureError,
)
from serving.errors import InvalidRequestError, OverloadedError, error_response
from serving.writes.catalogue import RegistryFollower
from serving.writes.materialization import MaterializationOrder, Materializations
from serving.writes.models import MaterializeIncrementalRequest, MaterializeRequest
from serving.writes.pushes import CheckedRows, Pushes
from serving.writes.requests import parse_body, read_interval_end
from serving.writes.row_queue import RowQueue
from serving.writes.settings import WriterSettings
from serving.writes.wire import WriteAnswer, WriteOrder

__all__ = ["WriteOrders"]

logger = logging.getLogger("evenstore.serving")

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")

_View = FeatureView | OnDemandFeatureView

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PUSHED = WriteAnswer(HTTPStatus.OK, b"")
_WRITTEN = WriteAnswer(HTTPStatus.OK, b"null")
_AT_ONCE = 2
_FEW_BYTES = 8 * 1024


class WriteOrders:
    """Carries out requests; one event loop's.

    Args:
        settings: The writer's settings.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`.
    """

    def __init__(self, settings: WriterSettings) -> None:
        repo_path = Path(settings.repo_path)
        self._repo_path = repo_path
        self._log_format = settings.log_format
        self._registry = RegistryFollower(repo_path, max_age_s=settings.registry_poll_s)
        self._pushes = Pushes(self._registry, repo_path, max_rows=settings.max_rows)
        # Two pools: what was checked can be written while much waits to be checked.
        self._threads = ThreadPoolExecutor(settings.n_threads, thread_name_prefix="check")
        self._row_threads = ThreadPoolExecutor(2, thread_name_prefix="rows")
        self._queue = RowQueue(self._pushes.write_online, self._row_threads)
        self._max_waiting = settings.max_waiting
        self._n_waiting = 0
        self._clock = clock_from_environment()
        self._resolving = threading.Lock()
        self._materializations = Materializations(
            n_at_once=1 if self._registry.is_file else _AT_ONCE
        )

    def warm(self) -> None:
        """Read the registry and open the stores, so that the first request finds them open."""
        try:
            self._registry.catalogue()
            self._pushes.open()
        except Exception:  # Any driver's; the requests that come are told.
            logger.warning("nothing can be written yet", exc_info=True)

    async def carry_out(self, order: WriteOrder) -> WriteAnswer:
        """Do what a request asks for; whatever happens, there is an answer."""
        try:
            return await self._carry_out(order)
        except EvenstoreError as exc:
            return _refusal(exc)
        except Exception:
            logger.exception("%s failed", order.route)
            msg = "the gateway failed on this request"
            return _refusal(EvenstoreError(msg, hint="the gateway's log says where"))

    async def end_materializations(self) -> None:
        """End the materializations under way; pushes and writes go on."""
        await self._materializations.stop()

    async def _carry_out(self, order: WriteOrder) -> WriteAnswer:
        if order.route == "/push":
            await self._write(order, self._pushes.read_push)
            return _PUSHED
        if order.route == "/write-to-online-store":
            await self._write(order, self._pushes.read_write)
            return _WRITTEN
        make = self._interval if order.route == "/materialize" else self._increment
        run = await asyncio.to_thread(make, order.body)
        return await self._materializations.run(run, is_async=order.is_async, force=order.force)

    async def _write(self, order: WriteOrder, read: Callable[[bytes], CheckedRows]) -> None:
        if self._n_waiting >= self._max_waiting:
            msg = f"{self._n_waiting} requests wait to be written"
            raise OverloadedError(msg, hint="nothing was written: send it again later")
        self._n_waiting += 1
        try:
            # What waited for too long is not begun: its caller has given up.
            async with asyncio.timeout(order.patience_s):
                rows = (
                    read(order.body)
                    if self._is_quick(order)
                    else await self._in_thread(read, order.body)
                )
                if not rows.offline:
                    await self._write_online(rows)
            # Not given up any more: half of it may be there.
            if rows.offline or rows.on_demand is not None:
                await self._in_thread(self._pushes.write_with_feast, rows)
            if rows.offline:
                # Last: what only the offline store has, a materialization loads.
                await self._write_online(rows)
        except TimeoutError as exc:
            msg = f"the rows were not written within {order.patience_s:g} s"
            raise OnlineStoreTimeoutError(msg) from exc
        finally:
            self._n_waiting -= 1

    async def _write_online(self, rows: CheckedRows) -> None:
        await self._queue.write(rows.online)

    def _is_quick(self, order: WriteOrder) -> bool:
        # A change of thread takes longer than to check a few rows; a registry on another machine
        # may take seconds, and offline rows are checked against files.
        is_short = len(order.body) <= _FEW_BYTES
        return self._registry.is_file and is_short and b"offline" not in order.body

    async def _in_thread(self, function: Callable[[_Input], _Output], argument: _Input) -> _Output:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, argument)

    def _interval(self, body: bytes) -> MaterializationOrder:
        request = parse_body(MaterializeRequest, body)
        if request.disable_event_timestamp:
            start, end = _EPOCH, us_to_datetime(self._clock.now_us())
        else:
            start = read_interval_end(request.start_ts, "start_ts")
            end = read_interval_end(request.end_ts, "end_ts")
        if start >= end:
            msg = f"the interval is empty: `start_ts` {request.start_ts} is not before `end_ts`"
            raise InvalidRequestError(msg, hint="`start_ts` comes first")
        return MaterializationOrder(
            str(self._repo_path),
            self._views(request.feature_views, request.version),
            start.isoformat(),
            end.isoformat(),
            loads_everything=request.disable_event_timestamp,
            full_feature_names=request.full_feature_names,
            version=request.version,
            log_format=self._log_format,
        )

    def _increment(self, body: bytes) -> MaterializationOrder:
        request = parse_body(MaterializeIncrementalRequest, body)
        end = read_interval_end(request.end_ts, "end_ts")
        return MaterializationOrder(
            str(self._repo_path),
            self._views(request.feature_views, request.version),
            None,
            end.isoformat(),
            full_feature_names=request.full_feature_names,
            version=request.version,
            log_format=self._log_format,
        )

    def _views(self, names: Sequence[str] | None, version: str | None) -> tuple[str, ...]:
        """Return the views to load, all where none is named, as Feast chooses them."""
        asked = None if names is None else list(dict.fromkeys(names))
        catalogue = self._registry.catalogue(is_fresh=True)
        with self._resolving:
            store: FeatureStore = self._registry.store()
            try:
                parsed = store._validate_materialize_version(version, asked)  # noqa: SLF001
                chosen = store._get_feature_views_to_materialize(asked, version=parsed)  # noqa: SLF001
                chosen = _loadable(chosen, is_asked=asked is not None)
            except FeatureViewNotFoundException as exc:
                known = [*catalogue.views, *catalogue.on_demand]
                missing = [name for name in asked or [] if name not in known]
                raise UnknownFeatureError(missing or asked or [], known) from exc
            except ValueError as exc:  # So Feast calls a view that cannot be loaded.
                raise InvalidRequestError(str(exc), hint="name other views") from exc
        return tuple(view.name for view in chosen)


def _loadable(views: Sequence[_View], *, is_asked: bool) -> list[_View]:
    """Leave out on-demand views with request data, which no source has; refuse them if named."""
    loadable = [view for view in views if not getattr(view, "source_request_sources", None)]
    if is_asked and len(loadable) < len(views):
        names = ", ".join(f"`{view.name}`" for view in views if view not in loadable)
        msg = f"no source has the request data of {names}: it cannot be materialized"
        raise InvalidRequestError(msg, hint="write its rows with POST /write-to-online-store")
    return loadable


def _refusal(error: EvenstoreError) -> WriteAnswer:
    # A row of the future is the caller's mistake here; in a lookup it is the store's state.
    status = HTTPStatus.UNPROCESSABLE_ENTITY if isinstance(error, FutureRowError) else None
    response = error_response(error, status=status)
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(
        error, OfflineStoreError
    ):
        logger.error("%s: %s", error.code, error.message)
    return WriteAnswer(response.status_code, bytes(response.body))
