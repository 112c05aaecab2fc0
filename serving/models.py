"""The bodies of requests and answers, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

__all__ = [
    "AS_OF_HEADERS",
    "ErrorAnswer",
    "ErrorBody",
    "FeatureResult",
    "FeatureViewMetadata",
    "OnlineFeaturesAnswer",
    "OnlineFeaturesRequest",
    "Readiness",
    "ResponseMetadata",
]

_REQUEST_EXAMPLE: JsonDict = {
    "feature_service": "churn_v1",
    "entities": {"customer_id": [17850, 99999999]},
    "full_feature_names": False,
}
_ANSWER_EXAMPLE: JsonDict = {
    "metadata": {"feature_names": ["customer_id", "orders_30d"]},
    "results": [
        {
            "values": [17850, 99999999],
            "statuses": ["PRESENT", "PRESENT"],
            "event_timestamps": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
        },
        {
            "values": [4, None],
            "statuses": ["PRESENT", "NOT_FOUND"],
            "event_timestamps": ["2011-12-09T00:30:00Z", "1970-01-01T00:00:00Z"],
        },
    ],
}
_ERROR_EXAMPLE: JsonDict = {
    "error": {
        "code": "unknown-feature-service",
        "message": "unknown feature service: `chrun_v1`",
        "hint": "did you mean `churn_v1`?",
        "details": {"missing": "chrun_v1"},
    }
}


AS_OF_HEADERS: dict[str, JsonDict] = {
    "evenstore-as-of": {
        "description": "The instant the answer holds for, RFC 3339.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "evenstore-as-of-us": {
        "description": "The same in microseconds since 1970.",
        "schema": {"type": "integer"},
    },
    "evenstore-clock": {
        "description": "`frozen` in test mode.",
        "schema": {"type": "string", "enum": ["system", "frozen"]},
    },
    "evenstore-degraded": {
        "description": "`true` where the online store was away and declared defaults stand in.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
"""Headers of answers, as OpenAPI describes them."""


class OnlineFeaturesRequest(BaseModel):
    """Which features of which entities; as Feast's feature server takes it.

    Fields that are not named here are ignored, as Feast does.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_REQUEST_EXAMPLE]})

    entities: dict[str, list[Any]] = Field(
        description="One column per join key and per request field, equally long. Bytes are base64 "
        "text, timestamps whole seconds since 1970."
    )
    feature_service: str | None = Field(
        default=None, description="Name of a feature service; `features` is ignored beside it."
    )
    features: list[str] = Field(default=[], description="References of the form `view:feature`.")
    full_feature_names: StrictBool = Field(
        default=False, description="Name the answer's features `view__feature`."
    )
    include_feature_view_version_metadata: StrictBool = Field(
        default=False, description="List the feature views that were read."
    )


class FeatureResult(BaseModel):
    """One column of the answer: a join key or a feature, one item per entity row."""

    values: list[Any] = Field(
        description="Null where the status says so, and for NaN (then PRESENT). Infinity is the "
        "text `Infinity` or `-Infinity`, bytes are base64, timestamps whole seconds since 1970."
    )
    statuses: list[str] = Field(
        description="PRESENT, NULL_VALUE, NOT_FOUND or OUTSIDE_MAX_AGE (older than the view's ttl)."
    )
    event_timestamps: list[str] = Field(
        description="When the stored row became true, RFC 3339; 1970-01-01T00:00:00Z for join "
        "keys, on-demand features and rows that are not there."
    )


class FeatureViewMetadata(BaseModel):
    """A feature view that was read.

    Its number is left out where that is 0, the first.
    """

    name: str
    version: int | None = None


class ResponseMetadata(BaseModel):
    """Names the columns of `results`, in order: join keys, then features as asked for."""

    feature_names: list[str]
    feature_view_metadata: list[FeatureViewMetadata] | None = None


class OnlineFeaturesAnswer(BaseModel):
    """Feature vectors, column by column; as Feast's feature server answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWER_EXAMPLE]})

    metadata: ResponseMetadata
    results: list[FeatureResult]


class Readiness(BaseModel):
    """What a ready worker serves."""

    status: str = Field(examples=["ready"])
    project: str = Field(examples=["shop"])
    schema_fingerprint: str = Field(examples=["0f3a1c9be2d47a65"])
    clock: str = Field(description="`system`, or `frozen` in test mode.", examples=["system"])
    as_of: str = Field(examples=["2026-01-02T03:04:05.678901Z"])
    as_of_us: int = Field(examples=[1767323045678901])
    schema_source: str | None = Field(
        default=None,
        description="`registry`, or `last-good` while the registry cannot be used; null where "
        "nobody says.",
        examples=["registry"],
    )
    compiled_at: str | None = Field(default=None, examples=["2026-01-02T03:04:05Z"])


class ErrorBody(BaseModel):
    """What went wrong, where, and what to do next."""

    code: str = Field(description="Stable, kebab-case.")
    message: str
    hint: str | None
    details: dict[str, Any]


class ErrorAnswer(BaseModel):
    """The body of every answer that is not a success."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ERROR_EXAMPLE]})

    error: ErrorBody
