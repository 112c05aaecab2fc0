"""Request ids: by which a caller's log, the gateway's answers and its log are put together."""

from __future__ import annotations

import itertools
import secrets
from contextvars import ContextVar

__all__ = ["HEADER", "REQUEST_ID", "RequestIds"]

HEADER = b"x-request-id"

REQUEST_ID: ContextVar[bytes] = ContextVar("evenstore_request_id", default=b"")
"""The id of the request that the present task answers; log lines carry it."""

_MAX_LENGTH = 128
_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+=@"
_N_PREFIX_BYTES = 6


class RequestIds:
    """Gives every request an id: the caller's own where it is sane, else a new one.

    New ids are a random prefix per process and a counter, which is unique enough and takes no
    random bytes per request. They are no secret.
    """

    __slots__ = ("_counter", "_prefix")

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(_N_PREFIX_BYTES).encode() + b"-"
        self._counter = itertools.count(1)

    def take(self, asked: bytes | None) -> bytes:
        """Return a request's id, and make it that of the present task.

        Args:
            asked: Value of the header `x-request-id`. One that is long, or has characters that
                could break a log line or a header, is replaced.
        """
        if asked and len(asked) <= _MAX_LENGTH and not asked.translate(None, _SAFE):
            request_id = asked
        else:
            request_id = self._prefix + b"%x" % next(self._counter)
        REQUEST_ID.set(request_id)
        return request_id
