"""A blocking transport that keeps the deadline of a call, however slowly the other side sends.

The timeouts of httpx hold for each wait on the network: a server that sends a byte now and then
keeps a caller for ever. Here each wait gets what is left of the call. (An asynchronous call is
cancelled from outside and needs none of this.) Only the resolver of host names cannot be bounded.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx
from typing_extensions import override

__all__ = ["DeadlineTransport", "deadline"]

_WRITE_BYTES = 65_536

_end_s: ContextVar[float] = ContextVar("evenstore_call_end_s")


@contextmanager
def deadline(end_s: float) -> Iterator[None]:
    """Bound all waits of this thread's exchanges inside the block.

    Args:
        end_s: As `time.monotonic` counts.
    """
    token = _end_s.set(end_s)
    try:
        yield
    finally:
        _end_s.reset(token)


class DeadlineTransport(httpx.BaseTransport):
    """A pool of keep-alive connections; used inside `deadline` only; thread-safe.

    It raises the exceptions of httpcore as they are, and returns answers that are read.
    """

    def __init__(
        self, *, ssl_context: ssl.SSLContext, max_connections: int, keep_alive_s: float
    ) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=keep_alive_s,
            network_backend=_Backend(),
        )

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer to the end."""
        url = request.url
        response = self._pool.handle_request(
            httpcore.Request(
                request.method,
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.content,
                extensions=request.extensions,
            )
        )
        try:
            body = response.read()
        finally:
            response.close()
        return httpx.Response(
            response.status,
            headers=response.headers,
            content=body,
            extensions=response.extensions,
            request=request,
        )

    @override
    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left_s(timeout, httpcore.ReadTimeout))

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            left_s = _left_s(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _WRITE_BYTES], left_s)

    @override
    def close(self) -> None:
        self._stream.close()

    @override
    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s))

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = _left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left_s, local_address, socket_options))


def _left_s(timeout: float | None, error: type[httpcore.TimeoutException]) -> float:
    left_s = _end_s.get() - time.monotonic()
    if left_s <= 0:
        msg = "the time of the call is up"
        raise error(msg)
    return left_s if timeout is None else min(timeout, left_s)
