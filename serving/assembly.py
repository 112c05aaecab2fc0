"""Puts a worker's application together: what each request passes, and what runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from evenstore.clock import SystemClock, clock_from_environment, is_test_mode
from serving.app import Lifespan, create_app
from serving.compat.strict_form import StrictForm
from serving.gateway import Gateway
from serving.guard.access import AccessRules
from serving.guard.admission import Admission
from serving.guard.api_keys import ApiKeys
from serving.guard.middleware import Guard, Guarding
from serving.guard.receiving import Receiving
from serving.guard.request_id import RequestIds
from serving.hot.feast_route import FeastRoute
from serving.hot.http_cycle import with_hot_route
from serving.link.link import RedisLink
from serving.native.routes import native_routes
from serving.schema_file import SchemaFile
from serving.settings import WorkerSettings
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place
from serving.telemetry.request_log import RequestLog
from serving.telemetry.routes import telemetry_routes
from serving.telemetry.sources import (
    admission_source,
    api_key_source,
    link_source,
    process_source,
    receiving_source,
    schema_source,
)
from serving.writes.client import WriterClient
from serving.writes.routes import write_routes
from serving.writes.row_route import RowRoute

__all__ = ["Assembly", "assemble"]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A worker's application, and the HTTP protocol of its connections."""

    app: ASGIApp
    protocol: type[asyncio.Protocol]


def assemble(settings: WorkerSettings) -> Assembly:
    """Make the application that a worker serves.

    Raises:
        EvenstoreError: The schema, the keys or the Redis URL cannot be used.
    """
    place = Place(_path(settings.metrics_folder), settings.name)
    schema_file = SchemaFile(Path(settings.schema_path))
    gateway = _gateway(settings, schema_file, Metrics(place.take_over()))
    guarding = _guarding(settings, gateway)
    receiving = Receiving(settings.limits)
    _add_sources(settings, gateway, guarding, receiving)
    beside: list[Coroutine[Any, Any, None]] = [
        schema_file.follow(gateway, poll_s=settings.schema_poll_s),
        place.keep(gateway.metrics),
    ]
    if guarding.keys is not None:
        beside.append(guarding.keys.follow())
    writer = _writer(settings)
    app = create_app(
        gateway,
        routers=[*_routers(gateway, writer), telemetry_routes(gateway.metrics, place)],
        status_path=_path(settings.status_path),
        lifespan=_lifespan(gateway, writer, beside),
    )
    strict = StrictForm(gateway) if settings.compat == "strict" else None
    inner = None
    if writer is not None:
        inner = RowRoute(app, writer, max_body_bytes=settings.limits.max_body_bytes)
    route = FeastRoute(Guard(app, guarding, inner), gateway, guarding, strict)
    return Assembly(route, with_hot_route(receiving.protocol, route))


def _gateway(settings: WorkerSettings, schema_file: SchemaFile, metrics: Metrics) -> Gateway:
    link = RedisLink(
        settings.redis_url,
        timeout_s=settings.redis_timeout_s,
        max_pending=settings.max_in_flight,
    )
    return Gateway(
        schema_file.load(),
        link,
        clock_from_environment(),
        settings.limits,
        metrics=metrics,
        log=RequestLog(settings.access_log),
        is_test_mode=settings.test_mode or is_test_mode(),
    )


def _guarding(settings: WorkerSettings, gateway: Gateway) -> Guarding:
    keys_path = _path(settings.api_keys_path)
    return Guarding(
        # Keys expire by the machine's clock, also where answers have a frozen one.
        keys=None if keys_path is None else ApiKeys(keys_path, SystemClock()),
        rules=AccessRules(metrics_need_key=settings.metrics_need_key),
        admission=Admission(settings.max_in_flight),
        request_ids=RequestIds(),
        metrics=gateway.metrics,
        log=gateway.log,
    )


def _add_sources(
    settings: WorkerSettings, gateway: Gateway, guarding: Guarding, receiving: Receiving
) -> None:
    metrics = gateway.metrics
    metrics.add_source(admission_source(guarding.admission))
    metrics.add_source(link_source(gateway.reader))
    metrics.add_source(receiving_source(receiving))
    metrics.add_source(process_source(SystemClock()))
    if guarding.keys is not None:
        metrics.add_source(api_key_source(guarding.keys))
    metrics.add_source(
        schema_source(
            lambda: (gateway.plans.schema.project, gateway.plans.fingerprint),
            schema_path=Path(settings.schema_path),
            status_path=_path(settings.status_path),
        )
    )


def _routers(gateway: Gateway, writer: WriterClient | None) -> list[APIRouter]:
    routers = [native_routes(gateway)]
    if writer is not None:
        routers.append(write_routes(writer))
    return routers


def _writer(settings: WorkerSettings) -> WriterClient | None:
    if not settings.writes or settings.writer_socket is None:
        return None
    return WriterClient(
        settings.writer_socket,
        timeout_s=settings.writer_timeout_s,
        materialize_timeout_s=settings.materialize_timeout_s,
    )


def _lifespan(
    gateway: Gateway, writer: WriterClient | None, beside: list[Coroutine[Any, Any, None]]
) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in beside]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if writer is not None:
                await writer.close()
            await gateway.reader.close()

    return lifespan


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
