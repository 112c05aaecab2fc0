"""API keys as a worker checks them: in one hash and one dict lookup per request."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from evenstore.clock import Clock
from evenstore.errors import ConfigurationError
from serving.errors import AccessDeniedError, NotAuthenticatedError
from serving.guard.key_file import SCOPES, KeyRecord, Scope, hash_key, read_records, warn_of_mode

__all__ = ["GRACE_S", "POLL_S", "ApiKeys", "presented_key"]

logger = logging.getLogger("evenstore.serving")

POLL_S = 1.0
"""How often the file is looked at: the longest time a revoked or expired key still works."""

GRACE_S = 60.0
"""How long the keys stay valid while their file cannot be used; then none is.

Long enough for a file that is replaced by hand or a mount that is renewed; an end at all, because
revocations go unseen for that long.
"""

_BEARER = b"bearer "
_HINT = "send `Authorization: Bearer <key>` or `X-API-Key: <key>`"

_Signature = tuple[int, int, int, int, int]
_Known = dict[bytes, tuple[bytes, str]]


class ApiKeys:
    """The keys of one file, by scope.

    Keys are found by their hash in a dict. That takes no more time for a near miss than for a far
    one: a caller chooses the key but not its hash, and dicts compare the bytes of two hashes only
    after a 64-bit value that each process salts anew. The hash that is found is compared once more
    in constant time, so that this does not rest on how dicts work.

    An expired key is dropped by `follow`, up to a second late, which spares each request a look at
    the clock. Not for several threads.

    While the file is gone or cannot be used, the keys stay as they were for `grace_s`. After that
    no key is valid, until the file can be used again.

    Args:
        path: The file, or a link to it, followed anew each time; see `serving.guard.key_file`.
        clock: Says when keys expire: the machine's, also where answers have a frozen one.
        grace_s: How long the keys outlast their file.
        monotonic_s: Measures that: seconds from any instant, never set back.

    Raises:
        ConfigurationError: The file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        grace_s: float = GRACE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n_not_authenticated = 0
        self.n_denied = 0
        self._path = path
        self._clock = clock
        self._records: tuple[KeyRecord, ...] = ()
        self._by_scope: dict[Scope | None, _Known] = {}
        self._loaded: _Signature | None = None
        self._complaint = ""
        self._grace_s = grace_s
        self._monotonic_s = monotonic_s
        self._usable_s = monotonic_s()
        self._load()
        warning = warn_of_mode(path)
        if warning is not None:
            logger.warning("%s", warning)

    def authorize(self, key: bytes | None, scope: Scope | None) -> str:
        """Return the name of the key that allows something.

        Args:
            key: As `presented_key` finds it; None when there is none.
            scope: What is to be done; None where any key will do.

        Raises:
            NotAuthenticatedError: No key, or one that is not known (any more).
            AccessDeniedError: The key is known but has not this scope.
        """
        return self.authorize_digest(None if key is None else hash_key(key), scope)

    def authorize_digest(self, digest: bytes | None, scope: Scope | None) -> str:
        """Do as `authorize` for a key of which only `hash_key` is at hand."""
        if digest is None:
            self.n_not_authenticated += 1
            msg = "this route needs an API key"
            raise NotAuthenticatedError(msg, hint=_HINT)
        known = self._by_scope[scope].get(digest)
        if known is not None and hmac.compare_digest(known[0], digest):
            return known[1]
        raise self._refusal(digest, scope)

    async def follow(self, *, poll_s: float = POLL_S) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(poll_s)
            self.refresh()

    def refresh(self) -> None:
        """Look at the file and the clock once."""
        try:
            # Before the content, so that a change between the two is seen the next time.
            if self._signature() != self._loaded:
                self._load()
                logger.info("%d API keys are valid", self._n_valid())
            elif self._complaint:
                logger.info("the file of API keys can be used again")
        except (ConfigurationError, OSError) as exc:
            self._outlast(
                exc.message if isinstance(exc, ConfigurationError) else "they cannot be read"
            )
        else:
            self._complaint = ""
            self._usable_s = self._monotonic_s()
            self._admit(self._records)

    def _outlast(self, reason: str) -> None:
        # For a while only: keys are revoked in that file.
        is_over = self._monotonic_s() - self._usable_s >= self._grace_s
        stands = (
            f"no API key is valid until their file can be used, which it was not for "
            f"{self._grace_s:g} s"
            if is_over
            else "keeping the API keys as they were"
        )
        complaint = f"{stands}: {reason}"
        if complaint != self._complaint:
            logger.error("%s", complaint)
            self._complaint = complaint
        self._admit(() if is_over else self._records)

    def _load(self) -> None:
        try:
            signature = self._signature()
        except OSError:
            signature = None
        self._records = read_records(self._path)
        self._loaded = signature
        self._admit(self._records)

    def _admit(self, records: Iterable[KeyRecord]) -> None:
        now_us = self._clock.now_us()
        by_scope: dict[Scope | None, _Known] = {scope: {} for scope in (None, *SCOPES)}
        for record in records:
            if record.expires_us is None or now_us < record.expires_us:
                digest = bytes.fromhex(record.sha256)
                for scope in (None, *record.scopes):
                    by_scope[scope][digest] = (digest, record.name)
        self._by_scope = by_scope

    def _refusal(
        self, digest: bytes, scope: Scope | None
    ) -> NotAuthenticatedError | AccessDeniedError:
        known = self._by_scope[None].get(digest)
        if known is not None:
            self.n_denied += 1
            msg = f"the API key `{known[1]}` does not allow `{scope}`"
            return AccessDeniedError(msg, hint=f"ask for a key with the scope `{scope}`")
        self.n_not_authenticated += 1
        return NotAuthenticatedError("the API key is not known, or not valid any more", hint=_HINT)

    def _n_valid(self) -> int:
        return len(self._by_scope[None])

    def _signature(self) -> _Signature:
        status = self._path.stat()
        # The change time, too: a mode that lets anyone write changes nothing else.
        return (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )


def presented_key(authorization: bytes | None, x_api_key: bytes | None) -> bytes | None:
    """Return the key of a request's headers; a bearer token counts when both are there.

    Args:
        authorization: Value of the header `authorization`, as Feast's remote clients send it.
        x_api_key: Value of the header `x-api-key`.
    """
    if authorization is not None and authorization[:7].lower() == _BEARER:
        return authorization[7:].strip()
    return x_api_key
