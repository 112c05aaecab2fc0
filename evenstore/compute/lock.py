"""One run of a view at a time: a lease in Redis, renewed while the run goes on.

The lock saves work and keeps summaries clear; it is not what keeps rows right. Rows are right
without it, because a row is written only where it is greater: two runs at once converge, and a run
that has lost its lease (Redis was restarted or emptied, or the machine slept) just goes on.

A run that is killed cannot release its lock. It blocks others for one lease at most: 30 seconds by
default. A lease is renewed three times within its length, so that two renewals can fail; shorter
ones would be lost to a stall of a few seconds, longer ones would let a restarted job wait in vain.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from evenstore.compute.summary import tell_on_stderr
from evenstore.errors import MaterializationError, OnlineStoreError
from evenstore.online.connection import execute

__all__ = ["LockSettings", "hold_view"]

_LONGEST_POLL_S = 1.0
_FIRST_POLL_S = 0.05
_RENEWALS_PER_LEASE = 3
_RENEW = b"""
local owner = redis.call('GET', KEYS[1])
if owner == false then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif owner == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  return 0
end
return 1
"""
_RELEASE = b"""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True, slots=True)
class LockSettings:
    """How long a run waits for another one of its view, and how long a killed one blocks it.

    Attributes:
        timeout_s: Longest wait.
        lease_s: How long the lock outlives a run that was killed.
    """

    timeout_s: float = 3600.0
    lease_s: float = 30.0


@contextmanager
def hold_view(
    client: redis.Redis,
    project: str,
    view_name: str,
    settings: LockSettings | None = None,
    *,
    tell: Callable[[str], object] = tell_on_stderr,
) -> Iterator[None]:
    """Hold a view for the block; wait while another run holds it.

    Args:
        client: Redis.
        project: The Feast project.
        view_name: The view.
        settings: How long to wait.
        tell: Where to say that the run waits, and that a lease was lost.

    Raises:
        MaterializationError: Another run still held the view when the wait was over, or Redis
            refused or cannot be reached.
    """
    chosen = settings or LockSettings()
    lease = _Lease(client, _key(project, view_name), int(chosen.lease_s * 1000))
    try:
        _wait_for(lease, view_name, chosen, tell)
    except OnlineStoreError as exc:
        raise MaterializationError(
            exc.message, view=view_name, rows_written=0, hint=exc.hint
        ) from exc
    with lease.kept(lambda: tell(f"{view_name}: another run has begun: both go on\n")):
        yield


def _wait_for(
    lease: _Lease, view_name: str, settings: LockSettings, tell: Callable[[str], object]
) -> None:
    deadline_s = time.monotonic() + settings.timeout_s
    poll_s = _FIRST_POLL_S
    while not lease.acquire():
        if poll_s == _FIRST_POLL_S:
            tell(f"{view_name}: waits for another run of this view ({lease.owner()})\n")
        if time.monotonic() >= deadline_s:
            msg = f"another run of this view goes on ({lease.owner()})"
            hint = f"it was waited for {settings.timeout_s:g} s: `lock_timeout_s` of batch_engine"
            raise MaterializationError(msg, view=view_name, rows_written=0, hint=hint)
        time.sleep(poll_s)
        poll_s = min(2 * poll_s, _LONGEST_POLL_S)


class _Lease:
    """A key that holds its owner's token and expires unless it is renewed."""

    def __init__(self, client: redis.Redis, key: bytes, length_ms: int) -> None:
        self._client = client
        self._key = key
        self._length_ms = length_ms
        # Who it is, for people; which run it is, for the comparison.
        where = f"process {os.getpid()} on {socket.gethostname()}"
        self._token = f"{where}/{uuid.uuid4().hex}".encode()

    def acquire(self) -> bool:
        length_ms = str(self._length_ms).encode()
        (answer,) = execute(
            self._client, [(b"SET", self._key, self._token, b"NX", b"PX", length_ms)]
        )
        return answer is not None

    def owner(self) -> str:
        (token,) = execute(self._client, [(b"GET", self._key)])
        return (
            token.decode().rpartition("/")[0] if isinstance(token, bytes) else "it has just ended"
        )

    @contextmanager
    def kept(self, on_loss: Callable[[], object]) -> Iterator[None]:
        ended = threading.Event()
        renewer = threading.Thread(
            target=self._renew_until, args=(ended, on_loss), name="run-lock", daemon=True
        )
        renewer.start()
        try:
            yield
        finally:
            ended.set()
            renewer.join()
            self._release()

    def _renew_until(self, ended: threading.Event, on_loss: Callable[[], object]) -> None:
        while not ended.wait(self._length_ms / 1000 / _RENEWALS_PER_LEASE):
            try:
                if not self._evaluate(_RENEW, str(self._length_ms).encode()):
                    on_loss()
                    return
            except OnlineStoreError:
                continue  # The run itself will fail, or the next renewal works.

    def _release(self) -> None:
        try:
            self._evaluate(_RELEASE)
        except OnlineStoreError:
            return  # It expires.

    def _evaluate(self, script: bytes, *arguments: bytes) -> bool:
        (answer,) = execute(
            self._client, [(b"EVAL", script, 1, self._key, self._token, *arguments)]
        )
        return bool(answer)


def _key(project: str, view_name: str) -> bytes:
    # No feature view's name holds a colon, so that two projects never share a key.
    return f"evenstore:run:{view_name}:{project}".encode()
