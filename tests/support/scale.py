"""How much a test does: a reduced form by default, the full count in `make test-full`."""

from __future__ import annotations

import os

__all__ = ["scaled"]


def scaled(reduced: int, full: int) -> int:
    """Return `full` when `EVENSTORE_TEST_SCALE=full`, else `reduced`."""
    return full if os.environ.get("EVENSTORE_TEST_SCALE") == "full" else reduced
