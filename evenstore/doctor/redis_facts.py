"""What one Redis says of itself, gathered once; a command that it refuses is noted, not raised.

Nothing is written but one line in the script cache, by SCRIPT LOAD. Managed services and narrow ACL
users refuse CONFIG and others: what is unknown then is None or missing, and `refusals` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from evenstore.clock import Clock
from evenstore.errors import EvenstoreError
from evenstore.online.connection import execute

__all__ = ["HashLimits", "RedisFacts", "gather_redis_facts"]

_US_PER_S = 1_000_000
_SCRIPT = b"return 1"


@dataclass(frozen=True, slots=True)
class HashLimits:
    """Up to where Redis keeps a hash in its compact form, which it calls listpack or ziplist."""

    value_bytes: int
    entries: int


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What one Redis says of itself.

    Attributes:
        url: Where it is, without a password.
        info: The lines of INFO; empty where it is refused.
        hash_limits: None where CONFIG GET is refused.
        skew_us: The server's clock minus this machine's, None where TIME is refused.
        round_trip_us: How long TIME took: the skew is known no better than to half of it.
        refusals: What was refused, command by command, in Redis' words.
    """

    url: str
    info: Mapping[str, str] = field(default_factory=dict)
    hash_limits: HashLimits | None = None
    skew_us: int | None = None
    round_trip_us: int = 0
    refusals: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str) -> int | None:
        """Return a whole number of INFO, None where there is none."""
        text = self.info.get(name, "")
        return int(text) if text.isdecimal() else None

    @property
    def memory_limit_bytes(self) -> int | None:
        """What Redis may use: `maxmemory`, else the machine's memory; None where neither is told.

        In a container the machine's memory is the host's.
        """
        return self.number("maxmemory") or self.number("total_system_memory") or None

    @property
    def headroom_bytes(self) -> int | None:
        """What Redis may still take, None where it does not tell."""
        used, limit = self.number("used_memory"), self.memory_limit_bytes
        return None if used is None or limit is None else max(0, limit - used)


def gather_redis_facts(client: redis.Redis, url: str, clock: Clock) -> RedisFacts:
    """Ask a Redis for all that the checks need.

    Args:
        client: Redis.
        url: Where it is, without a password, for messages.
        clock: This machine's clock, never a frozen one.

    Raises:
        OnlineStoreUnavailableError: It cannot be reached, or refuses the credentials.
        OnlineStoreTimeoutError: It did not answer in time.
    """
    asked = _Asked(client)
    # By itself, so that what cannot be reached is an error and not a list of refusals. PING may be
    # refused, which is an answer.
    asked.ask("PING", b"PING")
    before_us = clock.now_us()
    time = asked.ask("TIME", b"TIME")
    after_us = clock.now_us()
    return RedisFacts(
        url=url,
        info=_info(asked.ask("INFO", b"INFO")),
        hash_limits=_hash_limits(asked.ask("CONFIG GET", b"CONFIG", b"GET", b"hash-max-*")),
        skew_us=None if time is None else _instant_us(time) - (before_us + after_us) // 2,
        round_trip_us=after_us - before_us,
        refusals=_ask_scripts(asked),
    )


class _Asked:
    """Asks one command after another, and notes which were refused."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.refusals: dict[str, str] = {}

    def ask(self, name: str, *command: bytes | int) -> Any:
        try:
            (reply,) = execute(self._client, [command])
        except EvenstoreError as exc:
            if isinstance(exc, OSError):  # Unavailable, or too late.
                raise
            self.refusals[name] = exc.message
            return None
        return reply


def _ask_scripts(asked: _Asked) -> Mapping[str, str]:
    asked.ask("EVAL", b"EVAL", _SCRIPT, 0)
    digest = asked.ask("SCRIPT LOAD", b"SCRIPT", b"LOAD", _SCRIPT)
    if digest is not None:
        asked.ask("EVALSHA", b"EVALSHA", _bytes(digest), 0)
    return asked.refusals


def _info(reply: Any) -> dict[str, str]:
    # redis-py turns INFO into Python values; the text of one is enough here.
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    lines = _text(reply or b"").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _hash_limits(reply: Any) -> HashLimits | None:
    if not reply:
        return None
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    settings = {_text(name): _text(value) for name, value in pairs}
    for form in ("listpack", "ziplist"):  # Redis before 7 has the second one only.
        try:
            value_bytes = int(settings[f"hash-max-{form}-value"])
            return HashLimits(value_bytes, int(settings[f"hash-max-{form}-entries"]))
        except (KeyError, ValueError):
            continue
    return None


def _instant_us(reply: Any) -> int:
    seconds, us = reply
    return int(seconds) * _US_PER_S + int(us)


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
