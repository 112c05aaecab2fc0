"""The Feast repos of a measurement: definitions as a user would write them, sources as hard links.

Links, because a step adds a file to the folder of a source and the data set must stay as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Array, Float32, Float64, Int64, String

from benchmarks.online.cases import Step
from benchmarks.online.contenders import OnlineContender
from benchmarks.online.data import OnlineDataset
from benchmarks.online.rows import CREATED, EVENT

__all__ = ["add_step_files", "apply_repo", "open_repo"]

_TYPES: dict[pa.DataType, Any] = {
    pa.int64(): Int64,
    pa.float64(): Float64,
    pa.float32(): Float32,
    pa.string(): String,
    pa.list_(pa.float64()): Array(Float64),
}
# Judged at every lookup by who enforces it, and never passed: the answers must be the same.
_TTL = timedelta(days=36_500)


def apply_repo(
    folder: Path, dataset: OnlineDataset, contender: OnlineContender, *, port: int, project: str
) -> None:
    """Make a repo and its empty sources, and apply it.

    Args:
        folder: Of the repo; what is there is removed.
        dataset: What its sources will read.
        contender: Whose sections it has.
        port: Of the Redis of this measurement.
        project: Name of the Feast project.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = {
        "project": project,
        "provider": "local",
        "registry": {"path": "registry.db", "serve_features_while_materializing": True},
        "entity_key_serialization_version": 3,
        **contender.config(port),
    }
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
    # Feast looks into the sources when it applies them.
    add_step_files(folder, dataset, "load")
    open_repo(folder).apply(_definitions(folder, dataset))


def open_repo(folder: Path) -> FeatureStore:
    """Open a repo as a FeatureStore."""
    return FeatureStore(repo_path=str(folder))


def add_step_files(folder: Path, dataset: OnlineDataset, step: Step) -> None:
    """Let the files of a step appear in the folders of the sources."""
    for view in dataset.case.views:
        path = dataset.file(step, view)
        target = _source_folder(folder, view) / f"{step}.parquet"
        if path is not None and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)


def _source_folder(folder: Path, view: str) -> Path:
    return folder / "sources" / view


def _definitions(folder: Path, dataset: OnlineDataset) -> list[Any]:
    key = dataset.case.key_column
    is_numeric = dataset.case.kind == "numeric"
    value_type = ValueType.INT64 if is_numeric else ValueType.STRING
    entity = Entity(name="driver", join_keys=[key], value_type=value_type)
    schema = [Field(name=key, dtype=Int64 if is_numeric else String)]
    schema += [Field(name=name, dtype=_TYPES[dtype]) for name, dtype in dataset.features.items()]
    views = [
        FeatureView(
            name=view,
            entities=[entity],
            schema=schema,
            ttl=_TTL,
            source=FileSource(
                name=f"{view}_source",
                path=str(_source_folder(folder, view)),
                # Stock's store takes a folder only where the format is named.
                file_format=ParquetFormat(),
                timestamp_field=EVENT,
                created_timestamp_column=CREATED,
            ),
        )
        for view in dataset.case.views
    ]
    return [entity, *views]
