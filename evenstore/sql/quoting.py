"""Quoting: the one place where a name or a text becomes part of SQL."""

from __future__ import annotations

from evenstore.errors import ConfigurationError

__all__ = ["quote_identifier", "quote_literal"]


def quote_identifier(name: str) -> str:
    """Quote a column or relation name, doubling the quotes in it.

    Raises:
        ConfigurationError: The name is empty or holds a NUL, which DuckDB cannot name.
    """
    if not name or "\0" in name:
        msg = f"not a column name: {name!r}"
        raise ConfigurationError(msg)
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Quote a text value, doubling the quotes in it.

    Raises:
        ConfigurationError: The text holds a NUL, at which DuckDB would end it.
    """
    if "\0" in text:
        msg = f"not a text for SQL: {text!r}"
        raise ConfigurationError(msg)
    return "'" + text.replace("'", "''") + "'"
