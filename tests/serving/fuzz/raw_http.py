"""HTTP over a plain socket, so that a test can send what no HTTP library would."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Answer", "Connection", "encode_request"]

_WAIT_S = 60.0
"""Nothing may take this long: a test that waits it out has found a hang."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A keep-alive connection that is opened again when the other side has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = (parts.hostname, parts.port)
        self._socket: socket.socket | None = None
        self._buffer = b""
        self.n_requests = 0

    def request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a well-formed request and read its answer."""
        return self.send(encode_request(method, target, body, headers))

    def send(self, raw: bytes) -> Answer:
        """Send any bytes and read one answer."""
        answer = self.try_send(raw)
        assert answer is not None, "closed without an answer"
        return answer

    def try_send(self, raw: bytes, *, ends: bool = False) -> Answer | None:
        """Send any bytes; None where the other side closes without an answer.

        With `ends`, nothing more is sent after them, and the other side is told so.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self.address, timeout=_WAIT_S)
            self._buffer = b""
        self.n_requests += 1
        try:
            self._socket.sendall(raw)
            if ends:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It may have answered before it had all, and closed.
        return self._receive()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _receive(self) -> Answer | None:
        head = self._until(b"\r\n\r\n")
        if head is None:
            self.close()
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self._exactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(first.split(" ")[1]), headers, body)

    def _chunks(self) -> bytes:
        body = b""
        while True:
            size = self._until(b"\r\n")
            assert size is not None
            chunk = self._exactly(int(size, 16) + 2)[:-2]
            if not chunk:
                return body
            body += chunk

    def _until(self, end: bytes) -> bytes | None:
        while end not in self._buffer:
            if not self._more():
                return None
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, n_bytes: int) -> bytes:
        while len(self._buffer) < n_bytes:
            assert self._more(), "the answer is cut short"
        found, self._buffer = self._buffer[:n_bytes], self._buffer[n_bytes:]
        return found

    def _more(self) -> bool:
        assert self._socket is not None
        try:
            received = self._socket.recv(1 << 20)
        except ConnectionResetError:
            return False
        self._buffer += received
        return bool(received)


def encode_request(
    method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """Render a well-formed request."""
    lines = [f"{method} {target} HTTP/1.1", "host: gateway", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
