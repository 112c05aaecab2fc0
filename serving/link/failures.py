"""What can go wrong between a worker and Redis, as errors of ours."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import hiredis

from evenstore.errors import (
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)

__all__ = [
    "CLOSED",
    "NOT_REDIS",
    "SILENT",
    "TOO_LARGE",
    "WENT_SILENT",
    "Failure",
    "check",
    "check_greeting",
    "connect_failure",
    "error_of_reply",
    "lost_failure",
]

_MAX_TEXT = 200
_REACH_HINT = "is it running? `evenstore redis status` tells for the embedded one"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection ended.

    `counts` says whether it is a sign that Redis is away, which opens the circuit in the end.
    """

    kind: type[OnlineStoreError]
    message: str
    hint: str
    counts: bool = True

    def to_error(self) -> OnlineStoreError:
        """Make an error of its own for each request: a shared one would gather tracebacks."""
        return self.kind(self.message, hint=self.hint)


SILENT = Failure(
    OnlineStoreTimeoutError,
    "Redis did not answer in time",
    "is it overloaded or far away? `redis_timeout_s` sets how long to wait",
)
WENT_SILENT = Failure(
    OnlineStoreUnavailableError,
    "the connection to Redis was given up: Redis did not answer earlier requests in time",
    SILENT.hint,
)
NOT_REDIS = Failure(
    OnlineStoreError,
    "what answers is not Redis, or a reply came that nobody asked for",
    "check host and port of the connection string, and whether the port needs TLS (`rediss://`)",
)
TOO_LARGE = Failure(
    OnlineStoreError,
    "a reply of Redis is larger than a worker takes",
    "ask for fewer entity rows in each of several requests",
    counts=False,
)
CLOSED = Failure(
    OnlineStoreUnavailableError,
    "the gateway closed its connection to Redis",
    "it is stopping: ask another one",
    counts=False,
)


def lost_failure(reason: BaseException | None) -> Failure:
    """Describe a connection that ended while requests were under way."""
    why = "the connection was closed" if reason is None else _text(reason)
    return Failure(OnlineStoreUnavailableError, f"Redis cannot be reached: {why}", _REACH_HINT)


def connect_failure(reason: BaseException) -> Failure:
    """Describe why no connection could be made."""
    if isinstance(reason, TimeoutError):
        return Failure(
            OnlineStoreTimeoutError, "Redis did not answer a new connection in time", SILENT.hint
        )
    if isinstance(reason, OnlineStoreError):
        return Failure(type(reason), reason.message, reason.hint or _REACH_HINT)
    hint = "check the certificates (`ssl_ca_certs`)" if isinstance(reason, ssl.SSLError) else ""
    return Failure(
        OnlineStoreUnavailableError,
        f"Redis cannot be reached: {_text(reason)}",
        hint or _REACH_HINT,
    )


def check(replies: Iterable[object]) -> None:
    """Raise if a reply is an error.

    Raises:
        OnlineStoreUnavailableError: Redis loads, is busy, has no primary, or refuses the login.
        OnlineStoreError: Redis refused a command.
    """
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise error_of_reply(reply)


def check_greeting(replies: Sequence[object]) -> None:
    """Raise what `check` raises, unless it is that this user may not send PING."""
    check(replies[:-1])
    last = replies[-1]
    if not (isinstance(last, hiredis.ReplyError) and str(last).startswith("NOPERM")):
        check([last])


def error_of_reply(reply: hiredis.ReplyError) -> OnlineStoreError:
    """Map Redis' error to ours by the first word of its text."""
    text = _text(reply)
    code = text.partition(" ")[0]
    if text.startswith(("ERR invalid password", "ERR AUTH", "ERR Client sent AUTH")):
        code = "WRONGPASS"
    elif text.startswith("ERR max number of clients"):
        code = "MAXCLIENTS"
    kind, what, hint = _BY_CODE.get(code, (OnlineStoreError, "Redis refused the command", None))
    return kind(f"{what}: {text}", hint=hint)


_UNAVAILABLE = OnlineStoreUnavailableError
_LOGIN = (
    _UNAVAILABLE,
    "Redis refused the credentials",
    "check the user and the password in the connection string",
)
_CLUSTER = (
    _UNAVAILABLE,
    "Redis answered as a cluster",
    "connect to a standalone Redis that is up: clusters are not supported yet",
)
_BY_CODE: dict[str, tuple[type[OnlineStoreError], str, str | None]] = {
    "LOADING": (
        _UNAVAILABLE,
        "Redis is loading its data",
        "wait until it has started, then repeat",
    ),
    "BUSY": (
        _UNAVAILABLE,
        "Redis is busy with a script",
        "find out who runs it (`SLOWLOG GET`); `SCRIPT KILL` ends one that has not written",
    ),
    "MASTERDOWN": (
        _UNAVAILABLE,
        "Redis is a replica without its primary",
        "wait until the primary is back, or connect to it",
    ),
    "READONLY": (
        _UNAVAILABLE,
        "Redis is a replica that takes no writes",
        "connect to the primary",
    ),
    "MAXCLIENTS": (
        _UNAVAILABLE,
        "Redis takes no more connections",
        "raise its `maxclients`, or run fewer workers",
    ),
    "DENIED": _LOGIN,
    "NOAUTH": _LOGIN,
    "WRONGPASS": _LOGIN,
    "NOPERM": (
        OnlineStoreError,
        "the Redis user may not do this",
        "grant it the command and the keys (`ACL SETUSER`)",
    ),
    "OOM": (
        OnlineStoreError,
        "Redis is out of memory",
        "raise its `maxmemory`, or make room",
    ),
    "CLUSTERDOWN": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "TRYAGAIN": _CLUSTER,
}


def _text(reason: BaseException) -> str:
    lines = str(reason).strip().splitlines()
    return lines[0][:_MAX_TEXT] if lines else type(reason).__name__
