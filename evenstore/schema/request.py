"""Resolves what a caller asks for into what must be read and computed.

A `FeatureRequest` is made once per service or list of references and then walked by every lookup
and join.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from evenstore.errors import SchemaError, UnknownFeatureError, UnknownFeatureServiceError
from evenstore.schema.model import (
    IN_FINGERPRINT_UNLESS_DEFAULT,
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
    fingerprint,
)
from evenstore.semantics import OnUnavailable

__all__ = [
    "Column",
    "FeatureRequest",
    "ViewRead",
    "pinned_name",
    "resolve_references",
    "resolve_service",
    "split_reference",
]

_VERSION = re.compile(r"@v\d+$")
_PINNED = re.compile(r"[vV]0*(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Column:
    """One feature of the answer, in the order asked for.

    Attributes:
        view_name: The view's name, or the alias it was asked for by.
        field: The feature.
        is_on_demand: Whether it is computed after the reads.
        default_json: The declared default (`FeatureDefault.json_text`), if there is one.
    """

    view_name: str
    field: Field
    is_on_demand: bool
    default_json: str | None = dataclasses.field(
        default=None, metadata=IN_FINGERPRINT_UNLESS_DEFAULT
    )

    def output_name(self, *, full_feature_names: bool) -> str:
        """Return the column's name in an answer: `feature` or `view__feature`."""
        return f"{self.view_name}__{self.field.name}" if full_feature_names else self.field.name


@dataclass(frozen=True, slots=True)
class ViewRead:
    """One view to read for each entity row.

    Attributes:
        view: The view's schema.
        output_name: The view's name, or the alias it was asked for by.
        key_columns: The caller's column for each of `view.join_keys`, in that order.
        features: All features to read: those asked for and those that on-demand views need.
        max_stale_us: How much older than the ttl a value may be and still be given.
    """

    view: FeatureViewSchema
    output_name: str
    key_columns: tuple[str, ...]
    features: tuple[Field, ...]
    max_stale_us: int = dataclasses.field(default=0, metadata=IN_FINGERPRINT_UNLESS_DEFAULT)

    @property
    def value_age_limit_us(self) -> int | None:
        """The greatest age of a row whose values are given; None where none is withheld.

        Statuses follow the view's ttl alone.
        """
        ttl_us = self.view.enforced_ttl_us
        if ttl_us is None or not self.view.withholds_expired:
            return None
        return ttl_us + self.max_stale_us


@dataclass(frozen=True, slots=True)
class FeatureRequest:
    """All that is needed to answer for one service or list of references.

    Attributes:
        name: The service's name, or the references joined by commas.
        entity_columns: Columns that the caller must send, with the join keys' declared types.
        request_fields: Columns that on-demand views take from the request.
        columns: The answer's features, in order.
        reads: The views to read.
        on_demand: On-demand views to compute, in order.
        on_unavailable: What to do when what is needed cannot be read.
    """

    name: str
    entity_columns: tuple[Field, ...]
    request_fields: tuple[Field, ...]
    columns: tuple[Column, ...]
    reads: tuple[ViewRead, ...]
    on_demand: tuple[OnDemandViewSchema, ...]
    on_unavailable: OnUnavailable = OnUnavailable.CLOSED

    @property
    def fingerprint(self) -> str:
        """Hash of names, types, order, ttl, defaults and on-demand source: what a model learns."""
        return fingerprint(
            (self.entity_columns, self.request_fields, self.columns, self.reads, self.on_demand)
        )


def resolve_service(registry: RegistrySchema, name: str) -> FeatureRequest:
    """Resolve a feature service by name.

    Raises:
        UnknownFeatureServiceError: The registry has no such service.
        UnknownFeatureError: The service names a view or feature that is not registered.
        SchemaError: The service's tags cannot be used, a feature is asked for twice, two reads have
            one name, or one join key has two types.
    """
    for service in registry.feature_services:
        if service.name == name:
            if service.refusal is not None:
                raise SchemaError(service.refusal.message, hint=service.refusal.hint)
            return _degrade(_resolve(registry, name, service.projections), service)
    raise UnknownFeatureServiceError(name, [service.name for service in registry.feature_services])


