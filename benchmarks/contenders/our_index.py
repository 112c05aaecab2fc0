"""evenstore's offline store with a side index, through Feast's SDK."""

from __future__ import annotations

from benchmarks.contenders.contender import EVENSTORE_INDEX, Join
from benchmarks.contenders.feast_repo import open_feast_join, write_repo
from benchmarks.contenders.our_store import offline_store_section
from benchmarks.data import Dataset
from evenstore.errors import ConfigurationError

__all__ = ["open_join", "prepare"]


def prepare(dataset: Dataset) -> None:
    """Write the repo and build the index of every view.

    Raises:
        ConfigurationError: The index is not there yet.
    """
    write_repo(dataset, EVENSTORE_INDEX, offline_store_section(dataset))
    _build_index(dataset)


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    return open_feast_join(dataset, EVENSTORE_INDEX)


def _build_index(_dataset: Dataset) -> None:
    msg = "evenstore has no side index yet"
    raise ConfigurationError(msg, hint="leave the contender out: --contenders")
