"""The bodies of requests that write, in the form of Feast's feature server."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr
from pydantic.config import JsonDict

__all__ = [
    "MaterializationAccepted",
    "MaterializeIncrementalRequest",
    "MaterializeRequest",
    "PushRequest",
    "PushTo",
    "WriteRequest",
]

PushTo = Literal["online", "offline", "online_and_offline"]

_FRAME: JsonDict = {
    "customer_id": [17850],
    "event_timestamp": ["2026-01-02T03:04:05Z"],
    "orders_7d": [4],
}
_FRAME_TEXT = (
    "One column per join key, feature and timestamp, equally long. Timestamps are ISO 8601 texts, "
    "in UTC where they name no zone; bytes are base64 text; a timestamp that is a feature may also "
    "be whole seconds since 1970. A single value instead of a list holds for every row."
)
_VERSION_TEXT = "A version such as `v2`, of exactly one view, where the registry keeps versions."


class _Request(BaseModel):
    # Feast ignores fields that it does not know; so does this.
    model_config = ConfigDict(extra="ignore")


class PushRequest(_Request):
    """Rows for every feature view of a push source."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"push_source_name": "activity_push", "df": _FRAME}]}
    )

    push_source_name: StrictStr = Field(description="Name of a push source.")
    df: dict[str, Any] = Field(description=_FRAME_TEXT)
    allow_registry_cache: StrictBool = Field(
        default=True, description="False looks at the registry first, even where that takes long."
    )
    to: PushTo = Field(default="online", description="Which store takes the rows.")
    transform_on_write: StrictBool = Field(
        default=True, description="Without effect: feature views of push sources transform nothing."
    )


class WriteRequest(_Request):
    """Rows for the online store, for one feature view or one stored on-demand view."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"feature_view_name": "customer_activity", "df": _FRAME}]}
    )

    feature_view_name: StrictStr = Field(description="Name of a feature view.")
    df: dict[str, Any] = Field(description=_FRAME_TEXT)
    allow_registry_cache: StrictBool = Field(
        default=True, description="False looks at the registry first, even where that takes long."
    )
    transform_on_write: StrictBool = Field(
        default=True,
        description="Whether an on-demand view computes what is stored, or `df` holds it already.",
    )


class MaterializeRequest(_Request):
    """An interval to load into the online store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "start_ts": "2026-01-01T00:00:00Z",
                    "end_ts": "2026-01-02T00:00:00Z",
                    "feature_views": ["customer_activity"],
                }
            ]
        }
    )

    start_ts: StrictStr | None = Field(default=None, description="ISO 8601, UTC without a zone.")
    end_ts: StrictStr | None = Field(default=None, description="ISO 8601, after `start_ts`.")
    feature_views: list[StrictStr] | None = Field(default=None, description="Default: all.")
    disable_event_timestamp: StrictBool = Field(
        default=False, description="Load everything up to now, whatever the interval."
    )
    full_feature_names: StrictBool = False
    version: StrictStr | None = Field(default=None, description=_VERSION_TEXT)


class MaterializeIncrementalRequest(_Request):
    """How far to load into the online store, from where the last run ended."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"end_ts": "2026-01-02T00:00:00Z"}]},
    )

    end_ts: StrictStr = Field(description="ISO 8601, UTC without a zone.")
    feature_views: list[StrictStr] | None = Field(default=None, description="Default: all.")
    full_feature_names: StrictBool = False
    version: StrictStr | None = Field(default=None, description=_VERSION_TEXT)


class MaterializationAccepted(BaseModel):
    """A materialization that goes on after the answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "accepted", "feature_views": ["customer_activity"]}]
        }
    )

    status: str
    feature_views: list[str]
