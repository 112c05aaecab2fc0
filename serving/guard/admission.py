"""How many requests a worker takes at once.

A worker that takes every request under overload finishes none in time: each waits behind all
others. Refusing early, before a body is read or parsed, costs a fraction of an answer, so that the
requests that are taken are still answered at full speed.
"""

from __future__ import annotations

from serving.errors import OverloadedError

__all__ = ["Admission"]


class Admission:
    """Counts the requests under way in one event loop.

    Whoever calls `enter` without an error calls `leave` once, whatever happens.

    Args:
        max_in_flight: Requests under way at once.
    """

    __slots__ = ("in_flight", "max_in_flight", "n_shed")

    def __init__(self, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self.n_shed = 0

    def enter(self) -> None:
        """Take one more request.

        Raises:
            OverloadedError: As many as allowed are under way; nothing was done.
        """
        if self.in_flight >= self.max_in_flight:
            self.n_shed += 1
            msg = f"{self.max_in_flight} requests are under way in this worker"
            raise OverloadedError(msg, hint="try again, or run more workers (`--workers`)")
        self.in_flight += 1

    def leave(self) -> None:
        """Let go of a request that was taken."""
        self.in_flight -= 1
