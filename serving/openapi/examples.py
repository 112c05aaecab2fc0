"""Examples of the bodies whose models have none, or lose their nulls on the way."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from serving.models import OnlineFeaturesAnswer
from serving.native.models import FeatureVectorsAnswer

__all__ = ["EXAMPLES"]

_SUMMARY = {
    "name": "churn_v1",
    "description": "Will this customer buy within 60 days?",
    "owner": "crm@example.com",
    "schema_fingerprint": "0f3a1c9be2d47a65",
    "n_features": 2,
    "problem": None,
}
_SERVICE = {
    "name": "churn_v1",
    "description": "Will this customer buy within 60 days?",
    "owner": "crm@example.com",
    "schema_fingerprint": "0f3a1c9be2d47a65",
    "join_keys": [{"name": "customer_id", "dtype": "Int64"}],
    "request_data": [],
    "features": [
        {
            "name": "orders_30d",
            "feature_view": "customer_activity",
            "dtype": "Int64",
            "is_on_demand": False,
            "ttl_s": 172800.0,
            "default": 0,
        },
        {
            "name": "country",
            "feature_view": "customer_profile",
            "dtype": "String",
            "is_on_demand": False,
            "ttl_s": None,
            "default": None,
        },
    ],
    "on_unavailable": "closed",
    "max_stale_s": 0.0,
    "request_schema": {"type": "object", "required": ["entity_rows"]},
    "response_schema": {"type": "object", "required": ["feature_vectors"]},
}
_FRESHNESS = {
    "feature_view": "customer_activity",
    "as_of": "2011-12-10T00:00:00Z",
    "as_of_us": 1323475200000000,
    "ttl_s": 172800.0,
    "is_materialized": True,
    "watermark": "2011-12-09T00:30:00Z",
    "watermark_us": 1323390600000000,
    "age_s": 84600.0,
    "last_materialized": "2011-12-09T01:00:00Z",
    "last_materialized_us": 1323392400000000,
}
_READINESS = {
    "status": "ready",
    "project": "shop",
    "schema_fingerprint": "0f3a1c9be2d47a65",
    "clock": "system",
    "as_of": "2026-01-02T03:04:05.678901Z",
    "as_of_us": 1767323045678901,
}


def _of_model(model: type[BaseModel]) -> list[Any]:
    extra = model.model_config.get("json_schema_extra")
    found = extra.get("examples") if isinstance(extra, dict) else None
    return found if isinstance(found, list) else []


EXAMPLES: dict[str, list[Any]] = {
    "FeatureVectorsAnswer": _of_model(FeatureVectorsAnswer),
    "OnlineFeaturesAnswer": _of_model(OnlineFeaturesAnswer),
    "Readiness": [_READINESS],
    "ServedService": [_SERVICE],
    "ServedServices": [
        {
            "project": "shop",
            "registry_fingerprint": "8d21f0c3a94be675",
            "feature_services": [_SUMMARY],
        }
    ],
    "ViewFreshness": [_FRESHNESS],
}
"""By the name of the body's schema."""
