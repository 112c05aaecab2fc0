"""Compiles a Feast registry into plain schema data.

The one place that reads Feast's definitions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from feast import FeatureService, FeatureStore, FeatureView, OnDemandFeatureView
from feast import Field as FeastField
from feast.infra.registry.base_registry import BaseRegistry
from feast.types import Array, FeastType, Set, Struct

from evenstore.clock import timedelta_to_us
from evenstore.dtypes import ENTITY_KEY_DTYPES, Dtype, struct_name
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    Layout,
    OnDemandViewSchema,
    Projection,
    Refusal,
    RegistrySchema,
    fold_name,
)
from evenstore.schema.service_tags import read_service_tags
from evenstore.semantics import ExpiredValues, TtlEnforcement

__all__ = [
    "compile_feature_view",
    "compile_on_demand_view",
    "compile_registry",
    "compile_store",
    "list_label_views",
]

_Choice = TypeVar("_Choice", TtlEnforcement, ExpiredValues)

_DUMMY_JOIN_KEY = "__dummy_id"


def compile_store(store: FeatureStore) -> RegistrySchema:
    """Compile everything a feature store's registry holds for its project.

    The layout is that of its online store; stock Feast's own store has the `feast` layout.
    """
    layout = Layout(getattr(store.config.online_store, "layout", Layout.FEAST.value))
    return dataclasses.replace(compile_registry(store.registry, store.project), layout=layout)


def compile_registry(registry: BaseRegistry, project: str) -> RegistrySchema:
    """Compile one project of a registry, views with types that only the offline store keeps too.

    Raises:
        UnsupportedDtypeError: A feature has no type, or a join key one that no key can have.
        SchemaError: A view's tag has a value that means nothing; a service's makes only that
            service unusable.
    """
    views: list[FeatureView] = [
        *registry.list_feature_views(project),
        *registry.list_stream_feature_views(project),
    ]
    # As stored: Feast would make the functions anew from their source text, which lacks whatever
    # their module defined or imported.
    on_demand = registry.list_on_demand_feature_views(project, skip_udf=True)
    services = registry.list_feature_services(project)
    feature_views = [compile_feature_view(view, is_offline=True) for view in views]
    on_demand_views = [compile_on_demand_view(view) for view in on_demand]
    compiled: list[FeatureViewSchema | OnDemandViewSchema] = [*feature_views, *on_demand_views]
    dtypes = {
        (view.name, feature.name): feature.dtype for view in compiled for feature in view.features
    }
    return RegistrySchema(
        project=project,
        feature_views=tuple(sorted(feature_views, key=lambda view: view.name)),
        on_demand_views=tuple(sorted(on_demand_views, key=lambda view: view.name)),
        feature_services=tuple(
            sorted(
                (_service(service, dtypes) for service in services),
                key=lambda service: service.name,
            )
        ),
    )


def list_label_views(
    registry: BaseRegistry, project: str, *, allow_cache: bool = False
) -> list[FeatureView]:
    """Return a project's label views, which have all that is asked of feature views online.

    Feast before 0.67 has none.
    """
    listing = getattr(registry, "list_label_views", None)
    return [] if listing is None else list(listing(project, allow_cache=allow_cache))


def compile_feature_view(
    view: FeatureView | OnDemandFeatureView, *, is_offline: bool = False
) -> FeatureViewSchema:
    """Compile one feature view.

    Args:
        view: The Feast view; or a label view, or an on-demand view whose rows are written to the
            online store.
        is_offline: Whether it is only read offline, where every type is kept. Else an online view
            with a type that the online store does not keep is refused; a view declared with
            `online=False` is not.

    Raises:
        UnsupportedDtypeError: A feature or join key has a type that is not kept.
        SchemaError: A tag has a value that means nothing, the ttl is negative, or two fields of a
            struct differ only in case.
    """
    ttl: timedelta | None = getattr(view, "ttl", None)  # An on-demand view has none.
    ttl_us = 0 if ttl is None else timedelta_to_us(ttl)
    if ttl_us < 0:
        msg = f"{view.name}: the ttl is negative: {ttl}"
        raise SchemaError(msg, hint="leave it out, or 0, for forever")
    features = tuple(_field(feature, view.name) for feature in view.features)
    if getattr(view, "online", True) and not is_offline:
        _refuse_offline_types(features, view.name)
    return FeatureViewSchema(
        name=view.name,
        join_keys=tuple(
            _join_key(column, view.name)
            for column in view.entity_columns
            if column.name != _DUMMY_JOIN_KEY
        ),
        features=features,
        ttl_us=ttl_us or None,
        ttl_enforcement=_tag(view, "ttl_enforcement", TtlEnforcement, TtlEnforcement.ENFORCE),
        expired_values=_tag(view, "expired_values", ExpiredValues, ExpiredValues.WITHHOLD),
        version=view.current_version_number or 0,
    )


def _field(field: FeastField, view_name: str) -> Field:
    where = f"{view_name}:{field.name}"
    return Field(field.name, Dtype.from_name(_type_name(field.dtype, where), where=where))


def _type_name(feast_type: FeastType, where: str) -> str:
    """Name a Feast type: as Feast itself does, but for the fields of structs."""
    if isinstance(feast_type, Array | Set):
        kind = type(feast_type).__name__
        return f"{kind}({_type_name(feast_type.base_type, where)})"
    if isinstance(feast_type, Struct):
        names: dict[str, str] = {}
        for name in feast_type.fields:
            twin = names.setdefault(fold_name(name), name)
            if twin != name:
                msg = f"{where}: fields `{twin}` and `{name}` of the struct differ only in case"
                raise SchemaError(msg, hint="rename one of them")
        return struct_name(
            [(name, _type_name(field, where)) for name, field in feast_type.fields.items()]
        )
    return str(feast_type)


def _refuse_offline_types(features: tuple[Field, ...], view_name: str) -> None:
    for field in features:
        if not field.dtype.is_kept_online:
            msg = f"{view_name}:{field.name}: type `{field.dtype.value}` is kept offline only"
            hint = "Feast has no online value for it: declare the view with online=False"
            raise UnsupportedDtypeError(msg, hint=hint)


def _join_key(column: FeastField, view_name: str) -> Field:
    field = _field(column, view_name)
    if field.dtype not in ENTITY_KEY_DTYPES:
        msg = f"{view_name}: join key `{field.name}` has type {field.dtype.value}"
        allowed = ", ".join(sorted(dtype.value for dtype in ENTITY_KEY_DTYPES))
        raise UnsupportedDtypeError(msg, hint=f"a join key can be one of {allowed}")
    return field


def _tag(
    view: FeatureView | OnDemandFeatureView, name: str, choices: type[_Choice], default: _Choice
) -> _Choice:
    text = (view.tags or {}).get(name)
    if text is None:
        return default
    try:
        return choices(text)
    except ValueError as exc:
        msg = f"{view.name}: tag `{name}` is {text!r}"
        allowed = ", ".join(str(choice.value) for choice in choices)
        raise SchemaError(msg, hint=f"use one of {allowed}") from exc


def compile_on_demand_view(view: OnDemandFeatureView) -> OnDemandViewSchema:
    """Compile one on-demand view.

    Raises:
        SchemaError: A source is not a plain view.
        UnsupportedDtypeError: A feature or request field has a type that is not kept.
    """
    _refuse_special_sources(view)
    transformation: Any = view.to_proto().spec.feature_transformation.user_defined_function
    request_fields = {
        field.name: _field(field, view.name)
        for source in _in_name_order(view.source_request_sources)
        for field in source.schema
    }
    return OnDemandViewSchema(
        name=view.name,
        mode=view.mode,
        is_singleton=bool(view.singleton),
        inputs=tuple(
            (projection.name, feature.name)
            for projection in _in_name_order(view.source_feature_view_projections)
            for feature in projection.features
        ),
        request_fields=tuple(request_fields.values()),
        features=tuple(_field(feature, view.name) for feature in view.features),
        udf=transformation.body,
        udf_source=transformation.body_text,
    )


def _refuse_special_sources(view: OnDemandFeatureView) -> None:
    for projection in view.source_feature_view_projections.values():
        is_plain = projection.version_tag is None and not projection.join_key_map
        if not is_plain or projection.name_alias not in {None, projection.name}:
            msg = f"on-demand view `{view.name}`: source `{projection.name_to_use()}` is special"
            hint = "name the feature view itself as source: no version, alias or join key map"
            raise SchemaError(msg, hint=hint)


def _in_name_order(sources: Mapping[str, Any]) -> list[Any]:
    """Order a map of the registry, which protobuf gives in another order in each process."""
    return [source for _, source in sorted(sources.items())]


def _service(
    service: FeatureService, dtypes: Mapping[tuple[str, str], Dtype]
) -> FeatureServiceSchema:
    projections = tuple(
        Projection(
            view=projection.name,
            output_name=projection.name_to_use(),
            features=tuple(feature.name for feature in projection.features),
            join_key_map=tuple(sorted(projection.join_key_map.items())),
        )
        for projection in service.feature_view_projections
    )
    # What the registry does not have makes the service unservable, and is told then.
    served = {
        (projection.output_name, feature): dtypes[projection.view, feature]
        for projection in projections
        for feature in projection.features
        if (projection.view, feature) in dtypes
    }
    try:
        tags = read_service_tags(service.name, service.tags or {}, served)
    except SchemaError as exc:
        # Its own problem: the other services are served.
        refusal = Refusal(exc.message, exc.hint)
        return FeatureServiceSchema(service.name, projections, refusal=refusal)
    return FeatureServiceSchema(
        name=service.name,
        projections=projections,
        defaults=tags.defaults,
        on_unavailable=tags.on_unavailable,
        max_stale_us=tags.max_stale_us,
        description=service.description or "",
        owner=service.owner or "",
    )
