"""Runs a join again where a file was replaced or removed while it was read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from evenstore.errors import SourceChangedError

__all__ = ["retry_on_change"]

_T = TypeVar("_T")
_ATTEMPTS = 5


def retry_on_change(run: Callable[[], _T]) -> _T:
    """Call until the files stay the same for the length of a call.

    Args:
        run: Finds the files anew each time.

    Raises:
        SourceChangedError: They changed every time.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return run()
        except SourceChangedError:
            continue
    return run()
