"""What workers and the writer process say to each other over the private Unix socket.

```text
size  type  field          note
request
4     u32   head's length
4     u32   body's length
n     json  head           {"route", "is_async", "force", "patience_s"}
n     bytes body           as the HTTP caller sent it
answer
2     u16   HTTP status
4     u32   body's length
n     bytes body           as the HTTP caller gets it
```

A connection carries one request at a time, any number of them in turn. All integers are little
endian; both sides are started from one installation, so that the form has no version.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

import orjson

__all__ = ["MAX_ANSWER_BYTES", "WriteAnswer", "WriteOrder", "read_answer", "read_order"]

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_HEAD_BYTES = 4_096
_ORDER = struct.Struct("<II")
_ANSWER = struct.Struct("<HI")


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """One HTTP request as a worker hands it on.

    Attributes:
        route: The path, such as `/push`.
        body: The HTTP body.
        is_async: Of materializations: whether the answer comes before the end.
        force: Of materializations: whether one under way is ended first.
        patience_s: How long the caller waits; work that begins later is not done. None for ever.
    """

    route: str
    body: bytes
    is_async: bool = False
    force: bool = False
    patience_s: float | None = None

    def encode(self) -> bytes:
        """Render for the socket."""
        head = orjson.dumps(
            {
                "route": self.route,
                "is_async": self.is_async,
                "force": self.force,
                "patience_s": self.patience_s,
            }
        )
        return _ORDER.pack(len(head), len(self.body)) + head + self.body


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """An HTTP answer as the writer process makes it."""

    status: int
    body: bytes

    def encode(self) -> bytes:
        """Render for the socket."""
        return _ANSWER.pack(self.status, len(self.body)) + self.body


async def read_order(reader: asyncio.StreamReader, *, max_body_bytes: int) -> WriteOrder | None:
    """Read the next request; None when the connection has ended.

    Raises:
        ValueError: What came is no request, or too large a one.
        IncompleteReadError: The connection ended within one.
    """
    try:
        sizes = await reader.readexactly(_ORDER.size)
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise
        return None
    n_head, n_body = _ORDER.unpack(sizes)
    if n_head > _MAX_HEAD_BYTES or n_body > max_body_bytes:
        msg = f"a request of {n_head} and {n_body} bytes"
        raise ValueError(msg)
    head = orjson.loads(await reader.readexactly(n_head))
    return WriteOrder(body=await reader.readexactly(n_body), **head)


async def read_answer(reader: asyncio.StreamReader) -> WriteAnswer:
    """Read the answer to a request.

    Raises:
        ValueError: What came is too large.
        IncompleteReadError: The connection ended before or within it.
    """
    status, n_body = _ANSWER.unpack(await reader.readexactly(_ANSWER.size))
    if n_body > MAX_ANSWER_BYTES:
        msg = f"an answer of {n_body} bytes"
        raise ValueError(msg)
    return WriteAnswer(status, await reader.readexactly(n_body))
