"""The writer process behind the HTTP routes, kept by what the supervisor keeps it with."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from fastapi import FastAPI

from serving.errors import install_error_handlers
from serving.writes.client import WriterClient
from serving.writes.routes import write_routes
from serving.writes.writer_process import WriterListener, WriterProcess
from tests.serving.processes import is_alive
from tests.serving.writes.live_repo import NOW, frame, lookup, settings
from tests.support.feast_repo import FeastRepo

pytestmark = [pytest.mark.redis, pytest.mark.e2e]

_PUSH = {"push_source_name": "live", "df": frame(3)}


@asynccontextmanager
async def running(
    repo: FeastRepo, folder: Path, **changes: Any
) -> AsyncIterator[tuple[WriterProcess, httpx.AsyncClient]]:
    """Keep a writer and give an HTTP client of its routes."""
    listener = WriterListener(folder, "tiny")
    chosen = settings(repo, listen_fd=listener.socket.fileno())
    process = WriterProcess(listener, dataclasses.replace(chosen, **changes))
    keeping = asyncio.create_task(process.run())
    writer = WriterClient(str(listener.path), timeout_s=60, max_in_flight=20)
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(write_routes(writer))
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=60) as http:
            yield process, http
    finally:
        await process.stop()
        await writer.close()
        keeping.cancel()
        await asyncio.wait([keeping])
        listener.close()
    assert not listener.path.exists()


def pid_of(process: WriterProcess) -> int:
    assert process._process is not None
    return process._process.pid


@pytest.mark.slow
def test_writer_answers_dies_comes_back_and_finishes(
    repo: FeastRepo, tmp_path: Path, redis_url: str
) -> None:
    async def go() -> int:
        async with running(repo, tmp_path) as (process, http):
            await check_routes(http)
            await check_overload(http)
            await check_kill(process, http)
            return await check_stop(process, http, redis_url)

    pid = asyncio.run(go())
    assert not is_alive(pid)
    assert lookup(repo, "stats:trips") == [3]


async def check_routes(http: httpx.AsyncClient) -> None:
    pushed = await http.post("/push", json=_PUSH)
    assert (pushed.status_code, pushed.content) == (200, b"")
    # Feast's callers often send no content type.
    body = json.dumps({"feature_view_name": "stats", "df": frame(3)}).encode()
    written = await http.post("/write-to-online-store", content=body)
    assert (written.status_code, written.json()) == (200, None)
    unknown = await http.post("/push", json={**_PUSH, "push_source_name": "nope"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown-push-source")
    wrong = await http.post("/materialize", params={"async": "perhaps"}, json={})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid-request")
    empty = {"end_ts": NOW.isoformat(), "feature_views": []}
    accepted = await http.post("/materialize-incremental", params={"async": "true"}, json=empty)
    assert (accepted.status_code, accepted.json()) == (
        202,
        {"status": "accepted", "feature_views": []},
    )


async def check_overload(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(http.post("/push", json=_PUSH) for _ in range(60)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["error"]["code"] == "overloaded"
    assert refused.headers["retry-after"] == "1"


async def check_kill(process: WriterProcess, http: httpx.AsyncClient) -> None:
    """Kill the writer while it is at work: what is under way is refused, what comes later waits."""
    killed = pid_of(process)
    os.kill(killed, signal.SIGSTOP)
    held = [asyncio.create_task(http.post("/push", json=_PUSH)) for _ in range(5)]
    await asyncio.sleep(0.2)
    os.kill(killed, signal.SIGKILL)
    for answer in await asyncio.gather(*held):
        # One that was sent again on a new connection found the next writer.
        assert answer.status_code in {200, 503}
    again = await http.post("/push", json=_PUSH)
    while again.status_code == 503:
        assert again.headers["retry-after"] == "1"
        await asyncio.sleep(0.2)
        again = await http.post("/push", json=_PUSH)
    assert again.status_code == 200
    assert pid_of(process) != killed


async def check_stop(process: WriterProcess, http: httpx.AsyncClient, redis_url: str) -> int:
    """Stop as the supervisor does: the materialization is ended, pushes are still taken."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(b"evenstore:run:stats:tiny", b"the test/1")
    body = {"end_ts": NOW.isoformat(), "feature_views": ["stats"]}
    waiting = asyncio.create_task(http.post("/materialize-incremental", json=body))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    process.begin_stop()
    ended = await waiting
    assert (ended.status_code, ended.json()["error"]["code"]) == (503, "overloaded")
    assert (await http.post("/push", json=_PUSH)).status_code == 200
    return pid_of(process)


def test_writer_that_cannot_start_refuses_at_once(repo: FeastRepo, tmp_path: Path) -> None:
    async def push_twice() -> list[int]:
        async with running(repo, tmp_path, repo_path="/nowhere") as (_, http):
            return [(await http.post("/push", json=_PUSH)).status_code for _ in range(2)]

    assert asyncio.run(push_twice()) == [503, 503]


def test_without_a_writer_routes_are_unavailable(tmp_path: Path) -> None:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(write_routes(WriterClient(str(tmp_path / "no.sock"))))

    async def push() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as c:
            return await c.post("/push", json=_PUSH)

    answer = asyncio.run(push())
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "writer-unavailable"
    assert answer.headers["retry-after"] == "1"


def test_sockets_of_killed_gateways_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "tiny.4194999.sock"
    left.touch()
    other = tmp_path / "tiny.1.sock"
    other.touch()
    listener = WriterListener(tmp_path, "tiny")
    try:
        assert not left.exists()
        assert other.exists()
    finally:
        listener.close()


def test_paths_too_long_for_a_socket_are_avoided(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    listener = WriterListener(folder, "tiny")
    path = listener.path
    listener.close()
    assert folder not in path.parents
    assert not path.parent.exists()


def test_openapi_describes_bodies_and_errors() -> None:
    app = FastAPI()
    app.include_router(write_routes(WriterClient("unused")))
    paths = app.openapi()["paths"]
    assert set(paths) == {
        "/push",
        "/write-to-online-store",
        "/materialize",
        "/materialize-incremental",
    }
    for path in paths.values():
        operation = path["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["examples"]
        assert "$defs" not in schema
        assert {"200", "404", "422", "503"} <= set(operation["responses"])
        assert operation["summary"]
