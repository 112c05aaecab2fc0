"""What a feature service takes and answers, for people and for code generators."""

from __future__ import annotations

import json
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.errors import EvenstoreError
from evenstore.schema.model import FeatureServiceSchema
from evenstore.schema.request import FeatureRequest
from serving.native.models import (
    EntityColumn,
    ServedFeature,
    ServedService,
    ServedServices,
    ServiceSummary,
)
from serving.plans import Plans, ReadPlan

__all__ = ["describe_service", "list_services"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_US_PER_S = 1_000_000
_INT32, _INT64 = 2**31, 2**63
_STATUSES = ["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"]
_INSTANT = {"type": "string", "format": "date-time"}
_BASE64 = {"type": "string", "contentEncoding": "base64"}
_NUMBER = {
    "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"], "type": "string"}]
}
_SCALARS: dict[str, dict[str, Any]] = {
    "Int32": {"type": "integer", "minimum": -_INT32, "maximum": _INT32 - 1},
    "Int64": {"type": "integer", "minimum": -_INT64, "maximum": _INT64 - 1},
    "Float32": _NUMBER,
    "Float64": _NUMBER,
    "Bool": {"type": "boolean"},
    "Bytes": _BASE64,
    "PdfBytes": _BASE64,
    "ImageBytes": _BASE64,
    "UnixTimestamp": _INSTANT,
    "ZonedTimestamp": _INSTANT,
    "Uuid": {"type": "string", "format": "uuid"},
    "TimeUuid": {"type": "string", "format": "uuid"},
    "Map": {"type": "object"},
    "ScalarMap": {"type": "object"},
}
_SENT_INSTANT: dict[str, Any] = {"anyOf": [_INSTANT, {"type": "integer"}]}


def list_services(plans: Plans) -> ServedServices:
    """List all feature services of a schema, those that cannot be served included."""
    return ServedServices(
        project=plans.schema.project,
        registry_fingerprint=plans.fingerprint,
        feature_services=[
            _summarise(plans, service)
            for service in sorted(plans.schema.feature_services, key=lambda each: each.name)
        ],
    )


def describe_service(plans: Plans, name: str) -> ServedService:
    """Describe one feature service.

    Raises:
        UnknownFeatureServiceError: The registry has no such service.
        EvenstoreError: Its definition cannot be served.
    """
    plan = plans.for_service(name)
    service = next(each for each in plans.schema.feature_services if each.name == name)
    request = plan.request
    return ServedService(
        name=name,
        description=service.description,
        owner=service.owner,
        schema_fingerprint=request.fingerprint,
        join_keys=[
            EntityColumn(name=field.name, dtype=field.dtype.value)
            for field in request.entity_columns
        ],
        request_data=[
            EntityColumn(name=field.name, dtype=field.dtype.value)
            for field in request.request_fields
        ],
        features=_features(request),
        on_unavailable=service.on_unavailable.value,
        max_stale_s=service.max_stale_us / _US_PER_S,
        request_schema=_request_schema(name, plan),
        response_schema=_response_schema(name, plan),
    )


def _summarise(plans: Plans, service: FeatureServiceSchema) -> ServiceSummary:
    fingerprint: str | None = None
    problem: str | None = None
    try:
        fingerprint = plans.for_service(service.name).request.fingerprint
    except EvenstoreError as exc:
        problem = exc.message
    return ServiceSummary(
        name=service.name,
        description=service.description,
        owner=service.owner,
        schema_fingerprint=fingerprint,
        n_features=sum(len(projection.features) for projection in service.projections),
        problem=problem,
    )


def _features(request: FeatureRequest) -> list[ServedFeature]:
    ttls = {read.output_name: read.view.ttl_us for read in request.reads}
    features = []
    for column in request.columns:
        ttl_us = None if column.is_on_demand else ttls[column.view_name]
        default = None if column.default_json is None else json.loads(column.default_json)
        features.append(
            ServedFeature(
                name=column.field.name,
                feature_view=column.view_name,
                dtype=column.field.dtype.value,
                is_on_demand=column.is_on_demand,
                ttl_s=None if ttl_us is None else ttl_us / _US_PER_S,
                default=default,
            )
        )
    return features


def _request_schema(name: str, plan: ReadPlan) -> dict[str, Any]:
    request = plan.request
    sent = (*request.entity_columns, *request.request_fields)
    key_names = {field.name for field in request.entity_columns}
    columns = {field.name: _sent_schema(field.dtype) for field in sent}
    columns |= {
        field.name: _or_null(columns[field.name])
        for field in request.request_fields
        if field.name not in key_names
    }
    return {
        "$schema": _DIALECT,
        "type": "object",
        "properties": {
            "feature_service": {"const": name},
            "entity_rows": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": columns,
                    "required": [field.name for field in sent],
                },
            },
            "full_feature_names": {"type": "boolean", "default": False},
            "on_error": {"enum": ["row", "fail"], "default": "row"},
            "as_of": _INSTANT,
        },
        "required": ["feature_service", "entity_rows"],
        "additionalProperties": False,
    }


def _response_schema(name: str, plan: ReadPlan) -> dict[str, Any]:
    request = plan.request
    views = [read.output_name for read in request.reads]
    keys = {field.name: _or_null(_value_schema(field.dtype)) for field in request.entity_columns}
    values = [_or_null(_value_schema(column.field.dtype)) for column in request.columns]
    error = _object({"code": _text(), "message": _text(), "hint": _or_null(_text())})
    vector = _object(
        {
            "keys": _object(keys),
            "values": _tuple(values),
            "statuses": _tuple([{"enum": _STATUSES}] * len(values)),
            "event_timestamps": _object({view: _or_null(_INSTANT) for view in views}),
            "ages_s": _object({view: _or_null({"type": "number"}) for view in views}),
            "error": _or_null(error),
        }
    )
    return {
        "$schema": _DIALECT,
        "title": f"Feature vectors of {name}",
        **_object(
            {
                "as_of": _INSTANT,
                "as_of_us": {"type": "integer"},
                "clock": {"enum": ["system", "frozen"]},
                "schema_fingerprint": {"const": request.fingerprint},
                "degraded": {"type": "boolean"},
                "feature_names": {"type": "array", "items": _text()},
                "feature_vectors": {"type": "array", "items": vector},
            }
        ),
    }


def _value_schema(dtype: Dtype) -> dict[str, Any]:
    if dtype.is_list or dtype.is_set:
        return {"type": "array", "items": _or_null(_value_schema(dtype.element))}
    if dtype.is_struct:
        return {
            "type": "object",
            "properties": {name: _or_null(_value_schema(field)) for name, field in dtype.fields},
        }
    return _SCALARS.get(dtype.value, _text())


def _sent_schema(dtype: Dtype) -> dict[str, Any]:
    return _SENT_INSTANT if dtype is Dtype.UNIX_TIMESTAMP else _value_schema(dtype)


def _text() -> dict[str, Any]:
    return {"type": "string"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _tuple(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
