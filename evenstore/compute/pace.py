"""The pace of a run: no faster than asked, and slower while Redis answers late.

A load competes with readers for Redis' one thread. Between two chunks a run waits for as long as
its rate allows, and then, while a PING takes longer than it may, with growing pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Pace", "PaceLimits"]

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0
_LONGEST_BACK_OFF_S = 30.0
_CHUNKS_PER_S = 10
_FEWEST_ROWS = 100


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """How fast a run may be; None for as fast as it can.

    Attributes:
        max_rows_per_s: Rows written in a second, on average.
        max_redis_latency_ms: Longest a PING may take before the run backs off.
    """

    max_rows_per_s: int | None = None
    max_redis_latency_ms: float | None = None

    def rows_per_chunk(self, most: int) -> int:
        """Return how many rows to write at once: at a low rate a chunk of seconds is a burst."""
        if self.max_rows_per_s is None:
            return most
        return max(1, min(most, max(_FEWEST_ROWS, self.max_rows_per_s // _CHUNKS_PER_S)))


class Pace:
    """Makes a run rest between chunks.

    Args:
        limits: How fast it may be.
        ping: Asks Redis for a sign of life; it takes as long as any command now.
        now_s: A clock that only goes forward, in seconds.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        limits: PaceLimits,
        ping: Callable[[], object],
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._limits = limits
        self._ping = ping
        self._now_s = now_s
        self._sleep = sleep
        self._due_s = now_s()

    def rest(self, n_rows: int) -> None:
        """Wait after a chunk of rows until the next one may be written.

        A Redis that stays slow for half a minute is not slow because of this run: it goes on then,
        one chunk at a time.
        """
        if self._limits.max_rows_per_s is not None:
            self._keep_rate(n_rows / self._limits.max_rows_per_s)
        if self._limits.max_redis_latency_ms is not None:
            self._back_off(self._limits.max_redis_latency_ms / 1000)

    def _keep_rate(self, duration_s: float) -> None:
        now_s = self._now_s()
        # Time lost elsewhere is caught up within one chunk at most: no burst after a stall.
        self._due_s = max(self._due_s, now_s - duration_s) + duration_s
        if self._due_s > now_s:
            self._sleep(self._due_s - now_s)

    def _back_off(self, longest_s: float) -> None:
        pause_s = _FIRST_PAUSE_S
        given_up_s = self._now_s() + _LONGEST_BACK_OFF_S
        while self._latency_s() > longest_s and self._now_s() < given_up_s:
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _latency_s(self) -> float:
        asked_s = self._now_s()
        self._ping()
        return self._now_s() - asked_s
