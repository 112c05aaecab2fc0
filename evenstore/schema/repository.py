"""Opens a Feast repo for reading, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from feast import FeatureStore
from feast.repo_config import RepoConfig, load_repo_config
from feast.utils import get_default_yaml_file_path

from evenstore.errors import ConfigurationError

__all__ = ["keeps_versions", "load_repository_config", "open_repository", "registry_file"]


def load_repository_config(repo: Path) -> RepoConfig:
    """Read the configuration of a Feast repo.

    Raises:
        ConfigurationError: There is no `feature_store.yaml`, or Feast cannot use it.
    """
    path = get_default_yaml_file_path(repo)
    if not path.is_file():
        msg = f"`{repo}` is no Feast repo: it has no feature_store.yaml"
        raise ConfigurationError(msg, hint="name the folder that `feast apply` runs in")
    try:
        return load_repo_config(repo, path)
    except Exception as exc:  # YAML, pydantic, Feast, or the import of a plug-in.
        msg = f"{path} cannot be used: {exc}"
        raise ConfigurationError(msg, hint="`feast configuration` in the repo checks it") from exc


def open_repository(repo: Path) -> FeatureStore:
    """Open the feature store of a Feast repo without making anything in it.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`, or nothing was applied yet.
    """
    config = load_repository_config(repo)
    path = registry_file(repo, config)
    # Feast would make an empty registry here, and every service would be gone.
    if path is not None and not path.is_file():
        msg = f"there is no registry at {path}"
        raise ConfigurationError(msg, hint="run `feast apply` in the repo")
    return FeatureStore(config=config, repo_path=str(repo))


def keeps_versions(config: RepoConfig) -> bool:
    """Tell whether rows of a feature view's version are stored under a name of their own."""
    return bool(getattr(config.registry, "enable_online_feature_view_versioning", False))


def registry_file(repo: Path, config: RepoConfig) -> Path | None:
    """Return the file that holds a repo's registry; None for a registry that is no local file."""
    registry = config.registry
    is_file = registry.registry_type == "file" and registry.registry_store_type is None
    if not is_file or "://" in registry.path:
        return None
    path: Path = repo / registry.path
    return path