def resolve_references(registry: RegistrySchema, references: tuple[str, ...]) -> FeatureRequest:
    """Resolve a list of `view:feature` references, keeping their order.

    `view@v2:feature` pins a version, which the schema must hold: see `resolve_request` and
    `compile_served` of `evenstore.schema.version`.

    Raises:
        SchemaError: The list is empty, a reference has not the form `view:feature` or pins a
            version where the schema keeps none, or a feature is asked for twice.
        UnknownFeatureError: A view, version or feature is not registered.
    """
    if not references:
        msg = "no features were asked for"
        raise SchemaError(msg, hint="name a feature service, or references like `view:feature`")
    projections = []
    for reference in references:
        name, feature = split_reference(reference)
        view = _VERSION.sub("", name)
        projections.append(Projection(view=view, output_name=name, features=(feature,)))
    return _resolve(registry, ",".join(references), tuple(projections))


def split_reference(reference: str) -> tuple[str, str]:
    """Split `view:feature` into the view's name, with its version if one is pinned, and the rest.

    `view@V2` and `view@v02` are `view@v2`; `view@latest` is `view`, as Feast reads them.

    Raises:
        SchemaError: The text has another form.
    """
    view, separator, feature = reference.partition(":")
    if not separator or not view or not feature:
        msg = f"not a feature reference: {reference!r}"
        raise SchemaError(msg, hint="write `view:feature`")
    name, _, version = view.partition("@")
    if not version or version.lower() == "latest":
        return name, feature
    number = _PINNED.fullmatch(version)
    return (view if number is None else f"{name}@v{number[1]}"), feature


def pinned_name(projection: Projection) -> str | None:
    """Return the name `view@vN` of the version that a projection pins, None where it pins none."""
    version = _VERSION.search(projection.output_name)
    return None if version is None else f"{projection.view}{version[0]}"


class _Reads:
    """Collects what must be read from each view, in first-asked order."""

    def __init__(self, registry: RegistrySchema) -> None:
        self._views = {view.name: view for view in registry.feature_views}
        self._projections: dict[str, Projection] = {}
        self._features: dict[str, dict[str, Field]] = {}

    def add(self, projection: Projection, feature: str) -> Field:
        view = self._views.get(projection.view)
        field = None if view is None else view.feature(feature)
        if view is None or field is None:
            available = [f"{v.name}:{f.name}" for v in self._views.values() for f in v.features]
            raise UnknownFeatureError([f"{projection.view}:{feature}"], available)
        known = self._projections.setdefault(projection.output_name, projection)
        if (known.view, known.join_key_map) != (projection.view, projection.join_key_map):
            msg = f"two different reads are both called `{projection.output_name}`"
            raise SchemaError(msg, hint="give one of them another name: `.with_name(...)`")
        self._features.setdefault(projection.output_name, {})[feature] = field
        return field

    def build(self) -> tuple[ViewRead, ...]:
        reads = []
        for output_name, projection in self._projections.items():
            view = self._views[projection.view]
            renamed = dict(projection.join_key_map)
            reads.append(
                ViewRead(
                    view=view,
                    output_name=output_name,
                    key_columns=tuple(renamed.get(key.name, key.name) for key in view.join_keys),
                    features=tuple(self._features[output_name].values()),
                )
            )
        return tuple(reads)


