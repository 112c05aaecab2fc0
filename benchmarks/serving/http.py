"""HTTP/1.1 on a plain asyncio stream: no more than posting JSON needs, so that it costs little."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from evenstore.errors import EvenstoreError

__all__ = ["Connection", "HttpAnswer", "post_bytes"]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status and body of an answer."""

    status: int
    body: bytes


class Connection:
    """One kept-alive connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, request: bytes) -> HttpAnswer:
        """Send a whole request and wait for its whole answer.

        Raises:
            EvenstoreError: The answer has no length, which neither server does.
        """
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            msg = f"an answer without content-length: {head[:200]!r}"
            raise EvenstoreError(msg)
        length = int(head[at + 17 : head.index(b"\r\n", at + 17)])
        body = await self._reader.readexactly(length)
        return HttpAnswer(int(head[9:12]), body)

    async def close(self) -> None:
        """Close; what the other side says to it does not matter."""
        self._writer.close()


def post_bytes(path: str, body: str, *, api_key: str | None) -> bytes:
    """Return a whole POST request."""
    payload = body.encode()
    key = "" if api_key is None else f"authorization: Bearer {api_key}\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{key}"
        f"content-length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload
