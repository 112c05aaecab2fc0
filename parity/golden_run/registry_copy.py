"""A copy of a Feast registry under another project's name, for a gateway of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feast import FeatureStore
from feast.protos.feast.core.Registry_pb2 import Registry

from evenstore.schema.model import Layout

__all__ = ["write_repo_copy"]

_PER_PROJECT = "project"


def write_repo_copy(
    store: FeatureStore, folder: Path, *, project: str, redis_url: str, layout: Layout
) -> None:
    """Write a repo that defines the same as another one, under another project's name.

    It holds a registry and a configuration; no definitions, and no data.

    Args:
        store: The repo to copy.
        folder: An empty folder.
        project: The copy's project.
        redis_url: The copy's online store.
        layout: How rows lie there.
    """
    registry = Registry()
    registry.CopyFrom(store.registry.proto())
    _keep_project(registry, store.project)
    _rename_project(registry, store.project, project)
    for known in registry.projects:
        known.spec.name = project
    (folder / "registry.db").write_bytes(registry.SerializeToString())
    config = {
        "project": project,
        "provider": "local",
        "registry": {
            # Absolute: the copy is also opened from the repo's own folder, where its data are.
            "path": str(folder.resolve() / "registry.db"),
            "enable_online_feature_view_versioning": bool(
                getattr(store.config.registry, "enable_online_feature_view_versioning", False)
            ),
        },
        "offline_store": {"type": "evenstore.offline.store.DuckDBOfflineStore"},
        "online_store": {
            "type": "evenstore.online.store.RedisOnlineStore",
            "connection_string": redis_url,
            "layout": layout.value,
        },
        "batch_engine": {"type": "evenstore.compute.engine.DuckDBComputeEngine"},
        "entity_key_serialization_version": 3,
    }
    path = folder / "feature_store.yaml"
    path.touch(mode=0o600)  # The URL may hold a password.
    # JSON is YAML. Feast fills in the environment's variables: a dollar sign would begin one.
    path.write_text(json.dumps(config, indent=1).replace("$", "\\u0024"), encoding="ascii")


def _keep_project(registry: Any, project: str) -> None:
    """Remove what is of other projects: a registry may hold many."""
    for field, value in registry.ListFields():
        if not _is_repeated_message(field):
            continue
        kept = [item for item in value if _project_of(item) in {None, project}]
        del value[:]
        value.extend(kept)


def _project_of(item: Any) -> str | None:
    """Return the project of a definition; None where it says none."""
    name = item.DESCRIPTOR.name
    if name == "Project":
        return str(item.spec.name)
    for holder in (item, getattr(item, "spec", None)):
        if holder is not None and _PER_PROJECT in holder.DESCRIPTOR.fields_by_name:
            return str(holder.project)
    return None


def _rename_project(message: Any, old: str, new: str) -> None:
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for item in _messages(field, value):
                _rename_project(item, old, new)
        elif field.name == _PER_PROJECT and value == old:
            setattr(message, field.name, new)


def _messages(field: Any, value: Any) -> list[Any]:
    if field.message_type.GetOptions().map_entry:
        items = list(value.values())
        return [item for item in items if hasattr(item, "ListFields")]
    return list(value) if _is_repeated_message(field) else [value]


def _is_repeated_message(field: Any) -> bool:
    return bool(
        field.type == field.TYPE_MESSAGE
        and field.is_repeated
        and not field.message_type.GetOptions().map_entry
    )
