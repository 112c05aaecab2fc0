"""A small application behind the guard, served over real HTTP in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response

from evenstore.clock import SystemClock
from evenstore.errors import OnlineStoreError
from serving.body_limit import BodyLimit
from serving.errors import install_error_handlers
from serving.guard.access import AccessRules
from serving.guard.admission import Admission
from serving.guard.api_keys import ApiKeys
from serving.guard.middleware import ERROR_KEY, Guard, Guarding
from serving.guard.receiving import Receiving
from serving.guard.request_id import RequestIds
from serving.settings import AccessLog, Limits
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place
from serving.telemetry.request_log import RequestLog
from serving.telemetry.routes import telemetry_routes
from serving.telemetry.sources import admission_source, api_key_source, receiving_source

LIMITS = Limits(max_body_bytes=20_000, max_head_bytes=4_000, max_receive_s=0.5)


class Gate:
    """Holds the requests of `/slow` until another thread opens it."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.opened = asyncio.Event()

    def open(self) -> None:
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.opened.set)


@dataclass(frozen=True, slots=True)
class Served:
    """Where it answers, and its parts."""

    port: int
    guarding: Guarding
    receiving: Receiving
    gate: Gate

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def make_guarding(
    *,
    keys_path: Path | None = None,
    max_in_flight: int = 100,
    metrics_need_key: bool = False,
    access_log: AccessLog = "off",
    metrics: Metrics | None = None,
) -> Guarding:
    return Guarding(
        keys=None if keys_path is None else ApiKeys(keys_path, SystemClock()),
        rules=AccessRules(metrics_need_key=metrics_need_key),
        admission=Admission(max_in_flight),
        request_ids=RequestIds(),
        metrics=metrics or Metrics(),
        log=RequestLog(access_log),
    )


@contextmanager
def serve(
    guarding: Guarding,
    *,
    limits: Limits = LIMITS,
    place: Place | None = None,
    keep_alive_s: int = 5,
) -> Iterator[Served]:
    """Serve until the block ends."""
    gate = Gate()
    receiving = Receiving(limits)
    guarding.metrics.add_source(admission_source(guarding.admission))
    guarding.metrics.add_source(receiving_source(receiving))
    if guarding.keys is not None:
        guarding.metrics.add_source(api_key_source(guarding.keys))
    app = _app(guarding, limits, place or Place(None, "worker 1"), gate)
    config = uvicorn.Config(
        Guard(app, guarding),
        http=receiving.protocol,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            # The socket listens already: the first request waits until the server is up.
            yield Served(listener.getsockname()[1], guarding, receiving, gate)
        finally:
            gate.open()
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()


def _app(guarding: Guarding, limits: Limits, place: Place, gate: Gate) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        gate.loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(place.keep(guarding.metrics, every_s=0.05))]
        if guarding.keys is not None:
            tasks.append(asyncio.create_task(guarding.keys.follow(poll_s=0.02)))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    app = FastAPI(lifespan=lifespan, redirect_slashes=False)
    app.add_middleware(BodyLimit, max_body_bytes=limits.max_body_bytes)
    install_error_handlers(app)
    app.include_router(telemetry_routes(guarding.metrics, place))
    app.include_router(_answering(gate))
    app.include_router(_failing())
    app.include_router(_prefixed(), prefix="/v1")
    return app


def _answering(gate: Gate) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> str:
        return "ok"

    @router.post("/get-online-features")
    async def get_online_features(request: Request) -> Response:
        return Response(await request.body())

    @router.post("/push")
    async def push(request: Request) -> str:
        await request.body()
        return "pushed"

    @router.post("/materialize")
    async def materialize(request: Request) -> str:
        await request.body()
        await gate.opened.wait()
        return "materialized"

    @router.get("/slow")
    async def slow() -> str:
        await gate.opened.wait()
        return "done"

    return router


def _prefixed() -> APIRouter:
    router = APIRouter()

    @router.get("/feature-services/{name}")
    async def feature_service(name: str) -> str:
        return name

    return router


def _failing() -> APIRouter:
    router = APIRouter()

    @router.get("/fails")
    async def fails(request: Request) -> Response:
        error = OnlineStoreError("no Redis at redis://:s3cret@host:6379")
        request.scope[ERROR_KEY] = error
        raise error

    @router.get("/breaks")
    async def breaks() -> Response:
        message = "customer 17850"
        raise RuntimeError(message)

    return router
