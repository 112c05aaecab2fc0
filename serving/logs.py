"""Log lines of the gateway, on stderr: one JSON object or one plain line per event.

No line holds an entity key, a value, an API key or a password. What our own code logs has none;
what other code raises is shown by where it came from, without its text; and what looks like a
password in a URL or like one of our API keys is struck out wherever it appears.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
from typing_extensions import override

from serving.guard.key_file import KEY_PREFIX
from serving.guard.request_id import REQUEST_ID
from serving.settings import LogFormat

__all__ = ["FIELDS", "configure_logging"]

FIELDS = ("route", "method", "status", "duration_ms", "api_key", "code", "error", "suppressed")
"""What a line may say beside its message, passed as `extra`; anything else is left out."""

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_SECRETS = re.compile(rf"(?<=://)[^/\s@]*@|(?<=password=)[^,\s]+|\b{KEY_PREFIX}[\w-]{{20,}}")


class _PlainFormatter(logging.Formatter):
    """Shows where an unexpected error came from, but not its text.

    The text may hold a caller's values, such as an entity key in an on-demand function's message.
    """

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = _without_secrets(super().format(record))
        said = [f"{name}={value}" for name, value in _fields(record).items()]
        return " ".join([line, *said])

    @override
    def formatException(self, ei: _ExcInfo) -> str:
        kind, _error, trace = ei
        frames = "".join(traceback.format_tb(trace))
        return f"{frames}{'' if kind is None else kind.__qualname__}"


class _JsonFormatter(logging.Formatter):
    """One object per line; of an unexpected error its class and frames, but not its text."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    @override
    def format(self, record: logging.LogRecord) -> str:
        instant = datetime.fromtimestamp(record.created, tz=UTC)
        line: dict[str, Any] = {
            "ts": instant.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "process": self._process,
            "message": _without_secrets(record.getMessage()).strip(),
            **_fields(record),
        }
        if record.exc_info:
            kind, _error, trace = record.exc_info
            line["error"] = "" if kind is None else kind.__qualname__
            line["frames"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(trace)
            ]
        return orjson.dumps(line, default=str).decode()


def configure_logging(process: str, *, log_format: LogFormat = "json") -> None:
    """Send the lines of evenstore and of the HTTP server to stderr.

    Args:
        process: What each line says it comes from, such as `worker 1`.
        log_format: `json`, or `plain` for people.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(process, log_format))
    for name, level in (("evenstore", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def _formatter(process: str, log_format: LogFormat) -> logging.Formatter:
    if log_format == "json":
        return _JsonFormatter(process)
    formatter = _PlainFormatter(f"%(asctime)s %(levelname)s {process}: %(message)s")
    formatter.converter = time.gmtime
    return formatter


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: vars(record)[name] for name in FIELDS if name in vars(record)}
    request_id = REQUEST_ID.get()
    if request_id:
        fields["request_id"] = request_id.decode("ascii", "replace")
    return fields


def _without_secrets(text: str) -> str:
    return _SECRETS.sub("***", text)
