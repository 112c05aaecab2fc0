"""Servers for the tests of the link: Redis with options, and servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvloop

from evenstore.redis_binary import find_redis_server
from tests.support.ports import free_port
from tests.support.redis_process import wait_until

__all__ = ["on_loop", "redis_with", "serve", "tls_in_front"]

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def on_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on the event loop that workers use; a hang is a failure."""

    async def limited() -> None:
        await asyncio.wait_for(work, timeout=240)

    uvloop.run(limited())


@contextmanager
def redis_with(folder: Path, *options: str) -> Iterator[int]:
    """Run a redis-server with options until it accepts connections; yields its port."""
    port = free_port()
    command = [str(find_redis_server()), "--port", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--dir", str(folder), "--save", "", *options], stdout=subprocess.DEVNULL
    )
    try:
        assert wait_until(lambda: _replies(port))
        yield port
    finally:
        server.kill()
        server.wait()


@asynccontextmanager
async def serve(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a server of the test's own in this event loop; yields its port."""
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        # The link drops connections, and the end of the test cancels what still waits.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


@asynccontextmanager
async def tls_in_front(port: int, certificate: Path, key: Path) -> AsyncIterator[int]:
    """Run a TLS server that passes everything on to a plain one; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(_pump(behind_reader, writer))
        try:
            await _pump(reader, behind_writer)
        finally:
            back.cancel()
            behind_writer.close()

    async with serve(pass_on, context) as tls_port:
        yield tls_port


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def _replies(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
            plain.sendall(b"PING\r\n")
            return bool(plain.recv(100))  # An error is a reply too: it loads, or wants a password.
    except OSError:
        return False
