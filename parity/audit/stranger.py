"""Opens somebody's Feast repo so that nothing in it can change.

Feast itself writes on the way to a read: it makes a registry or a SQLite file that is missing,
brings an old registry up to date, and leaves bytecode of modules beside them. So the registry and
online stores that are local files are copied into a scratch folder and opened there; stores behind
an address are asked with reads alone.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto
from feast.repo_config import RegistryConfig, RepoConfig

from evenstore.errors import ConfigurationError, ParityError
from evenstore.schema.repository import load_repository_config, registry_file

__all__ = ["StrangerRepo", "open_stranger", "reading_only"]

_SQLITE = "sqlite:///"
_BESIDE_SQLITE = ("", "-wal")
_TRIES = 3


@dataclass(frozen=True, slots=True)
class StrangerRepo:
    """A repo opened for reading.

    Attributes:
        folder: Its folder.
        project: Its Feast project.
        store: Feast's own store on the copied registry, with the repo's stores.
        registry: What the registry held when it was copied.
    """

    folder: Path
    project: str
    store: FeatureStore
    registry: RegistryProto


@contextmanager
def reading_only(folder: Path) -> Iterator[None]:
    """Let modules of the repo be imported, without bytecode being left beside them."""
    writes_nothing = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    # As Feast's command does: a custom store or a function of an on-demand view may be in there.
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
        sys.dont_write_bytecode = writes_nothing


def open_stranger(folder: Path, scratch: Path) -> StrangerRepo:
    """Open a repo through copies of its local files.

    Args:
        folder: Of the repo.
        scratch: An empty folder for the copies.

    Raises:
        ConfigurationError: The folder is no Feast repo, or nothing was applied yet.
        ParityError: The registry cannot be read.
    """
    folder = folder.resolve()
    config = load_repository_config(folder)
    registry = _read_registry(folder, config, scratch)
    views = (*registry.feature_views, *registry.stream_feature_views)
    if not any(view.spec.project == config.project for view in views):
        msg = f"the registry of `{folder}` holds no feature view of project `{config.project}`"
        raise ConfigurationError(msg, hint="run `feast apply` in the repo")
    copy = scratch / "stranger_registry.db"
    copy.write_bytes(registry.SerializeToString())
    # Loaded anew: a configuration keeps what was once made of its sections.
    quiet = load_repository_config(folder)
    quiet.registry_config = RegistryConfig(
        path=str(copy),
        enable_online_feature_view_versioning=config.registry.enable_online_feature_view_versioning,
        serve_features_while_materializing=config.registry.serve_features_while_materializing,
    )
    quiet.online_config = _copied_online_store(folder, config.online_store, scratch)
    # Both would report what is read to somebody else's server.
    quiet.mlflow_config = None
    quiet.openlineage_config = None
    store = FeatureStore(config=quiet, repo_path=str(folder))
    return StrangerRepo(folder, quiet.project, store, registry)


def _read_registry(folder: Path, config: RepoConfig, scratch: Path) -> RegistryProto:
    path = registry_file(folder, config)
    if path is not None:
        if not path.is_file():
            msg = f"there is no registry at {path}"
            raise ConfigurationError(msg, hint="run `feast apply` in the repo")
        return RegistryProto.FromString(_read_stable(path))
    try:
        return _read_other_registry(folder, config, scratch)
    except ParityError:
        raise
    except Exception as exc:  # Whatever the driver of somebody's registry raises.
        msg = f"the registry of `{folder}` cannot be read: {type(exc).__name__}"
        raise ParityError(msg, hint="`feast -c <repo> projects list` says more") from exc


def _read_other_registry(folder: Path, config: RepoConfig, scratch: Path) -> RegistryProto:
    changes: dict[str, Any] = {}
    if config.registry.registry_type == "sql":
        changes["schema_mode"] = "verify"
        if config.registry.path.startswith(_SQLITE):
            source = folder / config.registry.path.removeprefix(_SQLITE)
            copy = _copy_sqlite(source, scratch / "registry.sqlite")
            changes["path"] = f"{_SQLITE}{copy}"
    quiet = load_repository_config(folder)
    quiet.registry_config = config.registry.model_copy(update=changes)
    proto: RegistryProto = FeatureStore(config=quiet, repo_path=str(folder)).registry.proto()
    return proto


def _copied_online_store(folder: Path, online_store: Any, scratch: Path) -> Any:
    """Return the online store's settings, with its local file replaced by a copy."""
    path = getattr(online_store, "path", None)
    if not isinstance(path, str) or not path or "://" in path:
        return online_store
    source = folder / path
    if source.is_dir():
        copy = Path(shutil.copytree(source, scratch / "online"))
    elif source.is_file():
        copy = _copy_sqlite(source, scratch / "online.db")
    else:  # Never loaded: an empty one of our own.
        copy = scratch / "online.db"
    return online_store.model_copy(update={"path": str(copy)})


def _copy_sqlite(source: Path, target: Path) -> Path:
    if not source.is_file():
        msg = f"there is no file {source}"
        raise ConfigurationError(msg, hint="run `feast apply` in the repo")
    for suffix in _BESIDE_SQLITE:
        part = Path(f"{source}{suffix}")
        if part.is_file():
            Path(f"{target}{suffix}").write_bytes(_read_stable(part))
    return target


def _read_stable(path: Path) -> bytes:
    """Read a file that nobody wrote to meanwhile."""
    for _ in range(_TRIES):
        before = path.stat()
        data = path.read_bytes()
        after = path.stat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return data
    msg = f"{path} is being written to"
    raise ParityError(msg, hint="run the audit again when the run that writes it has ended")
