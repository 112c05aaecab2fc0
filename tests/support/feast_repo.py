"""A tiny Feast repo in a temporary folder, applied in process, with evenstore's plug-ins or
stock's.

```python
repo = FeastRepo(tmp_path, redis_url=redis_url)
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
stats = repo.view("stats", [driver], {"driver_id": Int64, "trips": Int64}, ttl=timedelta(days=1))
repo.write_rows("stats", pa.table({...}))  # rows.parquet in the folder of that view's source
store = repo.apply(driver, stats)
```

`feature_store.yaml` is on disk, so that Feast's CLI or another process can use the same repo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.data_source import DataSource
from feast.types import ComplexFeastType, PrimitiveFeastType

from evenstore.schema.model import Layout

__all__ = ["OUR_ENGINE", "OUR_OFFLINE_STORE", "OUR_ONLINE_STORE", "FeastRepo"]

OUR_OFFLINE_STORE = "evenstore.offline.store.DuckDBOfflineStore"
OUR_ONLINE_STORE = "evenstore.online.store.RedisOnlineStore"
OUR_ENGINE = "evenstore.compute.engine.DuckDBComputeEngine"


class FeastRepo:
    """One Feast repo; cheap until `apply`.

    Args:
        path: Its folder.
        redis_url: The online store's Redis; without one the repo has stock SQLite and stock's local
            engine, which is enough for offline tests.
        project: The Feast project.
        offline_store: Its type: ours, or stock's `file` or `duckdb`.
        layout: How rows lie in Redis.
        overrides: Sections of feature_store.yaml that replace the defaults.
    """

    def __init__(
        self,
        path: Path,
        *,
        redis_url: str | None = None,
        project: str = "tiny",
        offline_store: str = OUR_OFFLINE_STORE,
        layout: Layout = Layout.PACKED,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.data = path / "data"
        path.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "project": project,
            "provider": "local",
            "registry": {"path": "registry.db", "serve_features_while_materializing": True},
            "offline_store": {"type": offline_store},
            "entity_key_serialization_version": 3,
        }
        if redis_url is None:
            config["online_store"] = {"type": "sqlite", "path": "online.db"}
            config["batch_engine"] = {"type": "local"}
        else:
            config["online_store"] = {
                "type": OUR_ONLINE_STORE,
                "connection_string": redis_url,
                "layout": layout.value,
            }
            config["batch_engine"] = {"type": OUR_ENGINE}
        config |= overrides or {}
        # JSON is YAML.
        (path / "feature_store.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")

    def source(self, name: str, *, created: str | None = "created", **options: Any) -> FileSource:
        """Declare a source over the folder `data/<name>`; `options` go to FileSource."""
        settings: dict[str, Any] = {
            "name": f"{name}_source",
            # Absolute, because stock Feast's DuckDB store does not know the repo's folder.
            "path": str(self.data / name),
            "timestamp_field": "event_timestamp",
            "created_timestamp_column": created,
        }
        return FileSource(**(settings | options))

    def view(
        self,
        name: str,
        entities: Sequence[Entity],
        schema: Mapping[str, PrimitiveFeastType | ComplexFeastType],
        *,
        ttl: timedelta | None = None,
        source: DataSource | None = None,
        **options: Any,
    ) -> FeatureView:
        """Declare a view over `data/<name>`; `schema` names the join keys too."""
        return FeatureView(
            name=name,
            entities=list(entities),
            schema=[Field(name=column, dtype=dtype) for column, dtype in schema.items()],
            ttl=ttl,
            source=self.source(name) if source is None else source,
            **options,
        )

    def write_rows(self, name: str, table: pa.Table, *, file: str = "rows.parquet") -> Path:
        """Write one file of the folder `data/<name>`, replacing a file of that name."""
        folder = self.data / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / file)
        return folder / file

    def apply(self, *definitions: Any) -> FeatureStore:
        """Apply definitions and return a store that sees them."""
        self.store().apply(list(definitions))
        return self.store()

    def store(self) -> FeatureStore:
        """Open the repo anew, as another process would."""
        return FeatureStore(repo_path=str(self.path))
