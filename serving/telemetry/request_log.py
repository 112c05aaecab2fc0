"""Log lines about requests: those that failed on our side, and, where asked for, all or some."""

from __future__ import annotations

import logging
import time
from typing import Final

from evenstore.errors import (
    ConfigurationError,
    EvenstoreError,
    FutureRowError,
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
    SchemaError,
)
from serving.errors import OverloadedError
from serving.settings import AccessLog

__all__ = ["RequestLog"]

logger = logging.getLogger("evenstore.serving")

_SAMPLE_EVERY: Final = 100
_FIRST_SERVER_ERROR = 500
_QUIET_S = 1.0

_TOLD_BY_LINK = (OnlineStoreUnavailableError, OnlineStoreTimeoutError)
"""The way to Redis tells of an outage once, and when it is over."""

_TOLD = (OnlineStoreError, ConfigurationError, SchemaError, OverloadedError)
"""Errors whose texts speak of the store, its definitions and load, never of a caller's values."""


class RequestLog:
    """Writes the lines. For one thread: that of the event loop.

    Args:
        access_log: `full` for every request, `sampled` for one in a hundred and every one that
            failed on our side, `off` for none.
    """

    def __init__(self, access_log: AccessLog) -> None:
        self.is_on = access_log != "off"
        self._is_full = access_log == "full"
        self._n_requests = 0
        self._last_told_s: dict[str, float] = {}
        self._n_suppressed: dict[str, int] = {}

    def log_request(
        self, route: str, method: str, status: int, seconds: float, *, api_key: str = ""
    ) -> None:
        """Log one request that was answered; ask `is_on` first, to spare the call.

        Args:
            route: Its template; the path could hold an entity key.
            method: As it came.
            status: The answer's.
            seconds: How long it took.
            api_key: Name of the key, empty for none.
        """
        self._n_requests += 1
        is_told = (
            self._is_full or status >= _FIRST_SERVER_ERROR or self._n_requests % _SAMPLE_EVERY == 1
        )
        if is_told:
            said = {
                "route": route,
                "method": method,
                "status": status,
                "duration_ms": round(1000 * seconds, 3),
            }
            logger.info("request", extra={**said, "api_key": api_key} if api_key else said)

    def log_error(self, error: EvenstoreError, *, route: str, status: int) -> None:
        """Log an error that is neither the caller's nor an outage, once a second per code at most.

        Says the text of errors about the store and its definitions; of others, such as those of
        on-demand functions, only code and class: their texts may hold a caller's values.
        """
        if status < _FIRST_SERVER_ERROR or isinstance(error, _TOLD_BY_LINK):
            return
        now_s = time.monotonic()
        code = error.code
        if now_s - self._last_told_s.get(code, -_QUIET_S) < _QUIET_S:
            self._n_suppressed[code] = self._n_suppressed.get(code, 0) + 1
            return
        self._last_told_s[code] = now_s
        is_told = isinstance(error, _TOLD) and not isinstance(error, FutureRowError)
        logger.error(
            "%s",
            error.message if is_told else "a request failed",
            extra={
                "route": route,
                "status": status,
                "code": code,
                "error": type(error).__qualname__,
                "suppressed": self._n_suppressed.pop(code, 0),
            },
        )
