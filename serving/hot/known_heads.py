"""Heads of requests that were parsed before: clients send the very same one again and again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["KnownHead", "KnownHeads"]

_END = b"\r\n\r\n"
_MAX_HEADS = 1024


@dataclass(slots=True)  # Not frozen: one may be made per request.
class KnownHead:
    """What a head says.

    Attributes:
        n_body_bytes: Length of the body behind it.
        key_digest: Of the API key that it presents; None without one. Whether that key may be used
            is to be asked each time.
    """

    n_body_bytes: int
    key_digest: bytes | None


class KnownHeads:
    """The heads of one worker that need no parser, by a digest: they hold keys in the clear.

    Only whole requests of the hot route are noted, with nothing before and nothing behind them,
    that leave the connection open and bring no id of their own: the same bytes would be parsed to
    the same request.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}

    def find(self, data: bytes) -> tuple[KnownHead | None, bytes]:
        """Return what is known of a head, if the rest is its body, and the head's bytes."""
        head = data[: data.find(_END) + len(_END)]
        known = self._heads.get(hashlib.sha256(head).digest())
        if known is None or len(data) - len(head) != known.n_body_bytes:
            return None, head
        return known, head

    def note(self, data: bytes, body: bytes, key_digest: bytes | None) -> None:
        """Note the head of a request that came with its body and nothing else.

        Args:
            data: All bytes that came.
            body: What the parser found to be the request's body.
            key_digest: Of the API key that was presented.
        """
        head, end, rest = data.partition(_END)
        if not body or rest != body:  # In chunks, or with more behind it.
            return
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        self._heads[hashlib.sha256(head + end).digest()] = KnownHead(len(body), key_digest)
