"""The Lua scripts that run inside Redis, and what their refusals mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources

import redis
from redis.exceptions import NoScriptError, ResponseError

from evenstore.errors import OnlineStoreError
from evenstore.online.connection import (
    DRIVER_ERRORS,
    exchange,
    translate_redis_error,
)

__all__ = ["Script"]

_FAULT_HINTS = {
    "ORDERVERSION": "a newer evenstore wrote this store: upgrade this one",
    "ORDERCORRUPT": "delete the entity's key, then `feast materialize --disable-event-timestamp`",
    "ROWVERSION": "a newer evenstore wrote this store: upgrade this one",
    "ROWCORRUPT": "delete the entity's key, then `feast materialize --disable-event-timestamp`",
}


class Script:
    """One script of this package.

    Attributes:
        sha: The hash that calls name it by.
    """

    def __init__(self, name: str) -> None:
        self._text = resources.files("evenstore.online").joinpath(name).read_text()
        self.sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(
        self,
        client: redis.Redis,
        calls: Sequence[Iterable[bytes | memoryview]],
        *,
        before: bytes = b"",
    ) -> list[bytes]:
        """Run calls (`ScriptCalls`) in one round trip and return their replies.

        Calls must be harmless when they are repeated: they are, where Redis lost the script or the
        connection.

        Args:
            client: Redis.
            calls: Each in pieces.
            before: One encoded command to send before them, whose reply does not matter.

        Raises:
            OnlineStoreError: Redis refused a call or cannot be reached.
        """
        try:
            outcomes = _round_trip(client, calls, before)
            unknown = [i for i, reply in enumerate(outcomes) if isinstance(reply, NoScriptError)]
            if unknown:  # Redis is new, was restarted, or its scripts were flushed.
                client.script_load(self._text)
                again = _round_trip(client, [calls[i] for i in unknown], before)
                for i, reply in zip(unknown, again, strict=True):
                    outcomes[i] = reply
        except DRIVER_ERRORS as exc:
            raise translate_redis_error(exc) from exc
        return [_checked(outcome) for outcome in outcomes]


def _round_trip(
    client: redis.Redis, calls: Sequence[Iterable[bytes | memoryview]], before: bytes
) -> list[object]:
    pieces = [piece for call in calls for piece in call]
    n_before = 1 if before else 0
    return exchange(client, [before, *pieces], n_replies=n_before + len(calls))[n_before:]


def _checked(outcome: object) -> bytes:
    if isinstance(outcome, bytes):
        return outcome
    if isinstance(outcome, ResponseError):
        kind, _, what = str(outcome).partition(" ")
        if kind in _FAULT_HINTS:
            raise OnlineStoreError(what, hint=_FAULT_HINTS[kind]) from outcome
    if isinstance(outcome, Exception):
        raise translate_redis_error(outcome) from outcome
    msg = f"a script answered {outcome!r}"
    raise OnlineStoreError(msg)
