"""What the walk-through says of its steps: how long each took, and what it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Steps"]


@dataclass(frozen=True, slots=True)
class Steps:
    """Times steps and prints one account of them.

    Attributes:
        say: Prints one line.
    """

    say: Callable[[str], None]

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Time one step; it appends what it did, and that is said at its end."""
        started_s = time.monotonic()
        did: list[str] = []
        yield did
        elapsed_s = time.monotonic() - started_s
        self.say(f"{title:<24} {elapsed_s:6.1f} s   {did[0] if did else ''}".rstrip())
        for line in did[1:]:
            self.say(f"{'':<24} {'':>6}     {line}")

    def quote(self, printed: str) -> None:
        """Say what a command printed, indented."""
        for line in printed.rstrip().splitlines():
            self.say(f"  {line}".rstrip())
