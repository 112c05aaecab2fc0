"""The Feast registry as the supervisor reads it: compiled anew whenever it may have changed.

Of the supervisor's modules the one that imports Feast.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from feast import FeatureStore

from evenstore.errors import ConfigurationError
from evenstore.redis_server import resolve_connection
from evenstore.schema.model import RegistrySchema
from evenstore.schema.repository import load_repository_config, registry_file
from evenstore.schema.version import compile_served
from serving.warm_start import StartRecord, hash_config

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
        self._config_sha256 = hash_config(repo_path)
        self._config = load_repository_config(repo_path)
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
        if self._store is None:
            self._store = FeatureStore(config=self._config, repo_path=str(self._repo_path))
        schema = compile_served(self._store)
        # Only what was compiled is seen: a registry that is refused is refused at every look.
        if self._signature() != before:
            return None
        self._seen = before
        return schema

    def origin(self, schema: RegistrySchema) -> StartRecord | None:
        """Return what a schema was compiled from; None where that is no file, or has changed."""
        path = registry_file(self._repo_path, self._config)
        if path is None or self._config_sha256 is None:
            return None
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        if self._signature() != self._seen:
            return None
        repo_path = str(self._repo_path)
        return StartRecord(repo_path, self._config_sha256, content, schema.fingerprint)

    def _signature(self) -> _Signature | None:
        path = registry_file(self._repo_path, self._config)
        if path is None:
            return None
        try:
            status = path.stat()
        except FileNotFoundError as exc:
            # Feast itself would make an empty registry here, and every service would be gone.
            msg = f"there is no registry at {path}"
            raise ConfigurationError(msg, hint="run `feast apply` in the repo") from exc
        return status.st_mtime_ns, status.st_size, status.st_ino


def _is_being_written(signature: _Signature) -> bool:
    # Feast truncates the file and then writes it: an empty one is not an empty registry.
    return signature[1] == 0
