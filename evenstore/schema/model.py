"""Frozen plain data: what views, on-demand views and services look like, and their fingerprints.

Compiled once from the registry (`evenstore.schema.compile`), written to a file
(`evenstore.schema.document`), read by everything else. No Feast object passes beyond the compiler.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.semantics import ExpiredValues, OnUnavailable, TtlEnforcement

__all__ = [
    "IN_FINGERPRINT_UNLESS_DEFAULT",
    "FeatureDefault",
    "FeatureServiceSchema",
    "FeatureViewSchema",
    "Field",
    "Layout",
    "OnDemandViewSchema",
    "Projection",
    "Refusal",
    "RegistrySchema",
    "fingerprint",
    "fold_name",
]


IN_FINGERPRINT_UNLESS_DEFAULT: Mapping[str, Any] = {"fingerprint": "unless default"}
"""Metadata of a field that came later: what does not use it keeps its fingerprint."""

_NOT_IN_FINGERPRINT: Mapping[str, Any] = {"fingerprint": "never"}


class Layout(enum.Enum):
    """How rows lie in Redis: a string per entity, or stock Feast's hash per entity."""

    PACKED = "packed"
    FEAST = "feast"


@dataclass(frozen=True, slots=True)
class Field:
    """A named, typed column."""

    name: str
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class FeatureViewSchema:
    """One feature view as both stores see it.

    Attributes:
        name: Its name: the one it is asked for by, and that rows are stored under.
        join_keys: In the order of the view's entities; empty for an entityless view.
        features: All declared features, in declaration order.
        ttl_us: Microseconds; None means forever.
        ttl_enforcement: What an expired row does to an answer.
        expired_values: Whether an expired value is withheld.
        version: Its number in the registry, 0 for the first.
        stored_as: The name that its rows online go by, where that is another: a registry may keep
            the rows of each version (`evenstore.schema.version.compile_served`).
    """

    name: str
    join_keys: tuple[Field, ...]
    features: tuple[Field, ...]
    ttl_us: int | None
    ttl_enforcement: TtlEnforcement = TtlEnforcement.ENFORCE
    expired_values: ExpiredValues = ExpiredValues.WITHHOLD
    version: int = dataclasses.field(default=0, metadata=_NOT_IN_FINGERPRINT)
    stored_as: str = dataclasses.field(default="", metadata=_NOT_IN_FINGERPRINT)

    def feature(self, name: str) -> Field | None:
        """Return a declared feature, or None."""
        return next((field for field in self.features if field.name == name), None)

    @property
    def enforced_ttl_us(self) -> int | None:
        """The ttl that decides statuses: none where the view only shadows or ignores it."""
        return self.ttl_us if self.ttl_enforcement is TtlEnforcement.ENFORCE else None

    @property
    def withholds_expired(self) -> bool:
        """Whether an expired row's values are replaced by null."""
        return self.expired_values is ExpiredValues.WITHHOLD

    def stored(self) -> FeatureViewSchema:
        """Return the view under the name of its rows online."""
        return dataclasses.replace(self, name=self.stored_as) if self.stored_as else self

    @property
    def fingerprint(self) -> str:
        """Hash of all that changes a stored or joined value: names, types, keys, ttl."""
        return fingerprint(self)


@dataclass(frozen=True, slots=True)
class OnDemandViewSchema:
    """One on-demand feature view.

    Attributes:
        name: The view's name.
        mode: `python` or `pandas`.
        is_singleton: Whether the function takes one row of scalars instead of columns.
        inputs: `(feature view, feature)` pairs it reads.
        request_fields: Columns that come with the request.
        features: Its outputs.
        udf: The function as the registry holds it (dill).
        udf_source: Its source text, for people and for the fingerprint: dill bytes differ between
            equal functions.
    """

    name: str
    mode: str
    is_singleton: bool
    inputs: tuple[tuple[str, str], ...]
    request_fields: tuple[Field, ...]
    features: tuple[Field, ...]
    udf: bytes
    udf_source: str

    @property
    def fingerprint(self) -> str:
        """Hash of the outputs, inputs and source text."""
        return fingerprint(dataclasses.replace(self, udf=b""))


