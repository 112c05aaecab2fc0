"""evenstore's offline store on the files as they come, through Feast's SDK."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders.contender import EVENSTORE, Join
from benchmarks.contenders.feast_repo import open_feast_join, write_repo
from benchmarks.data import Dataset

__all__ = ["offline_store_section", "open_join", "prepare"]


def prepare(dataset: Dataset) -> None:
    """Write the repo."""
    write_repo(dataset, EVENSTORE, offline_store_section(dataset))


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    return open_feast_join(dataset, EVENSTORE)


def offline_store_section(dataset: Dataset) -> dict[str, Any]:
    """Return the section of feature_store.yaml."""
    section: dict[str, Any] = {"type": "evenstore.offline.store.DuckDBOfflineStore"}
    if dataset.case.memory_limit is not None:
        section["memory_limit"] = dataset.case.memory_limit
        section["temp_directory"] = str(dataset.folder / "spill")
    return section
