"""The bodies of the `/v1` routes, as the OpenAPI document describes them.

MessagePack and Arrow carry the same names; they differ from JSON in how single values are written,
which the routes' descriptions say.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

__all__ = [
    "EntityColumn",
    "FeatureVector",
    "FeatureVectorsAnswer",
    "FeatureVectorsRequest",
    "ServedFeature",
    "ServedService",
    "ServedServices",
    "ServiceSummary",
    "VectorError",
    "ViewFreshness",
]

_REQUEST_EXAMPLES: list[JsonDict] = [
    {
        "feature_service": "churn_v1",
        "entity_rows": [{"customer_id": 17850}, {"customer_id": 99999999}],
    },
    {
        "features": ["customer_activity:orders_30d", "customer_profile:country"],
        "entity_rows": [{"customer_id": 17850}],
        "full_feature_names": True,
        "on_error": "fail",
    },
]
_ANSWER_EXAMPLE: JsonDict = {
    "as_of": "2011-12-10T00:00:00Z",
    "as_of_us": 1323475200000000,
    "clock": "system",
    "schema_fingerprint": "0f3a1c9be2d47a65",
    "degraded": False,
    "feature_names": ["orders_30d", "country"],
    "feature_vectors": [
        {
            "keys": {"customer_id": 17850},
            "values": [4, "United Kingdom"],
            "statuses": ["PRESENT", "PRESENT"],
            "event_timestamps": {
                "customer_activity": "2011-12-09T00:30:00Z",
                "customer_profile": "2010-12-01T08:26:00Z",
            },
            "ages_s": {"customer_activity": 84600.0, "customer_profile": 32283240.0},
            "error": None,
        },
        {
            "keys": {"customer_id": None},
            "values": [None, None],
            "statuses": ["INVALID", "INVALID"],
            "event_timestamps": {"customer_activity": None, "customer_profile": None},
            "ages_s": {"customer_activity": None, "customer_profile": None},
            "error": {
                "code": "entity-rows",
                "message": "join key `customer_id` is '17850' in row 1, not Int64",
                "hint": "send a whole number from -2^63 to 2^63-1, without quotes",
            },
        },
    ],
}

StatusName = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"]


class FeatureVectorsRequest(BaseModel):
    """Which features of which entities, one object per entity row.

    Fields that are not named here are refused.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [*_REQUEST_EXAMPLES]})

    feature_service: str | None = Field(
        default=None, description="Name of a feature service: this,"
    )
    features: list[str] | None = Field(
        default=None, description="or references of the form `view:feature`."
    )
    entity_rows: list[dict[str, Any]] = Field(
        description="Per entity row its join keys and request data by name. In JSON, bytes are "
        "base64 text, timestamps RFC 3339 text or whole seconds since 1970, and NaN and the "
        "infinities the texts `NaN`, `Infinity` and `-Infinity`.",
        min_length=1,
    )
    full_feature_names: StrictBool = Field(
        default=False, description="Name the answer's features `view__feature`."
    )
    on_error: Literal["row", "fail"] = Field(
        default="row",
        description="`row`: an entity row at fault carries its error and the others are answered. "
        "`fail`: the first fault is the answer to the whole request.",
    )
    as_of: str | None = Field(
        default=None,
        description="The instant to answer for, RFC 3339 with a zone; only in test mode, refused "
        "otherwise. Ages and ttl follow it. What is stored is what is stored now: a row later "
        "than the instant is that entity row's error.",
        examples=["2011-12-10T00:00:00Z"],
    )


class VectorError(BaseModel):
    """Why features of one entity row are INVALID."""

    code: str = Field(description="Stable, kebab-case; the same codes as of whole requests.")
    message: str
    hint: str | None


