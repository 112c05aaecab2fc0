"""Whether and when a call is tried again: few times, with jitter, and never much in total."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass

from evenstore.client.exchange import Failure
from evenstore.errors import ConfigurationError

__all__ = ["Attempts", "RetryBudget", "RetryPolicy"]

_RANDOM = random.SystemRandom()
"""Processes forked from one parent would share the state of any other generator."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a client tries again.

    Only what may pass is tried again: a connection refused or broken, 429, 503 and 504. Lookups
    change nothing, and of rows the newest wins, so that a second write of one row is harmless.

    Attributes:
        max_attempts: Of one call; 1 tries nothing again.
        first_pause_s: Upper bound of the first pause; it doubles with each attempt. The pause is
            drawn evenly from zero to its bound, so that callers do not come back all at once.
        longest_pause_s: Upper bound of every pause but one that `Retry-After` asks for.
        budget: Retries that the client may make at once, over all its calls; each success gives
            `budget_refund` of one back, so that a gateway in distress gets little more than its
            ordinary load.
        budget_refund: Share of a retry that one success earns.

    Raises:
        ConfigurationError: A number is out of its range.
    """

    max_attempts: int = 3
    first_pause_s: float = 0.02
    longest_pause_s: float = 1.0
    budget: float = 10.0
    budget_refund: float = 0.1

    def __post_init__(self) -> None:
        numbers = (self.first_pause_s, self.longest_pause_s, self.budget, self.budget_refund)
        if self.max_attempts < 1 or not all(number >= 0 for number in numbers):
            msg = f"not a retry policy: {self}"
            raise ConfigurationError(msg, hint="at least one attempt, and no negative numbers")


class RetryBudget:
    """What is left of a client's retries; shared by its threads."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._left = policy.budget
        self._lock = threading.Lock()

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def refund(self) -> None:
        """Give back what a success earns."""
        with self._lock:
            self._left = min(self._policy.budget, self._left + self._policy.budget_refund)


class Attempts:
    """The attempts of one call; made when it begins.

    Attributes:
        end_s: When its time is up, as `time.monotonic` counts.
    """

    def __init__(self, policy: RetryPolicy, budget: RetryBudget, timeout_s: float) -> None:
        self._policy = policy
        self._budget = budget
        self._n_failures = 0
        self.end_s = time.monotonic() + timeout_s

    def remaining_s(self) -> float:
        """Return the time left for this call; zero or less when it is up."""
        return self.end_s - time.monotonic()

    def pause_after(self, failure: Failure) -> float | None:
        """Return how long to wait before the next attempt, in seconds; None to give up.

        A call gives up at once when its time would be over before the next attempt.
        """
        self._n_failures += 1
        if not failure.may_pass or self._n_failures >= self._policy.max_attempts:
            return None
        bound_s = self._policy.first_pause_s * 2 ** (self._n_failures - 1)
        pause_s = _RANDOM.uniform(0.0, min(bound_s, self._policy.longest_pause_s))
        pause_s += failure.retry_after_s
        if pause_s >= self.remaining_s():
            return None
        return pause_s if self._budget.spend() else None
