"""The document: the same schema back, or a clear refusal."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import FormatVersionError, SchemaError
from evenstore.schema.document import (
    dump_registry_schema,
    load_registry_schema,
    read_document,
    write_document,
)
from evenstore.schema.model import FeatureViewSchema, Field, RegistrySchema
from tests.evenstore.schema.schemas import REGISTRY

EMPTY = RegistrySchema("empty", (), (), ())


@pytest.mark.parametrize("schema", [REGISTRY, EMPTY], ids=["full", "empty"])
def test_schema_comes_back_as_it_was(schema: RegistrySchema, tmp_path: Path) -> None:
    path = tmp_path / "new" / "schema.json"
    write_document(schema, path)
    assert read_document(path) == schema
    assert [entry.name for entry in path.parent.iterdir()] == ["schema.json"]


def test_types_that_are_kept_offline_only_come_back_as_they_were() -> None:
    names = ("Uuid", "Array(Set(Map))", 'Struct({"a, \\"b": Array(Struct({"c": Json}))})')
    fields = tuple(Field(f"f{i}", Dtype(name)) for i, name in enumerate(names))
    schema = RegistrySchema("rich", (FeatureViewSchema("v", (), fields, None),), (), ())
    loaded = load_registry_schema(dump_registry_schema(schema))
    assert loaded == schema
    assert loaded.fingerprint == schema.fingerprint
    assert all(
        mine.dtype is other.dtype
        for mine, other in zip(loaded.feature_views[0].features, fields, strict=True)
    )


def set_ttl(document: Any) -> None:
    document["registry"]["feature_views"][1]["ttl_us"] = 1


def set_function(document: Any) -> None:
    document["registry"]["on_demand_views"][0]["udf"] = base64.b64encode(b"evil").decode()


def drop_views(document: Any) -> None:
    del document["registry"]["feature_views"]


def drop_registry(document: Any) -> None:
    del document["registry"]


def drop_hash(document: Any) -> None:
    del document["sha256"]


def set_dtype(document: Any) -> None:
    document["registry"]["feature_views"][0]["features"][0]["dtype"] = "Decimal"


@pytest.mark.parametrize(
    "tamper", [set_ttl, set_function, drop_views, drop_registry, drop_hash, set_dtype]
)
def test_changed_document_is_refused(tamper: Callable[[Any], None]) -> None:
    document = json.loads(dump_registry_schema(REGISTRY))
    tamper(document)
    with pytest.raises(SchemaError, match="does not match its hash") as caught:
        load_registry_schema(json.dumps(document))
    assert caught.value.hint == "delete the file: it is compiled anew from the registry"


def test_document_cut_short_is_refused() -> None:
    text = dump_registry_schema(REGISTRY)
    for part in ("", text[:10], text[:-3]):
        with pytest.raises(SchemaError, match="is no JSON"):
            load_registry_schema(part)


@pytest.mark.parametrize("text", ["[]", "{}", '{"document_version": 1}', "null"])
def test_document_of_another_version_is_refused(text: str) -> None:
    with pytest.raises(FormatVersionError, match="this reader knows 4"):
        load_registry_schema(text)


def test_failed_write_leaves_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    write_document(REGISTRY, path)
    broken = RegistrySchema("broken", (object(),), (), ())  # type: ignore[arg-type] # the point
    with pytest.raises(TypeError, match="not schema data"):
        write_document(broken, path)
    assert read_document(path) == REGISTRY
    assert [entry.name for entry in tmp_path.iterdir()] == ["schema.json"]
