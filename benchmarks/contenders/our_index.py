"""evenstore's offline store with a side index, through Feast's SDK."""

from __future__ import annotations

from benchmarks.contenders.contender import EVENSTORE_INDEX, Join
from benchmarks.contenders.feast_repo import open_feast_join, open_repo, write_repo
from benchmarks.contenders.our_store import offline_store_section
from benchmarks.data import Dataset

__all__ = ["open_join", "prepare"]


def prepare(dataset: Dataset) -> None:
    """Write the repo and build the index of every view, features included."""
    write_repo(dataset, EVENSTORE_INDEX, offline_store_section(dataset))
    # Feast takes seconds to import; a measured process of another contender needs none of it.
    from evenstore.index.build import build_index
    from evenstore.index.catalogue import index_folder
    from evenstore.schema.compile import compile_feature_view
    from evenstore.schema.source import open_source

    store = open_repo(dataset.prepared_folder(EVENSTORE_INDEX))
    for view in store.list_feature_views():
        schema = compile_feature_view(view, is_offline=True)
        source = open_source(view, schema, store.repo_path)
        build_index(index_folder(store.repo_path, schema.name), source, schema, kind="table")


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    return open_feast_join(dataset, EVENSTORE_INDEX)