class FeatureVector(BaseModel):
    """One entity row's answer.

    Item j of `values` and of `statuses` belongs to `feature_names[j]`. All features of a feature
    view come from one stored row, so its instant stands once, under the view's name; on-demand
    views have none.
    """

    keys: dict[str, Any] = Field(
        description="The join keys as they were read; null where one is missing or not of its type."
    )
    values: list[Any] = Field(
        description="Values of the declared types; null, or the service's declared default, where "
        "the status says that there is none. In JSON, bytes are base64 text, timestamps RFC 3339 "
        "text, and NaN and the infinities the texts `NaN`, `Infinity` and `-Infinity`."
    )
    statuses: list[StatusName] = Field(
        description="PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE (older than the view's ttl), "
        "or INVALID (not known: `error` or `degraded` says why). A default changes no status."
    )
    event_timestamps: dict[str, str | None] = Field(
        description="Per feature view, when the stored row became true, RFC 3339; null without one."
    )
    ages_s: dict[str, float | None] = Field(
        description="Per feature view, `as_of` minus the event timestamp, in seconds."
    )
    error: VectorError | None = Field(
        description="Null, or why features of this entity row are INVALID."
    )


class FeatureVectorsAnswer(BaseModel):
    """Feature vectors, one per entity row, in the request's order, repeated rows included."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWER_EXAMPLE]})

    as_of: str = Field(description="The instant the whole answer holds for, RFC 3339.")
    as_of_us: int = Field(description="The same in microseconds since 1970.")
    clock: Literal["system", "frozen"] = Field(description="`frozen` in test mode.")
    schema_fingerprint: str = Field(
        description="Of the features asked for: a model trained on them has the same one."
    )
    degraded: bool = Field(
        description="Whether the online store was away: all features are INVALID, and null or the "
        "declared defaults of a service that fails open."
    )
    feature_names: list[str] = Field(
        description="The features, in the service's order or as asked for."
    )
    feature_vectors: list[FeatureVector]


class EntityColumn(BaseModel):
    """A join key or a field of request data that every entity row must have."""

    name: str
    dtype: str = Field(description="The declared Feast type.", examples=["Int64"])


class ServedFeature(BaseModel):
    """One feature of a service."""

    name: str
    feature_view: str = Field(description="The view, or the alias that the service gives it.")
    dtype: str = Field(description="The declared Feast type.", examples=["Float64"])
    is_on_demand: bool = Field(description="Whether it is computed when it is asked for.")
    ttl_s: float | None = Field(description="Greatest age of a valid row; null for forever.")
    default: Any = Field(
        description="What stands where there is no value, as JSON; null where none is declared."
    )


class ServiceSummary(BaseModel):
    """A feature service in the list of all."""

    name: str
    description: str
    owner: str
    schema_fingerprint: str | None = Field(
        description="Of what the service answers; null where it cannot be served."
    )
    n_features: int
    problem: str | None = Field(description="Why the service cannot be served.")


class ServedServices(BaseModel):
    """All feature services, by name."""

    project: str
    registry_fingerprint: str
    feature_services: list[ServiceSummary]


class ServedService(BaseModel):
    """Everything a caller must know of a feature service."""

    name: str
    description: str
    owner: str
    schema_fingerprint: str
    join_keys: list[EntityColumn]
    request_data: list[EntityColumn]
    features: list[ServedFeature]
    on_unavailable: Literal["closed", "open"] = Field(
        description="What an outage of the online store does: `closed` is a 503, `open` an answer "
        "of declared defaults and nulls with status INVALID."
    )
    max_stale_s: float = Field(
        description="How much older than its ttl a value may be and still be given, with status "
        "OUTSIDE_MAX_AGE."
    )
    request_schema: dict[str, Any] = Field(description="JSON Schema of the request's body.")
    response_schema: dict[str, Any] = Field(description="JSON Schema of the JSON answer's body.")


class ViewFreshness(BaseModel):
    """How far a feature view is materialized, as Redis knows it beside the rows."""

    feature_view: str
    as_of: str
    as_of_us: int
    ttl_s: float | None
    is_materialized: bool = Field(description="Whether a run is recorded; pushes record none.")
    watermark: str | None = Field(
        description="Every source row with an event timestamp up to here was loaded, RFC 3339."
    )
    watermark_us: int | None
    age_s: float | None = Field(description="`as_of` minus the watermark.")
    last_materialized: str | None = Field(
        description="When the last run that loaded something read its source, RFC 3339."
    )
    last_materialized_us: int | None
