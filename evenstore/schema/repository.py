"""Opens a Feast repo for reading, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feast import FeatureStore
from feast.repo_config import FeastConfigError, RepoConfig, load_repo_config
from feast.utils import get_default_yaml_file_path
from pydantic import ValidationError

from evenstore.errors import ConfigurationError

__all__ = ["keeps_versions", "load_repository_config", "open_repository", "registry_file"]


def load_repository_config(repo: Path) -> RepoConfig:
    """Read the configuration of a Feast repo.

    Errors name fields and lines but never quote what they hold: it may be a password.

    Raises:
        ConfigurationError: There is no `feature_store.yaml`, or Feast cannot use it.
    """
    path = get_default_yaml_file_path(repo)
    if not path.is_file():
        msg = f"`{repo}` is no Feast repo: it has no feature_store.yaml"
        raise ConfigurationError(msg, hint="name the folder that `feast apply` runs in")
    with _told(path):
        try:
            return load_repo_config(repo, path)
        except FeastConfigError as exc:
            cause = exc.args[0]
            raise cause if isinstance(cause, ValidationError) else exc from None


def open_repository(repo: Path) -> FeatureStore:
    """Open the feature store of a Feast repo without making anything in it.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`, or nothing was applied yet.
    """
    config = load_repository_config(repo)
    with _told(get_default_yaml_file_path(repo)):
        path = registry_file(repo, config)
    # Feast would make an empty registry here, and every service would be gone.
    if path is not None and not path.is_file():
        msg = f"there is no registry at {path}"
        raise ConfigurationError(msg, hint="run `feast apply` in the repo")
    try:
        return FeatureStore(config=config, repo_path=str(repo))
    except ValidationError as exc:  # Of a part that Feast looks at only now.
        raise _unusable(get_default_yaml_file_path(repo), _problems(exc)) from None


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


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    # Neither pydantic's nor YAML's errors stay as causes: they quote what cannot be used.
    except ValidationError as exc:
        raise _unusable(path, _problems(exc)) from None
    except Exception as exc:  # YAML, Feast, or the import of a plug-in.
        mark = getattr(exc, "problem_mark", None)
        if mark is None:
            raise _unusable(path, str(exc)) from exc
        where = f"line {mark.line + 1}, column {mark.column + 1}"
        raise _unusable(path, f"it is not YAML at {where}") from None


def _unusable(path: Path, reason: str) -> ConfigurationError:
    hint = "`feast configuration` in the repo checks it"
    return ConfigurationError(f"{path} cannot be used: {reason}", hint=hint)


def _problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"`{'.'.join(str(part) for part in problem['loc'])}`: {problem['msg']}"
        for problem in problems
    )
