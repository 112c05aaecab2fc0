"""The Feast registry as the supervisor reads it: compiled anew whenever it may have changed.

The one module of the gateway that imports Feast.
"""

from __future__ import annotations

from pathlib import Path

from feast import FeatureStore
from feast.repo_config import RepoConfig, load_repo_config
from feast.utils import get_default_yaml_file_path

from evenstore.errors import ConfigurationError
from evenstore.redis_server import resolve_connection
from evenstore.schema.compile import compile_store
from evenstore.schema.model import RegistrySchema

__all__ = ["RegistrySource"]

_Signature = tuple[int, int, int]


class RegistrySource:
    """The registry of one Feast repo.

    The repo's configuration is read once; the registry is opened at the first `read`, so that a
    registry that is away does not keep the configuration from being known.

    Args:
        repo_path: Folder of the repo.

    Raises:
        ConfigurationError: There is no usable `feature_store.yaml`.
    """

    def __init__(self, repo_path: Path) -> None:
        self._repo_path = repo_path
        self._config = _load_config(repo_path)
        self._store: FeatureStore | None = None
        self._seen: _Signature | None = None

    @property
    def project(self) -> str:
        """The Feast project."""
        return str(self._config.project)

    def redis_url(self) -> str:
        """Return where the online store's Redis is.

        Raises:
            ConfigurationError: The online store is not in Redis.
        """
        connection_string = getattr(self._config.online_store, "connection_string", None)
        if not isinstance(connection_string, str):
            msg = "`online_store` in feature_store.yaml has no connection_string"
            raise ConfigurationError(
                msg, hint="the gateway reads Redis: use `evenstore.online.store.RedisOnlineStore`"
            )
        return resolve_connection(connection_string, self._repo_path)

    def read(self) -> RegistrySchema | None:
        """Compile the registry, unless it is the file that was compiled last.

        Returns:
            The schema; None when the file is unchanged, or is being written at this moment.

        Raises:
            ConfigurationError: The registry's file does not exist.
            SchemaError: A definition cannot be served.
            Exception: Whatever the registry's driver raises when it is away.
        """
        before = self._signature()
        if before is not None and (before == self._seen or _is_being_written(before)):
            return None
        self._seen = before
        if self._store is None:
            self._store = FeatureStore(config=self._config, repo_path=str(self._repo_path))
        schema = compile_store(self._store)
        if self._signature() != before:
            self._seen = None
            return None
        return schema

    def _signature(self) -> _Signature | None:
        path = self._file_path()
        if path is None:
            return None
        try:
            status = path.stat()
        except FileNotFoundError as exc:
            # Feast itself would make an empty registry here, and every service would be gone.
            msg = f"there is no registry at {path}"
            raise ConfigurationError(msg, hint="run `feast apply` in the repo") from exc
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _file_path(self) -> Path | None:
        registry = self._config.registry
        is_file = registry.registry_type == "file" and registry.registry_store_type is None
        if not is_file or "://" in registry.path:
            return None
        return Path(self._repo_path, registry.path)


def _is_being_written(signature: _Signature) -> bool:
    # Feast truncates the file and then writes it: an empty one is not an empty registry.
    return signature[1] == 0


def _load_config(repo_path: Path) -> RepoConfig:
    path = get_default_yaml_file_path(repo_path)
    if not path.is_file():
        msg = f"no feature_store.yaml in {repo_path}"
        raise ConfigurationError(msg, hint="`--repo` takes the folder of a Feast repo")
    try:
        return load_repo_config(repo_path, path)
    except Exception as exc:  # YAML, pydantic, Feast, or the import of a plug-in.
        msg = f"{path} cannot be used: {exc}"
        raise ConfigurationError(msg, hint="`feast configuration` in the repo checks it") from exc
