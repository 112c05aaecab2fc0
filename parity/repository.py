"""Opens a Feast repo for reading, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from feast import FeatureStore
from feast.repo_config import RepoConfig, load_repo_config

from evenstore.errors import ConfigurationError

__all__ = ["open_repository"]


def open_repository(repo: Path) -> FeatureStore:
    """Open the feature store of a Feast repo without making anything in it.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`, or nothing was applied yet.
    """
    path = repo / "feature_store.yaml"
    if not path.is_file():
        msg = f"{str(repo)!r} is no Feast repo: it has no `feature_store.yaml`"
        raise ConfigurationError(msg, hint="name the folder that `feast apply` runs in")
    try:
        config = load_repo_config(repo, path)
    except Exception as exc:  # YAML, pydantic, Feast, or the import of a plug-in.
        msg = f"{path} cannot be used: {exc}"
        raise ConfigurationError(msg, hint="`feast configuration` in the repo checks it") from exc
    _refuse_missing_registry(repo, config)
    return FeatureStore(config=config, repo_path=str(repo))


def _refuse_missing_registry(repo: Path, config: RepoConfig) -> None:
    registry = config.registry
    is_file = registry.registry_type == "file" and "://" not in registry.path
    # Feast would make an empty registry here, and a check writes nothing.
    if is_file and not (repo / registry.path).is_file():
        msg = f"there is no registry at {repo / registry.path}"
        raise ConfigurationError(msg, hint="run `feast apply` in the repo")
