"""When a worker stops asking Redis, and when it looks whether Redis is back. No I/O, no clock."""

from __future__ import annotations

__all__ = ["Circuit"]

_MAX_FAILURES = 3
_FIRST_PROBE_S = 0.2
_LAST_PROBE_S = 1.0


class Circuit:
    """Opens after some failures in a row; a success closes it.

    While it is open, requests are refused at once and only probes go out: the first one
    `first_probe_s` after it opened, then at twice the distance each time, up to `last_probe_s`,
    counted from the beginning of the probe before.

    Args:
        max_failures: How many failures in a row open it.
        first_probe_s: Distance of the first probe, seconds.
        last_probe_s: Greatest distance of probes, which bounds how late a return is noticed.
    """

    def __init__(
        self,
        *,
        max_failures: int = _MAX_FAILURES,
        first_probe_s: float = _FIRST_PROBE_S,
        last_probe_s: float = _LAST_PROBE_S,
    ) -> None:
        self._max_failures = max_failures
        self._first_probe_s = first_probe_s
        self._last_probe_s = last_probe_s
        self._n_failures = 0
        self._distance_s = first_probe_s
        self._next_probe_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests are refused."""
        return self._n_failures >= self._max_failures

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed: an outage begins with the first failure."""
        return self._n_failures > 0

    def note_failure(self, now_s: float) -> None:
        """Count a failed connection, or one that was given up."""
        was_open = self.is_open
        self._n_failures += 1
        if self.is_open and not was_open:
            self._distance_s = self._first_probe_s
            self._next_probe_s = now_s + self._distance_s

    def note_success(self) -> None:
        """Close: Redis has answered."""
        self._n_failures = 0

    def begin_probe(self, now_s: float) -> None:
        """Plan the probe after the one that begins now."""
        self._distance_s = min(2 * self._distance_s, self._last_probe_s)
        self._next_probe_s = now_s + self._distance_s

    def seconds_to_probe(self, now_s: float) -> float:
        """Return how long to wait before the next probe; 0 when it is due."""
        return max(0.0, self._next_probe_s - now_s)
