"""A Feast repo that is not ours: stock Feast on Redis, taken over by its `feature_store.yaml`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feast import FeatureStore

from evenstore.online.store import RedisOnlineStoreConfig
from tests.support.feast_command import feast
from tests.support.feast_repo import OUR_ENGINE, OUR_OFFLINE_STORE, OUR_ONLINE_STORE

__all__ = ["FEAST_LAYOUT", "StrangerRepo"]

FEAST_LAYOUT: Mapping[str, str] = (
    {"layout": "feast"} if "layout" in RedisOnlineStoreConfig.model_fields else {}
)
"""The setting by which our online store has stock's layout."""


class StrangerRepo:
    """A folder with definitions; which parts it runs on is decided by one file of it.

    Args:
        path: The folder.
        connection_string: Of its Redis, in stock Feast's form.
        project: The Feast project.
    """

    def __init__(self, path: Path, connection_string: str, *, project: str) -> None:
        self.path = path
        self.stock: dict[str, Any] = {
            "project": project,
            "registry": "data/registry.db",
            "provider": "local",
            "offline_store": {"type": "file"},
            "online_store": {"type": "redis", "connection_string": connection_string},
            "entity_key_serialization_version": 3,
        }
        self.ours = self.stock | {
            "offline_store": {"type": OUR_OFFLINE_STORE},
            "online_store": {
                "type": OUR_ONLINE_STORE,
                "connection_string": connection_string,
                **FEAST_LAYOUT,
            },
            "batch_engine": {"type": OUR_ENGINE},
        }
        self.ours_offline = self.stock | {"offline_store": {"type": OUR_OFFLINE_STORE}}

    def use(self, settings: Mapping[str, Any]) -> None:
        """Edit `feature_store.yaml`, and nothing else."""
        # JSON is YAML.
        text = json.dumps(settings, indent=1)
        (self.path / "feature_store.yaml").write_text(text, encoding="utf-8")

    def feast(self, command: str) -> str:
        """Run `feast <command>` in the folder; returns what it printed."""
        return feast(self.path, command)

    def store(self) -> FeatureStore:
        """Open the repo as an application does."""
        return FeatureStore(repo_path=str(self.path))
