"""How a refused value and its feature appear in a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evenstore.errors import CodecError

__all__ = ["name_feature", "show_value"]

_LONGEST = 80


def show_value(value: Any) -> str:
    """Render a value for a message: its `repr`, cut to one short line's length."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print an int of more than 4300 digits.
        return f"<{type(value).__name__} too long to print>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@contextmanager
def name_feature(view_name: str, feature: str) -> Iterator[None]:
    """Put a feature's name before the message of a refusal of its values."""
    try:
        yield
    except CodecError as exc:
        msg = f"{view_name}:{feature}: {exc.message}"
        raise CodecError(msg, hint=exc.hint) from exc
    except (OverflowError, ValueError) as exc:  # An instant that no datetime can hold.
        msg = f"{view_name}:{feature}: {exc}"
        raise CodecError(msg, hint="timestamps go from the year 1 to 9999") from exc
