"""How a refused value appears in a message."""

from __future__ import annotations

from typing import Any

__all__ = ["show_value"]

_LONGEST = 80


def show_value(value: Any) -> str:
    """Render a value for a message: its `repr`, cut to one short line's length."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print an int of more than 4300 digits.
        return f"<{type(value).__name__} too long to print>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