def _resolve(
    registry: RegistrySchema, name: str, projections: tuple[Projection, ...]
) -> FeatureRequest:
    on_demand_views = {view.name: view for view in registry.on_demand_views}
    reads = _Reads(registry)
    columns: list[Column] = []
    on_demand: dict[str, OnDemandViewSchema] = {}
    for asked in projections:
        projection = _honour_version(registry, asked)
        computed = on_demand_views.get(projection.view)
        if computed is None:
            columns.extend(
                Column(projection.output_name, reads.add(projection, feature), is_on_demand=False)
                for feature in projection.features
            )
            continue
        # Known by the name it is asked for from here on, as its columns are.
        computed = dataclasses.replace(computed, name=projection.output_name)
        on_demand[computed.name] = computed
        columns.extend(
            Column(projection.output_name, _output(computed, feature), is_on_demand=True)
            for feature in projection.features
        )
    for computed in on_demand.values():
        for view_name, feature in computed.inputs:
            if view_name in on_demand_views:
                msg = f"on-demand view `{computed.name}` reads on-demand view `{view_name}`"
                raise SchemaError(msg, hint="Feast computes no chains: read its source views")
            reads.add(Projection(view_name, view_name, (feature,)), feature)
    if not columns:
        msg = f"`{name}` has no features"
        raise SchemaError(msg, hint="name the features of a feature service")
    _refuse_repeated(columns)
    view_reads = reads.build()
    return FeatureRequest(
        name=name,
        entity_columns=_entity_columns(view_reads),
        request_fields=_request_fields(tuple(on_demand.values())),
        columns=tuple(columns),
        reads=view_reads,
        on_demand=tuple(on_demand.values()),
    )


def _degrade(request: FeatureRequest, service: FeatureServiceSchema) -> FeatureRequest:
    """Add what a service answers where values are missing."""
    texts = {(default.view, default.feature): default.json_text for default in service.defaults}
    return dataclasses.replace(
        request,
        columns=tuple(
            dataclasses.replace(
                column, default_json=texts.get((column.view_name, column.field.name))
            )
            for column in request.columns
        ),
        reads=tuple(
            dataclasses.replace(read, max_stale_us=service.max_stale_us) for read in request.reads
        ),
        on_unavailable=service.on_unavailable,
    )


def _honour_version(registry: RegistrySchema, projection: Projection) -> Projection:
    pinned = pinned_name(projection)
    if pinned is None and "@" not in projection.output_name:
        return projection
    held = {view.name for view in registry.feature_views}
    held |= {view.name for view in registry.on_demand_views}
    if pinned in held:
        return dataclasses.replace(projection, view=str(pinned))
    if registry.keeps_versions:
        missing = pinned or projection.output_name
        raise UnknownFeatureError([missing], sorted(name for name in held if "@" in name))
    msg = f"the version that `{projection.output_name}` pins is not served here"
    hint = "set `enable_online_feature_view_versioning: true` under `registry`, and load anew"
    raise SchemaError(msg, hint=hint)


def _refuse_repeated(columns: list[Column]) -> None:
    names = [column.output_name(full_feature_names=True) for column in columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        msg = f"asked for twice: {', '.join(f'`{name}`' for name in repeated)}"
        raise SchemaError(msg, hint="ask once, or rename one view: `.with_name(...)`")


def _output(view: OnDemandViewSchema, feature: str) -> Field:
    for field in view.features:
        if field.name == feature:
            return field
    raise UnknownFeatureError(
        [f"{view.name}:{feature}"], [f"{view.name}:{field.name}" for field in view.features]
    )


def _entity_columns(reads: tuple[ViewRead, ...]) -> tuple[Field, ...]:
    columns: dict[str, Field] = {}
    for read in reads:
        for column, key in zip(read.key_columns, read.view.join_keys, strict=True):
            known = columns.setdefault(column, Field(column, key.dtype))
            if known.dtype is not key.dtype:
                types = f"{known.dtype.value} and {key.dtype.value}"
                msg = f"join key `{column}` has two types: {types}, in `{read.view.name}`"
                raise SchemaError(msg, hint="give the entity one value_type and apply again")
    return tuple(columns.values())


def _request_fields(on_demand: tuple[OnDemandViewSchema, ...]) -> tuple[Field, ...]:
    fields: dict[str, Field] = {}
    for view in on_demand:
        for field in view.request_fields:
            known = fields.setdefault(field.name, field)
            if known.dtype is not field.dtype:
                types = f"{known.dtype.value} and {field.dtype.value}"
                msg = f"request field `{field.name}` has two types: {types}, in `{view.name}`"
                raise SchemaError(msg, hint="use one type in all request sources")
    return tuple(fields.values())
