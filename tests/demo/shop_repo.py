"""The shop's feature repo, applied in a folder of its own with Feast's stock stores."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.repo_operations import parse_repo

__all__ = ["REPO", "ShopRepo"]

REPO = Path(__file__).parents[2] / "feature_repo"


class ShopRepo:
    """The definitions, parsed and applied once; no feature file exists.

    Args:
        folder: Where the copy of the repo and its registry go.
    """

    def __init__(self, folder: Path) -> None:
        self._config: dict[str, Any] = {
            "project": "shop",
            "provider": "local",
            "registry": {"path": str(folder / "registry.db")},
            "offline_store": {"type": "duckdb"},
            "online_store": {"type": "sqlite", "path": str(folder / "online.db")},
            "entity_key_serialization_version": 3,
        }
        repo = folder / "feature_repo"
        shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("__pycache__"))
        self.store = self.open_beside(repo)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # Feast warns that on-demand views are experimental.
            warnings.simplefilter("ignore", RuntimeWarning)
            patch.chdir(repo)
            patch.syspath_prepend(str(repo))
            contents = parse_repo(repo)
            self.store.apply(
                [
                    *contents.entities,
                    *contents.data_sources,
                    *contents.feature_views,
                    *contents.on_demand_feature_views,
                    *contents.feature_services,
                ]
            )

    def open_beside(self, repo: Path) -> FeatureStore:
        """Open the registry with `repo` as the folder that paths of feature files count from."""
        repo.mkdir(parents=True, exist_ok=True)
        # JSON is YAML too.
        (repo / "feature_store.yaml").write_text(json.dumps(self._config), encoding="utf-8")
        return FeatureStore(repo_path=str(repo))
