"""One HTTP connection over which a request is sent, and its answer read when it is wanted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

__all__ = ["Connection", "PlainReply", "Target"]

_TIMEOUT_S = 5.0
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and what is said with each."""

    host: str
    port: int
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlainReply:
    """A successful answer: header names are lower case."""

    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Posts to one path; anything out of the ordinary makes it unusable, and says so."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._http = HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def send(self, body: bytes) -> bool:
        """Send a request; false where the connection is lost, and closed then."""
        target = self._target
        try:
            self._http.request("POST", target.path, body, target.headers)
        except (OSError, HTTPException):
            self.close()
            return False
        return True

    def receive(self) -> PlainReply | None:
        """Read the answer; None where it is no plain success: the connection is to be closed."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        pieces = []
        try:
            response = self._http.getresponse()
            if response.length is None and not response.chunked:
                return None  # Nobody could tell its end from a lost connection.
            while piece := response.read1(_PIECE_BYTES):
                pieces.append(piece)
                if time.monotonic() > deadline_s:
                    return None
            if response.length:
                return None  # The answer was cut off.
            response.close()
        except (OSError, HTTPException):
            return None
        headers = {name.lower(): value for name, value in response.getheaders()}
        is_plain = response.status == HTTPStatus.OK and "content-encoding" not in headers
        # Where the other side closes, `http.client` connects anew for the next request.
        return PlainReply(headers, b"".join(pieces)) if is_plain else None
