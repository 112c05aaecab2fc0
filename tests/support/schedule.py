"""How pytest-xdist shares out the tests: by what they set up, the longest first.

A test file goes to one process as a whole, and so do the files of a folder that share servers:
each server is started once and not once for every process. The order is that of the collection,
which `tests/conftest.py` sorts with `sort_longest_first`.
"""

from __future__ import annotations

import pytest
from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

__all__ = ["SHARED", "Schedule", "group_of", "sort_longest_first"]

SHARED = (
    "tests/e2e",
    "tests/serving/differential",
    "tests/serving/gateway",
    "tests/serving/native",
    "tests/serving/fuzz",
    "tests/serving/link",
    "tests/evenstore/client",
)
"""Folders whose files share servers, the longest first."""


class Schedule(LoadScopeScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Hands out one group of tests after the other, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        # Without this, the groups of most tests come first, whatever they take.
        config.option.loadscopereorder = False
        super().__init__(config, log)

    @override
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Return the folder whose files stay together, or else the file of a test."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in SHARED if path.startswith(f"{folder}/")), path)


def sort_longest_first(items: list[pytest.Item]) -> None:
    """Put the groups that take long first, so that no process ends with one alone."""
    slow = {group_of(item.nodeid) for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> tuple[int, bool]:
        group = group_of(item.nodeid)
        return SHARED.index(group) if group in SHARED else len(SHARED), group not in slow

    items.sort(key=place)
