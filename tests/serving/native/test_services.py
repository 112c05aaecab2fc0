"""`GET /v1/feature-services` and `GET /v1/feature-views/{name}/freshness` of a real worker."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from evenstore.clock import format_us
from evenstore.compute.watermark import Watermark, mark_store, write_watermark
from evenstore.schema.document import read_document, write_document
from evenstore.schema.model import FeatureDefault
from evenstore.schema.request import resolve_service
from evenstore.semantics import OnUnavailable
from tests.serving import rows
from tests.serving.processes import Running, run_worker
from tests.serving.stack import Stack
from tests.serving.tiny_repo import PROJECT, TTL


def get(worker: Running, path: str) -> Any:
    response = worker.get(f"/v1/{path}")
    assert response.status_code == 200, response.text
    return response.json()


def test_all_services_are_listed(stack: Stack) -> None:
    listed = get(stack.worker, "feature-services")
    schema = read_document(stack.schema_path)
    assert listed["project"] == PROJECT
    assert listed["registry_fingerprint"] == schema.fingerprint
    assert [
        (each["name"], each["n_features"], each["problem"]) for each in listed["feature_services"]
    ] == [("all_types", 10, None), ("checkout", 2, None)]
    for each in listed["feature_services"]:
        fingerprint = resolve_service(schema, each["name"]).fingerprint
        assert each["schema_fingerprint"] == fingerprint


def test_a_service_is_described(worker: Running) -> None:
    service = get(worker, "feature-services/checkout")
    assert service["join_keys"] == [{"name": "customer_id", "dtype": "Int64"}]
    assert service["request_data"] == [{"name": "amount", "dtype": "Float64"}]
    assert service["features"] == [
        {
            "name": "f_float64",
            "feature_view": "numbers",
            "dtype": "Float64",
            "is_on_demand": False,
            "ttl_s": TTL.total_seconds(),
            "default": None,
        },
        {
            "name": "ratio",
            "feature_view": "spend",
            "dtype": "Float64",
            "is_on_demand": True,
            "ttl_s": None,
            "default": None,
        },
    ]
    assert (service["on_unavailable"], service["max_stale_s"]) == ("closed", 0.0)


@pytest.mark.parametrize("name", ["all_types", "checkout"])
def test_bodies_are_as_the_service_describes_them(worker: Running, name: str) -> None:
    service = get(worker, f"feature-services/{name}")
    ids = [rows.FRESH, rows.NULLS, rows.SPECIAL, rows.EXPIRED, rows.UNKNOWN]
    body = {
        "feature_service": name,
        "entity_rows": [{"customer_id": each, "amount": 2.5} for each in ids],
    }
    checks = jsonschema_rs.Draft202012Validator
    checks(service["request_schema"]).validate(body)
    answer = httpx.post(f"{worker.url}/v1/feature-vectors", json=body, timeout=60).json()
    checks(service["response_schema"]).validate(answer)
    assert answer["schema_fingerprint"] == service["schema_fingerprint"]
    bad = {**body, "entity_rows": [{"customer_id": "7"}]}
    assert not checks(service["request_schema"]).is_valid(bad)
    assert not checks(service["response_schema"]).is_valid({**answer, "degraded": "no"})


def test_what_is_not_registered_is_not_found(worker: Running) -> None:
    for path in ("feature-services/nope", "feature-views/nope/freshness"):
        response = worker.get(f"/v1/{path}")
        assert response.status_code == 404
        assert response.json()["error"]["hint"]


@pytest.mark.slow
def test_declarations_and_problems_are_shown(stack: Stack, tmp_path: Path) -> None:
    schema = read_document(stack.schema_path)
    all_types, checkout = schema.feature_services
    declared = dataclasses.replace(
        all_types,
        defaults=(FeatureDefault("numbers", "f_string", '"?"'),),
        on_unavailable=OnUnavailable.OPEN,
        max_stale_us=7_200_000_000,
        description="Everything.",
        owner="risk@example.com",
    )
    broken = tuple(dataclasses.replace(view, mode="substrait") for view in schema.on_demand_views)
    schema = dataclasses.replace(
        schema, feature_services=(declared, checkout), on_demand_views=broken
    )
    path = tmp_path / "schema.json"
    write_document(schema, path)
    with run_worker(tmp_path, path, stack.redis.url) as worker:
        first, second = get(worker, "feature-services")["feature_services"]
        assert (first["description"], first["owner"]) == ("Everything.", "risk@example.com")
        assert second["schema_fingerprint"] is None
        assert "substrait" in second["problem"]
        assert worker.get("/v1/feature-services/checkout").status_code == 500
        service = get(worker, "feature-services/all_types")
        assert (service["on_unavailable"], service["max_stale_s"]) == ("open", 7200.0)
        assert {each["name"]: each["default"] for each in service["features"]}["f_string"] == "?"


def test_a_view_that_no_run_loaded_has_no_watermark(worker: Running) -> None:
    fresh = get(worker, "feature-views/profile/freshness")
    assert fresh["is_materialized"] is False
    assert fresh["watermark"] is fresh["age_s"] is fresh["last_materialized"] is None
    assert fresh["ttl_s"] is None


def test_a_loaded_view_tells_its_watermark(stack: Stack) -> None:
    with stack.redis.client() as client:
        mark = mark_store(client, PROJECT, "scans")
        end_us, loaded_us = 1_700_000_000_000_000, 1_700_000_100_000_001
        watermark = Watermark(end_us, {"a.parquet": (1, 2)}, "0", loaded_us)
        write_watermark(client, PROJECT, "scans", watermark, mark=mark)
    fresh = get(stack.worker, "feature-views/scans/freshness")
    assert fresh["is_materialized"] is True
    assert (fresh["watermark_us"], fresh["watermark"]) == (end_us, format_us(end_us))
    assert (fresh["last_materialized_us"], fresh["last_materialized"]) == (
        loaded_us,
        format_us(loaded_us),
    )
    assert fresh["age_s"] == (fresh["as_of_us"] - end_us) / 1_000_000
