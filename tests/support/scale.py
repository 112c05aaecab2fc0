"""How much a test does: a reduced form by default, the full count in `make test-full`."""

from __future__ import annotations

import os

import pytest

__all__ = ["full_only", "scaled"]


def scaled(reduced: int, full: int) -> int:
    """Return `full` when `EVENSTORE_TEST_SCALE=full`, else `reduced`."""
    return full if os.environ.get("EVENSTORE_TEST_SCALE") == "full" else reduced


full_only = pytest.mark.skipif(
    os.environ.get("EVENSTORE_TEST_SCALE") != "full",
    reason="runs in `make test-full`: a walk-through of minutes",
)
"""Marks tests that would cost the everyday run its ten minutes."""