@dataclass(frozen=True, slots=True)
class Projection:
    """What a feature service or a list of references takes from one view.

    Attributes:
        view: Name of the feature view or on-demand view.
        output_name: Prefix in full feature names: the alias if one was given.
        features: Names, in the order asked for.
        join_key_map: `(join key, caller's column)` pairs; join keys that are not renamed are left
            out.
    """

    view: str
    output_name: str
    features: tuple[str, ...]
    join_key_map: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureDefault:
    """What stands in an answer where a feature has no value.

    Attributes:
        view: The view's name in the service, as in `Projection.output_name`.
        feature: The feature.
        json_text: The value as `evenstore.schema.json_form` writes it.
    """

    view: str
    feature: str
    json_text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a definition cannot be used, and what to do: told whenever it is asked for."""

    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class FeatureServiceSchema:
    """A named set of projections, and what it answers where values are missing.

    Attributes:
        name: The service's name.
        projections: What it takes from each view.
        defaults: Declared defaults, in the order of the service's features.
        on_unavailable: What it does when what it needs cannot be read.
        max_stale_us: How much older than its view's ttl a value may be and still be given.
        description: For people.
        owner: For people.
        refusal: Why its tags cannot be used, if they cannot: then neither can it.
    """

    name: str
    projections: tuple[Projection, ...]
    defaults: tuple[FeatureDefault, ...] = dataclasses.field(
        default=(), metadata=IN_FINGERPRINT_UNLESS_DEFAULT
    )
    on_unavailable: OnUnavailable = dataclasses.field(
        default=OnUnavailable.CLOSED, metadata=IN_FINGERPRINT_UNLESS_DEFAULT
    )
    max_stale_us: int = dataclasses.field(default=0, metadata=IN_FINGERPRINT_UNLESS_DEFAULT)
    description: str = dataclasses.field(default="", metadata=_NOT_IN_FINGERPRINT)
    owner: str = dataclasses.field(default="", metadata=_NOT_IN_FINGERPRINT)
    refusal: Refusal | None = dataclasses.field(
        default=None, metadata=IN_FINGERPRINT_UNLESS_DEFAULT
    )


@dataclass(frozen=True, slots=True)
class RegistrySchema:
    """All that one project's registry defines, at one registry version, and where rows are.

    Attributes:
        project: The Feast project.
        feature_views: By name; also pinned versions of some, each under its name `view@v2`.
        on_demand_views: Likewise.
        feature_services: By name.
        layout: How rows lie in Redis.
        keeps_versions: Whether every version of a view has rows of its own, and is listed here.
    """

    project: str
    feature_views: tuple[FeatureViewSchema, ...]
    on_demand_views: tuple[OnDemandViewSchema, ...]
    feature_services: tuple[FeatureServiceSchema, ...]
    layout: Layout = Layout.PACKED
    keeps_versions: bool = dataclasses.field(default=False, metadata=IN_FINGERPRINT_UNLESS_DEFAULT)

    @property
    def fingerprint(self) -> str:
        """Hash of the whole: it changes when any view or service does."""
        return fingerprint(self)


def fold_name(name: str) -> str:
    """Fold a column name as DuckDB compares names: only ASCII letters lose their case."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def fingerprint(value: object) -> str:
    """Hash plain schema data to 16 hexadecimal digits, equal on every machine."""
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_in_fingerprint(field: dataclasses.Field[Any], value: object) -> bool:
    if field.metadata == _NOT_IN_FINGERPRINT:
        return False
    return field.metadata != IN_FINGERPRINT_UNLESS_DEFAULT or value != field.default


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, OnDemandViewSchema):
        value = dataclasses.replace(value, udf=b"")
    if dataclasses.is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if _is_in_fingerprint(field, getattr(value, field.name))
        }
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value
