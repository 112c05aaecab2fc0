"""How many requests a worker takes at once.

A worker that takes every request under overload finishes none in time: each waits behind all
others. Refusing early, before a body is read or parsed, costs a fraction of an answer, so that the
requests that are taken are still answered at full speed.

Lookups and writes are counted apart: a materialization takes minutes, and a push as long as the
writer process lets it wait; neither may take a lookup's place.
"""

from __future__ import annotations

from serving.errors import OverloadedError

__all__ = ["Admission"]


class Admission:
    """Counts the requests under way in one event loop.

    Whoever calls `enter` without an error calls `leave` once, whatever happens; and `enter_write`
    and `leave_write` alike.

    Args:
        max_in_flight: Lookups under way at once, and as many writes.

    Attributes:
        in_flight: Requests of both kinds under way.
        n_writes: Those of them that write.
        n_shed: Requests that were refused.
    """

    __slots__ = ("in_flight", "max_in_flight", "n_shed", "n_writes")

    def __init__(self, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self.n_writes = 0
        self.n_shed = 0

    def enter(self) -> None:
        """Take one more request that writes nothing.

        Raises:
            OverloadedError: As many as allowed are under way; nothing was done.
        """
        if self.in_flight - self.n_writes >= self.max_in_flight:
            raise self._overloaded(of_writes=False)
        self.in_flight += 1

    def leave(self) -> None:
        """Let go of a request that was taken by `enter`."""
        self.in_flight -= 1

    def enter_write(self) -> None:
        """Take one more request that writes.

        Raises:
            OverloadedError: As many as allowed are under way; nothing was done.
        """
        if self.n_writes >= self.max_in_flight:
            raise self._overloaded(of_writes=True)
        self.in_flight += 1
        self.n_writes += 1

    def leave_write(self) -> None:
        """Let go of a request that was taken by `enter_write`."""
        self.in_flight -= 1
        self.n_writes -= 1

    def _overloaded(self, *, of_writes: bool) -> OverloadedError:
        self.n_shed += 1
        what = "writes" if of_writes else "requests"
        msg = f"{self.max_in_flight} {what} are under way in this worker"
        return OverloadedError(msg, hint="try again, or run more workers (`--workers`)")
