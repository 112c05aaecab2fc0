"""The compiled schema as a JSON document.

Written by whoever can import Feast, read by workers that must not.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import hashlib
import json
from pathlib import Path
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.errors import FormatVersionError, SchemaError
from evenstore.schema.model import (
    FeatureDefault,
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    Layout,
    OnDemandViewSchema,
    Projection,
    Refusal,
    RegistrySchema,
)
from evenstore.semantics import ExpiredValues, OnUnavailable, TtlEnforcement
from evenstore.whole_file import whole_file

__all__ = [
    "DOCUMENT_VERSION",
    "dump_registry_schema",
    "load_registry_schema",
    "read_document",
    "write_document",
]

DOCUMENT_VERSION = 4

_COMPILE_ANEW = "delete the file: it is compiled anew from the registry"


def dump_registry_schema(schema: RegistrySchema) -> str:
    """Render a schema as JSON, with the document's version and a hash of the whole."""
    registry = json.loads(json.dumps(dataclasses.asdict(schema), default=_jsonable))
    document = {
        "document_version": DOCUMENT_VERSION,
        "fingerprint": schema.fingerprint,
        "sha256": _hash(registry),
        "registry": registry,
    }
    return json.dumps(document, indent=1)


def load_registry_schema(text: str) -> RegistrySchema:
    """Read a schema back.

    Raises:
        FormatVersionError: The document was written by a version with another form.
        SchemaError: The document is cut short, or is not what its hash says.
    """
    try:
        document = json.loads(text)
    except ValueError as exc:
        msg = "compiled schema is no JSON"
        raise SchemaError(msg, hint=_COMPILE_ANEW) from exc
    version = document.get("document_version") if isinstance(document, dict) else None
    if version != DOCUMENT_VERSION:
        msg = f"compiled schema has version {version!r}, this reader knows {DOCUMENT_VERSION}"
        raise FormatVersionError(msg, hint="restart the gateway's supervisor: it compiles anew")
    # Functions are in the document but, being unequal bytes for equal code, not in the fingerprint;
    # the hash is over every byte, so that no changed function is ever run.
    registry = document.get("registry")
    if registry is None or document.get("sha256") != _hash(registry):
        msg = "compiled schema does not match its hash"
        raise SchemaError(msg, hint=_COMPILE_ANEW)
    return RegistrySchema(
        project=registry["project"],
        feature_views=tuple(_feature_view(view) for view in registry["feature_views"]),
        on_demand_views=tuple(_on_demand_view(view) for view in registry["on_demand_views"]),
        feature_services=tuple(_service(service) for service in registry["feature_services"]),
        layout=Layout(registry["layout"]),
        keeps_versions=registry["keeps_versions"],
    )


def _hash(registry: object) -> str:
    canonical = json.dumps(registry, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_document(schema: RegistrySchema, path: Path) -> None:
    """Write the document atomically: a reader sees the old one or the new one, never a part."""
    with whole_file(path) as temporary:
        temporary.write_text(dump_registry_schema(schema), encoding="utf-8")


def read_document(path: Path) -> RegistrySchema:
    """Read a document from a file; raises what `load_registry_schema` raises, and OSError."""
    return load_registry_schema(path.read_text(encoding="utf-8"))


def _jsonable(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    msg = f"not schema data: {value!r}"
    raise TypeError(msg)


def _field(data: dict[str, str]) -> Field:
    return Field(data["name"], Dtype(data["dtype"]))


def _fields(data: list[dict[str, str]]) -> tuple[Field, ...]:
    return tuple(_field(item) for item in data)


def _feature_view(data: dict[str, Any]) -> FeatureViewSchema:
    return FeatureViewSchema(
        name=data["name"],
        join_keys=_fields(data["join_keys"]),
        features=_fields(data["features"]),
        ttl_us=data["ttl_us"],
        ttl_enforcement=TtlEnforcement(data["ttl_enforcement"]),
        expired_values=ExpiredValues(data["expired_values"]),
        version=data["version"],
        stored_as=data["stored_as"],
    )


def _on_demand_view(data: dict[str, Any]) -> OnDemandViewSchema:
    return OnDemandViewSchema(
        name=data["name"],
        mode=data["mode"],
        is_singleton=data["is_singleton"],
        inputs=tuple((view, feature) for view, feature in data["inputs"]),
        request_fields=_fields(data["request_fields"]),
        features=_fields(data["features"]),
        udf=base64.b64decode(data["udf"]),
        udf_source=data["udf_source"],
    )


def _service(data: dict[str, Any]) -> FeatureServiceSchema:
    return FeatureServiceSchema(
        name=data["name"],
        projections=tuple(
            Projection(
                view=item["view"],
                output_name=item["output_name"],
                features=tuple(item["features"]),
                join_key_map=tuple((key, column) for key, column in item["join_key_map"]),
            )
            for item in data["projections"]
        ),
        defaults=tuple(FeatureDefault(**item) for item in data["defaults"]),
        on_unavailable=OnUnavailable(data["on_unavailable"]),
        max_stale_us=data["max_stale_us"],
        description=data["description"],
        owner=data["owner"],
        refusal=None if data["refusal"] is None else Refusal(**data["refusal"]),
    )
