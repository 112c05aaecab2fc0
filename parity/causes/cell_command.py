"""The command line that reproduces one differing cell, as text for a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from evenstore.clock import format_us
from evenstore.semantics import Knowledge
from parity.report import Difference
from parity.values import PlainValue, to_json

__all__ = ["SeenUntil", "open_cell_command"]

SeenUntil = Callable[[Difference], Mapping[str, int]]
"""Says up to which event timestamp the offline store was looked at for a cell, by view."""


def open_cell_command(
    repo: Path,
    *,
    feature_service: str | None = None,
    knowledge: Knowledge = Knowledge.LATEST_TRUTH,
    seen_until: SeenUntil | None = None,
) -> Callable[[Difference], str]:
    """Return what makes the command line of a differing cell.

    Args:
        repo: The Feast repo.
        feature_service: Its name, where it is a service: its aliases and defaults hold then.
        knowledge: Which rows the offline answers may know of.
        seen_until: Where the offline store was not looked at up to each cell's instant.
    """
    head = ["evenstore-parity", "cell", "--repo", str(repo)]
    if feature_service is not None:
        head += ["--feature-service", feature_service]
    tail = ["--as-known"] if knowledge is Knowledge.AS_KNOWN else []

    def command(difference: Difference) -> str:
        words = [*head, "--view", difference.view_name, "--feature", difference.feature]
        for name, value in difference.entity_key.items():
            words += ["--key", f"{name}={_key_text(value)}"]
        words += ["--as-of", format_us(difference.as_of_us)]
        for view_name, until_us in ({} if seen_until is None else seen_until(difference)).items():
            if until_us < difference.as_of_us:
                words += ["--until", f"{view_name}={format_us(until_us)}"]
        words += tail
        return shlex.join(words)

    return command


def _key_text(value: PlainValue | None) -> str:
    """Write a key as `--key` reads it: text as it is, bytes in base64, all else in JSON."""
    if isinstance(value, str):
        return value
    plain = to_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain)
