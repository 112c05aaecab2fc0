"""What the gateway's own routes answered, as plain data: feature vectors, services, freshness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evenstore.semantics import Status

__all__ = [
    "EntityColumn",
    "FeatureVector",
    "FeatureVectors",
    "ServedFeature",
    "ServedService",
    "ServiceSummary",
    "VectorError",
    "ViewFreshness",
]


@dataclass(frozen=True, slots=True)
class VectorError:
    """Why features of one entity row are INVALID; `code` is stable."""

    code: str
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """The answer for one entity row.

    Attributes:
        names: The features, in the answer's order; the same tuple in every row.
        keys: The join keys as the gateway read them; None where one is missing or wrong.
        values: One per name, as JSON carries them: bytes are base64 text, timestamps RFC 3339, NaN
            and the infinities the texts `NaN`, `Infinity` and `-Infinity`. None, or the service's
            declared default, where the status says that there is no value.
        statuses: One per name.
        event_us: Per feature view, when the stored row became true, in microseconds since 1970;
            None without one. On-demand views have none.
        ages_s: Per feature view, the age of that row in seconds at the instant of the answer.
        error: Why features of this row are INVALID; None where nothing is wrong with it.
    """

    names: tuple[str, ...]
    keys: Mapping[str, Any]
    values: tuple[Any, ...]
    statuses: tuple[Status, ...]
    event_us: Mapping[str, int | None]
    ages_s: Mapping[str, float | None]
    error: VectorError | None

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return dict(zip(self.names, self.values, strict=True))

    def statuses_by_name(self) -> dict[str, Status]:
        """Return the statuses by name."""
        return dict(zip(self.names, self.statuses, strict=True))


@dataclass(frozen=True, slots=True)
class FeatureVectors:
    """Feature vectors, one per entity row, in the order sent.

    Attributes:
        names: The features, in the service's order or as asked for.
        vectors: One per entity row.
        as_of_us: The instant the answer holds for, in microseconds since 1970.
        is_clock_frozen: Whether the gateway runs in test mode.
        schema_fingerprint: Of the features asked for; that of a model trained on them is the same.
        is_degraded: Whether the online store was away and the service declares what to say then.
    """

    names: tuple[str, ...]
    vectors: tuple[FeatureVector, ...]
    as_of_us: int
    is_clock_frozen: bool
    schema_fingerprint: str
    is_degraded: bool

    def __len__(self) -> int:
        """Return the number of entity rows."""
        return len(self.vectors)

    def __iter__(self) -> Iterator[FeatureVector]:
        """Yield the vector of each entity row."""
        return iter(self.vectors)

    def __getitem__(self, row_idx: int) -> FeatureVector:
        """Return the vector of one entity row."""
        return self.vectors[row_idx]


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """A feature service in the list of all; `problem` says why it cannot be served, if so."""

    name: str
    description: str
    owner: str
    schema_fingerprint: str | None
    n_features: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class EntityColumn:
    """A join key or a field of request data that every entity row must have."""

    name: str
    dtype: str


@dataclass(frozen=True, slots=True)
class ServedFeature:
    """One feature of a service; `ttl_s` is None for values that never expire."""

    name: str
    feature_view: str
    dtype: str
    is_on_demand: bool
    ttl_s: float | None
    default: Any


@dataclass(frozen=True, slots=True)
class ServedService:
    """What a caller must know of a feature service.

    Attributes:
        name: Of the service.
        description: Its owner's words.
        owner: Who answers for it.
        schema_fingerprint: Of its features; that of a model trained on them is the same.
        join_keys: Columns of its entity rows.
        request_data: Further columns, for its on-demand views.
        features: In order.
        is_fail_open: Whether it answers with defaults while the online store is away.
        max_stale_s: How much older than its ttl a value may be and still be given.
        request_schema: JSON Schema of a request's body.
        response_schema: JSON Schema of an answer's body.
    """

    name: str
    description: str
    owner: str
    schema_fingerprint: str
    join_keys: tuple[EntityColumn, ...]
    request_data: tuple[EntityColumn, ...]
    features: tuple[ServedFeature, ...]
    is_fail_open: bool
    max_stale_s: float
    request_schema: Mapping[str, Any]
    response_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ViewFreshness:
    """How far a feature view is materialized.

    Attributes:
        feature_view: The view.
        as_of_us: The gateway's instant.
        is_materialized: Whether a run is recorded; pushes record none.
        watermark_us: Every source row up to this event timestamp was loaded.
        age_s: How long ago that is.
        last_materialized_us: When the last run that loaded something read its source.
        ttl_s: The view's ttl; None for values that never expire.
    """

    feature_view: str
    as_of_us: int
    is_materialized: bool
    watermark_us: int | None
    age_s: float | None
    last_materialized_us: int | None
    ttl_s: float | None
