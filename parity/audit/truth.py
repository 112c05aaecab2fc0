"""The truth of an audit: our own point-in-time join over the rows that were pulled.

The rows are written to a scratch Feast repo of evenstore's, whose registry holds the stranger's
definitions over those files. So an audit judges by the same code as every other comparison.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from feast import FileSource, ValueType
from feast.protos.feast.core.Registry_pb2 import Registry as RegistryProto

from evenstore.dtypes import Dtype
from evenstore.schema.request import FeatureRequest
from parity.audit.pulled_rows import CREATED, EVENT, PulledView
from parity.audit.stranger import StrangerRepo
from parity.offline import OfflineSide

__all__ = ["keep_comparable", "open_truth"]

_REGISTRY = "registry.db"
_VALUE_TYPES = {
    Dtype.INT64: ValueType.INT64,
    Dtype.FLOAT64: ValueType.DOUBLE,
    Dtype.STRING: ValueType.STRING,
    Dtype.BOOL: ValueType.BOOL,
    Dtype.UNIX_TIMESTAMP: ValueType.UNIX_TIMESTAMP,
}


def open_truth(
    repo: StrangerRepo,
    views: Mapping[str, PulledView],
    *,
    service: str | None,
    on_demand: Sequence[str],
    folder: Path,
) -> OfflineSide:
    """Write the scratch repo and open its offline side.

    Args:
        repo: The stranger's repo, for its definitions.
        views: The rows of each view, by its name.
        service: The feature service that is compared.
        on_demand: On-demand views of that service.
        folder: An empty folder.

    Raises:
        SchemaError: A definition cannot be compiled.
    """
    registry = RegistryProto()
    registry.CopyFrom(repo.registry)
    # Feast remembers what it listed by a registry's address in memory, project and version: one
    # with other sources must have another version.
    registry.version_id = str(uuid.uuid4())
    _prune(registry, repo.project, set(views), {service} if service else set(), set(on_demand))
    for view_proto in (*registry.feature_views, *registry.stream_feature_views):
        pulled = views[view_proto.spec.name]
        path = folder / f"{view_proto.spec.name}.parquet"
        pq.write_table(pulled.table, path)
        source = FileSource(
            name=f"{view_proto.spec.name}_pulled",
            path=str(path),
            timestamp_field=EVENT,
            created_timestamp_column=CREATED if pulled.has_created else None,
        )
        view_proto.spec.batch_source.CopyFrom(source.to_proto())
        view_proto.spec.ClearField("stream_source")
        for feature in view_proto.spec.features:
            if feature.name in pulled.kept_types:
                kept = _VALUE_TYPES[pulled.kept_types[feature.name]]
                feature.value_type = kept.value
    (folder / _REGISTRY).write_bytes(registry.SerializeToString())
    settings = {
        "project": repo.project,
        "provider": "local",
        "registry": _REGISTRY,
        "offline_store": {"type": "evenstore.offline.store.DuckDBOfflineStore"},
        "online_store": {"type": "sqlite", "path": "never_opened.db"},
        "entity_key_serialization_version": 3,
    }
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return OfflineSide(folder)


def keep_comparable(request: FeatureRequest, views: Mapping[str, PulledView]) -> FeatureRequest:
    """Leave out of a request what cannot be compared, and what is computed from it."""
    view_of = {read.output_name: read.view.name for read in request.reads}
    left_out = {(name, feature) for name, view in views.items() for feature in view.left_out}
    computed = {view.name for view in request.on_demand if left_out.intersection(view.inputs)}
    columns = tuple(
        column
        for column in request.columns
        if column.view_name not in computed
        and (view_of.get(column.view_name, ""), column.field.name) not in left_out
    )
    return dataclasses.replace(request, columns=columns)


def _prune(
    registry: RegistryProto,
    project: str,
    views: set[str],
    services: set[str],
    on_demand: set[str],
) -> None:
    """Keep what is compared alone: another definition may be one that we cannot compile."""
    for kind, names in (
        (registry.feature_views, views),
        (registry.stream_feature_views, views),
        (registry.feature_services, services),
        (registry.on_demand_feature_views, on_demand),
    ):
        kept = [item for item in kind if item.spec.project == project and item.spec.name in names]
        del kind[:]
        kind.extend(kept)
    del registry.saved_datasets[:]
    del registry.validation_references[:]
