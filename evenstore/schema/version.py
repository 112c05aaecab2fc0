"""Pinned versions of feature views: what `view@v2` was when it was version 2.

A registry keeps a snapshot of each version of a view, with its own source, schema and ttl. Offline,
a pinned view is that snapshot, known as `view@v2`. Online there is one row per view, and a row per
version, under a name of its own, where the registry has `enable_online_feature_view_versioning`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress

from feast import FeatureStore, FeatureView, OnDemandFeatureView
from feast.errors import FeatureViewVersionNotFound
from feast.infra.registry.base_registry import BaseRegistry

from evenstore.errors import EvenstoreError, SchemaError, UnknownFeatureError
from evenstore.schema.compile import (
    compile_feature_view,
    compile_on_demand_view,
    compile_store,
    list_label_views,
)
from evenstore.schema.model import FeatureViewSchema, Projection, RegistrySchema
from evenstore.schema.repository import keeps_versions
from evenstore.schema.request import (
    FeatureRequest,
    pinned_name,
    resolve_references,
    resolve_service,
    split_reference,
)

__all__ = ["add_versions", "compile_served", "find_pinned_view", "resolve_request"]


def resolve_request(store: FeatureStore, features: str | Iterable[str]) -> FeatureRequest:
    """Resolve a feature service or references for an offline read, pinned versions included.

    Args:
        store: The feature store.
        features: A feature service's name, or `view:feature` references.

    Raises:
        UnknownFeatureServiceError: The registry has no such service.
        UnknownFeatureError: A view, version or feature is not registered.
        SchemaError: As `resolve_service` and `resolve_references`, or the registry keeps no
            versions.
    """
    registry = compile_store(store)
    if not isinstance(features, str):
        references = tuple(features)
        names = (split_reference(reference)[0] for reference in references)
        pinned = [name for name in names if "@" in name]
        return resolve_references(add_versions(store, registry, pinned), references)
    projections: tuple[Projection, ...] = ()
    for service in registry.feature_services:
        if service.name == features:
            projections = service.projections
    pinned = [name for name in map(pinned_name, projections) if name is not None]
    return resolve_service(add_versions(store, registry, pinned), features)


def compile_served(store: FeatureStore) -> RegistrySchema:
    """Compile a registry for online reads: with label views, and every version that has rows.

    A label view is a feature view here: online, the last label stands, whoever gave it. A version
    that cannot be compiled any more is left out: asked for, it is unknown.

    Raises:
        UnsupportedDtypeError: As `compile_store`.
        SchemaError: As `compile_store`.
    """
    schema = compile_store(store)
    # Not offline, where Feast resolves the labels of several by a policy.
    labels = [
        compile_feature_view(view, is_offline=True)
        for view in list_label_views(store.registry, store.project)
    ]
    views = sorted([*schema.feature_views, *labels], key=lambda view: view.name)
    schema = dataclasses.replace(schema, feature_views=tuple(views))
    if not keeps_versions(store.config):
        return schema
    named: list[str] = []
    names = [view.name for view in views] + [view.name for view in schema.on_demand_views]
    for name in names:
        listed = store.registry.list_feature_view_versions(name, store.project)
        named += (f"{name}@v{item['version_number']}" for item in listed)
    for name in named:
        with suppress(EvenstoreError):
            schema = add_versions(store, schema, [name])
    return dataclasses.replace(
        schema,
        keeps_versions=True,
        feature_views=tuple(
            dataclasses.replace(view, stored_as=_stored_as(view)) for view in schema.feature_views
        ),
    )


def _stored_as(view: FeatureViewSchema) -> str:
    """Return the name of a version's rows, as Feast's online stores make it."""
    name = view.name.partition("@v")[0]
    return f"{name}_v{view.version}" if view.version else name


def add_versions(
    store: FeatureStore, registry: RegistrySchema, names: Iterable[str]
) -> RegistrySchema:
    """Add pinned versions of views to a compiled registry, each under its name `view@vN`.

    Raises:
        UnknownFeatureError: There is no such view or version.
        SchemaError: The registry keeps no versions.
        UnsupportedDtypeError: A feature of the version has no type that is kept.
    """
    feature_views, on_demand_views = list(registry.feature_views), list(registry.on_demand_views)
    for name in dict.fromkeys(names):
        view = find_pinned_view(store.registry, store.project, name)
        if isinstance(view, OnDemandFeatureView):
            computed = compile_on_demand_view(view)
            on_demand_views.append(dataclasses.replace(computed, name=name))
        else:
            read = compile_feature_view(view, is_offline=True)
            feature_views.append(dataclasses.replace(read, name=name))
    return dataclasses.replace(
        registry, feature_views=tuple(feature_views), on_demand_views=tuple(on_demand_views)
    )


def find_pinned_view(
    registry: BaseRegistry, project: str, name: str
) -> FeatureView | OnDemandFeatureView:
    """Find the snapshot of a view's version in the registry.

    Args:
        registry: The Feast registry.
        project: The Feast project.
        name: `view@vN`.

    Raises:
        UnknownFeatureError: There is no such view or version.
        SchemaError: The registry keeps no versions, or the name pins none.
    """
    base, _, version = name.partition("@v")
    if not version.isdecimal():
        msg = f"`{name}` pins no version"
        raise SchemaError(msg, hint="write `view@v2`")
    try:
        view = registry.get_feature_view_by_version(base, project, int(version))
        if isinstance(view, FeatureView | OnDemandFeatureView):
            return view
        msg = f"`{name}` is a {type(view).__name__}"
        raise SchemaError(msg, hint="pin a version of a feature view or on-demand view")
    except NotImplementedError as exc:
        msg = f"`{name}`: the registry keeps no versions"
        raise SchemaError(msg, hint="use Feast's file or SQL registry") from exc
    except FeatureViewVersionNotFound as exc:
        known = registry.list_feature_view_versions(base, project)
        raise UnknownFeatureError([name], [f"{base}@{item['version']}" for item in known]) from exc
