"""Counts what an enforced ttl would withhold, where a view only shadows its ttl."""

from __future__ import annotations

import logging

__all__ = ["ShadowCount"]

logger = logging.getLogger("evenstore.online")


class ShadowCount:
    """Rows of one view that were served though they are older than its ttl.

    Logged at the first, tenth, hundredth row and so on, so that neither one nor a million is lost
    or drowns everything else.

    Attributes:
        n_rows: How many.
    """

    def __init__(self, view_name: str) -> None:
        self._view_name = view_name
        self._next = 1
        self.n_rows = 0

    def add(self, n_rows: int = 1) -> None:
        """Count more rows."""
        self.n_rows += n_rows
        if self.n_rows >= self._next:
            while self.n_rows >= self._next:
                self._next *= 10
            logger.warning(
                "%s: %d rows older than the ttl were served so far (ttl_enforcement: shadow)",
                self._view_name,
                self.n_rows,
            )
