"""The routes of rows below FastAPI, over real HTTP, before a writer that a test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from serving.errors import install_error_handlers
from serving.writes.client import WriterClient
from serving.writes.routes import write_routes
from serving.writes.row_route import RowRoute
from serving.writes.wire import WriteAnswer, WriteOrder, read_order

_Play = Callable[[WriteOrder], WriteAnswer | None]


@asynccontextmanager
async def playing(folder: Path, play: _Play, **options: float) -> AsyncIterator[RowRoute]:
    """Serve the routes before a socket that answers as told; None never answers."""

    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        try:
            while (order := await read_order(reader, max_body_bytes=2**20)) is not None:
                answer = play(order)
                if answer is None:
                    await asyncio.sleep(60)
                else:
                    stream.write(answer.encode())
        finally:
            stream.close()

    def accept(reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(serve(reader, stream)))

    path = folder / "s.sock"
    client = WriterClient(str(path), **options)  # type: ignore[arg-type]
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(write_routes(client))
    server = await asyncio.start_unix_server(accept, str(path))
    try:
        yield RowRoute(app, client, max_body_bytes=1_000)
    finally:
        await client.close()
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)


def ask(
    folder: Path, play: _Play, path: str, body: bytes, *, method: str = "POST", **options: float
) -> httpx.Response:
    async def go() -> httpx.Response:
        async with playing(folder, play, **options) as app:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
                return await http.request(method, path, content=body)

    return asyncio.run(go())


@pytest.mark.parametrize("path", ["/push", "/write-to-online-store"])
def test_body_and_answer_pass_through_unread(tmp_path: Path, path: str) -> None:
    def play(order: WriteOrder) -> WriteAnswer:
        assert order.patience_s == 30
        return WriteAnswer(422, order.route.encode() + order.body)

    answer = ask(tmp_path, play, path, b" no JSON")

    assert (answer.status_code, answer.content) == (422, path.encode() + b" no JSON")
    assert answer.headers["content-type"] == "application/json"


def test_a_full_writer_is_told_with_retry_after(tmp_path: Path) -> None:
    answer = ask(tmp_path, lambda _: WriteAnswer(503, b"{}"), "/push", b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_errors_have_the_one_shape(tmp_path: Path) -> None:
    refused = ask(tmp_path, lambda _: None, "/push", b"x" * 1_001)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request-too-large")
    late = ask(tmp_path, lambda _: None, "/push", b"{}", timeout_s=0.05)
    assert (late.status_code, late.json()["error"]["code"]) == (503, "writer-unavailable")
    other = ask(tmp_path, lambda _: None, "/push", b"", method="GET")
    assert (other.status_code, other.json()["error"]["code"]) == (405, "method-not-allowed")


def test_a_body_without_a_length_is_refused_at_the_limit(tmp_path: Path) -> None:
    sent: list[Message] = []
    n_received = 0

    async def receive() -> Message:
        nonlocal n_received
        n_received += 1
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    async def go() -> None:
        async with playing(tmp_path, lambda _: None) as app:
            scope = {"type": "http", "path": "/push", "method": "POST", "headers": []}
            await app(scope, receive, send)

    asyncio.run(go())
    assert (sent[0]["status"], n_received) == (413, 3)


def test_a_caller_that_hangs_up_is_not_answered(tmp_path: Path) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def go() -> None:
        async with playing(tmp_path, lambda _: None) as app:
            scope = {"type": "http", "path": "/push", "method": "POST", "headers": []}
            await app(scope, receive, send)

    asyncio.run(go())
    assert sent == []


def test_a_materialization_without_end_is_told_at_the_deadline(tmp_path: Path) -> None:
    answer = ask(
        tmp_path,
        lambda _: None,
        "/materialize-incremental",
        b"{}",
        timeout_s=0.01,
        materialize_timeout_s=0.1,
    )

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (504, "materialization-timeout")
    assert "it goes on" in error["hint"]
