"""What a user names on the command line, looked up; an unknown name is told with the known ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from evenstore.errors import ConfigurationError

__all__ = ["check_names", "find_named", "split_names"]

_Named = TypeVar("_Named")


def split_names(text: str | None) -> list[str]:
    """Return the names of a text that has them by comma."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def check_names(
    names: Iterable[str], known: Collection[str], what: str, *, or_module: bool = False
) -> tuple[str, ...]:
    """Return names that are known.

    Args:
        names: As they were given.
        known: All there are.
        what: What they are names of, such as `case`.
        or_module: Whether a dotted name, of a module, is another way.

    Raises:
        ConfigurationError: There is no such thing.
    """
    wanted = tuple(names)
    unknown = [name for name in wanted if name not in known and not (or_module and "." in name)]
    if unknown:
        msg = f"no such {what}: {', '.join(map(repr, unknown))}"
        hint = f"choose from {', '.join(known)}" + ", or name a module" * or_module
        raise ConfigurationError(msg, hint=hint)
    return wanted


def find_named(names: Iterable[str], known: Mapping[str, _Named], what: str) -> tuple[_Named, ...]:
    """Look things up by name.

    Raises:
        ConfigurationError: There is no such thing.
    """
    return tuple(known[name] for name in check_names(names, known, what))
