"""The Feast repos of a data set: one registry, applied once, and a feature_store.yaml per store.

So the stores differ in the section `offline_store` and in nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.contenders.contender import Join
from benchmarks.data import Dataset
from benchmarks.rows import FEATURES

__all__ = ["feature_refs", "open_feast_join", "open_repo", "write_repo"]

_REGISTRY = "feast-registry"
_DEFINITIONS_VERSION = 2
"""To be raised with every change of the definitions, so that caches are applied anew."""


def write_repo(dataset: Dataset, contender: str, offline_store: dict[str, Any]) -> None:
    """Write the feature_store.yaml of a contender, and apply the definitions where nobody has.

    Args:
        dataset: What the views read.
        contender: Names the repo's folder.
        offline_store: The section of feature_store.yaml.
    """
    registry = dataset.prepared_folder(_REGISTRY)
    _write_config(dataset.prepared_folder(contender), registry, offline_store)
    done = registry / "applied"
    # A cache that was moved has other paths in its registry.
    state = f"{_DEFINITIONS_VERSION} {dataset.folder}"
    if done.exists() and done.read_text(encoding="utf-8") == state:
        return
    from benchmarks.contenders.feast_definitions import definitions

    _write_config(registry, registry, {"type": "duckdb"})
    open_repo(registry).apply(definitions(dataset))
    done.write_text(state, encoding="utf-8")


def open_repo(folder: Path) -> Any:
    """Open the repo of a contender as a FeatureStore."""
    from feast import FeatureStore

    return FeatureStore(repo_path=str(folder))


def feature_refs(dataset: Dataset) -> list[str]:
    """Name all features of all views."""
    return [f"{view}:{feature}" for view in dataset.case.views for feature in FEATURES]


def open_feast_join(dataset: Dataset, contender: str) -> Join:
    """Open the join through Feast's SDK, from a pandas frame to an Arrow table.

    A streamed case gives the entity rows as a path and takes the answer as a Parquet file.
    """
    store = open_repo(dataset.prepared_folder(contender))
    refs = feature_refs(dataset)
    if dataset.case.is_streamed:
        path = dataset.folder / f"answer-{contender}.parquet"
        rows_path = str(dataset.entity_rows_path)

        def stream() -> Path:
            job = store.get_historical_features(rows_path, refs, full_feature_names=True)
            job.to_parquet(path)
            return path

        return stream
    entity_df = dataset.read_entity_rows().to_pandas()

    def join() -> Any:
        job = store.get_historical_features(entity_df, refs, full_feature_names=True)
        return job.to_arrow()

    return join


def _write_config(folder: Path, registry: Path, offline_store: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "project": "benchmark",
        "provider": "local",
        "registry": str(registry / "registry.db"),
        "offline_store": offline_store,
        "online_store": {"type": "sqlite", "path": "online.db"},
        "entity_key_serialization_version": 3,
    }
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
