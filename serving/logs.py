"""Log lines of the gateway: plain text on stderr, without secrets and without entity keys."""

from __future__ import annotations

import logging
import time
import traceback
from types import TracebackType

from typing_extensions import override

__all__ = ["configure_logging"]

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _PlainFormatter(logging.Formatter):
    """Shows where an unexpected error came from, but not its text.

    The text may hold a caller's values, such as an entity key in an on-demand function's message.
    """

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @override
    def formatException(self, ei: _ExcInfo) -> str:
        kind, _error, trace = ei
        frames = "".join(traceback.format_tb(trace))
        return f"{frames}{'' if kind is None else kind.__qualname__}"


def configure_logging(process: str) -> None:
    """Send the lines of evenstore and of the HTTP server to stderr.

    Args:
        process: What each line says it comes from, such as `worker 1`.
    """
    handler = logging.StreamHandler()
    formatter = _PlainFormatter(f"%(asctime)s %(levelname)s {process}: %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    for name, level in (("evenstore", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
