"""Valid requests to spoil; the worker answers each with 200 as it stands."""

from __future__ import annotations

import base64
from typing import Any

from tests.serving.rows import EXPIRED, FRESH, NULLS, SPECIAL, UNKNOWN

__all__ = ["FEAST_PATH", "LOOKUPS", "NATIVE_PATH", "VECTORS"]

FEAST_PATH = "/get-online-features"
NATIVE_PATH = "/v1/feature-vectors"
IDS = [FRESH, NULLS, SPECIAL, EXPIRED, UNKNOWN, FRESH]
DOCUMENT_ID = base64.b64encode(b"\x00doc").decode()
REFERENCES = ["numbers:f_int64", "numbers:f_floats", "profile:f_string"]

LOOKUPS: list[dict[str, Any]] = [
    {"feature_service": "all_types", "entities": {"customer_id": IDS}},
    {"features": REFERENCES, "entities": {"customer_id": IDS}, "full_feature_names": True},
    {"feature_service": "checkout", "entities": {"customer_id": [FRESH], "amount": [0.3]}},
    {"features": ["scans:pages"], "entities": {"document_id": [DOCUMENT_ID]}},
    {
        "features": ["numbers:f_int32"],
        "entities": {"customer_id": [FRESH]},
        "full_feature_names": False,
        "include_feature_view_version_metadata": True,
    },
]
VECTORS: list[dict[str, Any]] = [
    {"feature_service": "all_types", "entity_rows": [{"customer_id": i} for i in IDS]},
    {
        "features": REFERENCES,
        "entity_rows": [{"customer_id": FRESH}],
        "full_feature_names": True,
        "on_error": "fail",
    },
    {"feature_service": "checkout", "entity_rows": [{"customer_id": FRESH, "amount": 0.3}]},
    {"features": ["scans:pages"], "entity_rows": [{"document_id": DOCUMENT_ID}]},
]
