"""A start without Feast: workers serve at once when nothing has changed since the last gateway.

Importing Feast takes seconds. Whoever compiles a registry that is a file writes down what it was
compiled from; when the next gateway finds the same configuration, registry and versions, the
compiled schema is the one that compiling anew would give.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.redis_server import resolve_connection
from evenstore.schema.document import DOCUMENT_VERSION, read_document
from evenstore.schema.model import RegistrySchema
from evenstore.whole_file import whole_file

__all__ = [
    "SeenFile",
    "StartRecord",
    "WarmStart",
    "find_warm_start",
    "hash_config",
    "write_start_record",
]

_CONFIG_VARIABLE = "FEAST_FS_YAML_FILE_PATH"
_ORIGIN = "{project}.origin.json"
_DOCUMENT = "{project}.schema.json"


def _software() -> str:
    return f"evenstore {version('evenstore')}, feast {version('feast')}, form {DOCUMENT_VERSION}"


@dataclass(frozen=True, slots=True)
class StartRecord:
    """What a schema was compiled from.

    Attributes:
        repo_path: Folder of the repo.
        config_sha256: Of its feature_store.yaml, with the environment's variables filled in.
        registry_sha256: Of the registry's file.
        schema_fingerprint: What came out.
        software: What compiled it.
    """

    repo_path: str
    config_sha256: str
    registry_sha256: str
    schema_fingerprint: str
    software: str = field(default_factory=_software)


@dataclass(frozen=True, slots=True)
class WarmStart:
    """All that a gateway needs to start without Feast.

    Attributes:
        project: The Feast project.
        redis_url: Where its online store is.
        schema: What the registry holds.
        registry: The registry's file, as it was looked at.
    """

    project: str
    redis_url: str
    schema: RegistrySchema
    registry: SeenFile


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file, and what it looked like: whether it was changed since is seen without reading it."""

    path: Path
    signature: tuple[int, int, int]

    @staticmethod
    def look(path: Path) -> SeenFile:
        """Look at a file; raises OSError where there is none."""
        return SeenFile(path, _signature(path))

    def is_unchanged(self) -> bool:
        """Tell whether the file still looks as it did; one that is gone does not."""
        try:
            return _signature(self.path) == self.signature
        except OSError:
            return False


def hash_config(repo_path: Path) -> str | None:
    """Hash the configuration as Feast reads it; None when there is none, or it is elsewhere."""
    text = _config_text(repo_path)
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def write_start_record(record: StartRecord, folder: Path, project: str) -> None:
    """Write down what a schema was compiled from.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(folder / _ORIGIN.format(project=project)) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(record), indent=1))


def find_warm_start(repo_path: Path, folder: Path) -> WarmStart | None:
    """Find the compiled schema of a repo that has not changed since; None for any doubt.

    Args:
        repo_path: Folder of the repo.
        folder: Where the last gateway's documents are.
    """
    try:
        return _find(repo_path, folder)
    except (OSError, ValueError, TypeError, LookupError, yaml.YAMLError, EvenstoreError):
        # Whatever is wrong, an ordinary start says so.
        return None


def _find(repo_path: Path, folder: Path) -> WarmStart | None:
    text = _config_text(repo_path)
    if text is None:
        return None
    config: dict[str, Any] = yaml.safe_load(text)
    project = config["project"]
    record = StartRecord(**json.loads((folder / _ORIGIN.format(project=project)).read_text()))
    # Looked at before it is read: a change meanwhile is seen later.
    registry = SeenFile.look(repo_path / _registry_path(config["registry"]))
    expected = StartRecord(
        str(repo_path),
        hashlib.sha256(text.encode()).hexdigest(),
        _hash_file(registry.path),
        record.schema_fingerprint,
    )
    schema = read_document(folder / _DOCUMENT.format(project=project))
    if record != expected or schema.fingerprint != record.schema_fingerprint:
        return None
    redis_url = resolve_connection(config["online_store"]["connection_string"], repo_path)
    return WarmStart(project, redis_url, schema, registry)


def _config_text(repo_path: Path) -> str | None:
    path = repo_path / "feature_store.yaml"
    if _CONFIG_VARIABLE in os.environ or not path.is_file():
        return None
    return os.path.expandvars(path.read_text())


def _registry_path(registry: str | dict[str, Any]) -> str:
    if isinstance(registry, str):
        path = registry
    else:
        path = registry["path"]
        if {"registry_type", "registry_store_type"} & registry.keys():
            msg = "the registry may be no file"
            raise ConfigurationError(msg)
    if "://" in path:
        msg = "the registry is on a remote store"
        raise ConfigurationError(msg)
    return path


def _signature(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _hash_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
