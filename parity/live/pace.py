"""The pace of a live run: no more entity rows in a second than asked, so that users come first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace"]

_BATCHES_PER_S = 4


class Pace:
    """Makes requests wait for their turn; several threads may share one.

    Args:
        max_rows_per_s: Entity rows in a second at most, on average; None for no limit.
        now_s: A clock that only goes forward, in seconds.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        max_rows_per_s: int | None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._max_rows_per_s = max_rows_per_s
        self._now_s = now_s
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next_s = now_s()

    def rows_per_batch(self, most: int) -> int:
        """Return how many rows to ask for at once: at a low rate a large batch is a burst."""
        if self._max_rows_per_s is None:
            return most
        return max(1, min(most, self._max_rows_per_s // _BATCHES_PER_S))

    def wait(self, n_rows: int) -> None:
        """Wait until so many rows may be asked for."""
        if self._max_rows_per_s is None:
            return
        with self._lock:
            turn_s = max(self._next_s, self._now_s())
            self._next_s = turn_s + n_rows / self._max_rows_per_s
            pause_s = turn_s - self._now_s()
        if pause_s > 0:
            self._sleep(pause_s)
