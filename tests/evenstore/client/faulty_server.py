"""A TCP server that does to each request what its script says; the last step repeats."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Step = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; True keeps the connection."""

_LONG_S = 60.0


@dataclass
class Received:
    """One request as it came."""

    head: str
    body: bytes
    at_s: float

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None


@dataclass
class FaultyServer:
    """What happened at `url`."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    n_connections: int = 0


@contextmanager
def faulty_server(*script: Step) -> Iterator[FaultyServer]:
    """Run the script in a thread."""
    server = FaultyServer()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(_listen(server, script), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_end(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def answers(
    status: int = 200, body: bytes = b"{}", headers: Sequence[tuple[str, str]] = ()
) -> Step:
    """A complete answer; the connection stays."""
    return sends(_render(status, body, headers), keeps=True)


def sends(raw: bytes, *, keeps: bool = False) -> Step:
    """Any bytes at all."""

    async def step(writer: asyncio.StreamWriter) -> bool:
        writer.write(raw)
        await writer.drain()
        return keeps

    return step


def drips(raw: bytes, *, pause_s: float) -> Step:
    """One byte after another, each soon enough for a timeout per wait."""

    async def step(writer: asyncio.StreamWriter) -> bool:
        for i in range(len(raw)):
            writer.write(raw[i : i + 1])
            await writer.drain()
            await asyncio.sleep(pause_s)
        return False

    return step


def resets() -> Step:
    """A connection reset instead of an answer."""

    async def step(writer: asyncio.StreamWriter) -> bool:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return step


def hangs() -> Step:
    """No answer, and no end."""

    async def step(_writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(_LONG_S)
        return False

    return step


def _render(status: int, body: bytes, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Text", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _listen(server: FaultyServer, script: Sequence[Step]) -> asyncio.Server:
    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.n_connections += 1
        try:
            while True:
                server.requests.append(await _receive(reader))
                step = script[min(len(server.requests), len(script)) - 1]
                if not await step(writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    listening = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    return listening


async def _receive(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    received = Received(head, b"", time.monotonic())
    length = received.header("content-length")
    received.body = await reader.readexactly(int(length)) if length else b""
    return received


async def _end(listening: asyncio.Server) -> None:
    listening.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
