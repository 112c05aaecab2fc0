"""Exchanges of the `/v1` routes, judged by the examples that the gateway's document gives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from evenstore.client.exchange import Exchange, Reply
from evenstore.client.native import (
    feature_service_exchange,
    feature_services_exchange,
    feature_vectors_exchange,
    freshness_exchange,
)
from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError, EntityRowsError, GatewayError
from evenstore.semantics import Status
from serving.native.models import (
    FeatureVectorsAnswer,
    FeatureVectorsRequest,
    ServedService,
    ServedServices,
    ViewFreshness,
)


def exchange(rows: list[dict[str, object]], **options: Any) -> Exchange[Any]:
    given: dict[str, Any] = {
        "feature_service": None if "features" in options else "s",
        "features": None,
        "full_feature_names": False,
        "on_error": "row",
        "as_of": None,
        **options,
    }
    return feature_vectors_exchange(rows, **given)


def read(asked: Exchange[Any], answer: object) -> Any:
    return asked.read(Reply(200, {}, json.dumps(answer).encode()))


def example(model: Any) -> Any:
    return json.loads(json.dumps(model.model_config["json_schema_extra"]["examples"][0]))


def test_request_is_one_that_the_gateway_takes() -> None:
    instant = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    rows: list[dict[str, object]] = [
        {"id": 2**53 + 1, "at": instant, "raw": b"\x00\xff", "x": float("nan")},
        {"id": None, "list": [1.5, float("-inf")]},
    ]
    body = exchange(rows, full_feature_names=True, on_error="fail", as_of=instant).body
    assert body is not None
    request = FeatureVectorsRequest.model_validate_json(body)
    assert request.feature_service == "s"
    assert request.entity_rows == [
        {"id": 2**53 + 1, "at": "2024-01-02T03:04:05.000006Z", "raw": "AP8=", "x": "NaN"},
        {"id": None, "list": [1.5, "-Infinity"]},
    ]
    assert (request.full_feature_names, request.on_error) == (True, "fail")
    assert request.as_of == "2024-01-02T03:04:05.000006Z"


def test_request_holds_no_more_than_what_was_said() -> None:
    body = exchange([{"id": 1}], features=["v:f"]).body
    assert json.loads(body or b"") == {"features": ["v:f"], "entity_rows": [{"id": 1}]}


def test_answer_is_read_row_by_row() -> None:
    document = example(FeatureVectorsAnswer)
    FeatureVectorsAnswer.model_validate(document)
    answer = read(exchange([{}]), document)
    assert len(answer) == len(list(answer)) == 2
    assert answer.as_of_us == document["as_of_us"]
    assert (answer.is_clock_frozen, answer.is_degraded) == (False, False)
    first, second = answer[0], answer.vectors[1]
    assert first.as_dict() == {"orders_30d": 4, "country": "United Kingdom"}
    assert first.statuses_by_name() == {"orders_30d": Status.PRESENT, "country": Status.PRESENT}
    assert first.keys == {"customer_id": 17850}
    assert first.event_us["customer_activity"] == datetime_to_us(
        datetime(2011, 12, 9, 0, 30, tzinfo=UTC)
    )
    assert first.ages_s["customer_activity"] == 84600.0
    assert first.error is None
    assert second.statuses == (Status.INVALID, Status.INVALID)
    assert second.event_us == {"customer_activity": None, "customer_profile": None}
    assert second.error is not None
    assert (second.error.code, second.error.message[:8]) == ("entity-rows", "join key")


def broken(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = example(FeatureVectorsAnswer)
    document["feature_vectors"][0] = {**document["feature_vectors"][0], **changes}
    return document


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "text",
        broken(values=[1]),
        broken(statuses=["PRESENT"]),
        broken(statuses=["PRESENT", "SOMETIMES"]),
        broken(event_timestamps={"v": "yesterday"}),
        broken(event_timestamps=[]),
        broken(error={}),
    ],
)
def test_answers_of_something_else_are_refused(document: object) -> None:
    with pytest.raises(GatewayError) as raised:
        read(exchange([{}]), document)
    assert raised.value.remote_code == "unknown"


def test_services_are_read() -> None:
    summary = {
        "name": "s",
        "description": "d",
        "owner": "o",
        "schema_fingerprint": None,
        "n_features": 3,
        "problem": "p",
    }
    document = {"project": "x", "registry_fingerprint": "f", "feature_services": [summary]}
    ServedServices.model_validate(document)
    (service,) = read(feature_services_exchange(), document)
    assert (service.name, service.owner, service.n_features) == ("s", "o", 3)
    assert (service.schema_fingerprint, service.problem) == (None, "p")


def test_service_is_read() -> None:
    feature = {
        "name": "f",
        "feature_view": "v",
        "dtype": "Int64",
        "is_on_demand": False,
        "ttl_s": 60.0,
        "default": 0,
    }
    document = {
        "name": "s",
        "description": "d",
        "owner": "o",
        "schema_fingerprint": "f",
        "join_keys": [{"name": "id", "dtype": "Int64"}],
        "request_data": [],
        "features": [feature],
        "on_unavailable": "open",
        "max_stale_s": 5.0,
        "request_schema": {"type": "object"},
        "response_schema": {},
    }
    ServedService.model_validate(document)
    service = read(feature_service_exchange("s"), document)
    assert [(key.name, key.dtype) for key in service.join_keys] == [("id", "Int64")]
    assert service.request_data == ()
    assert (service.features[0].ttl_s, service.features[0].default) == (60.0, 0)
    assert service.is_fail_open
    assert service.request_schema == {"type": "object"}


def test_freshness_is_read() -> None:
    document = {
        "feature_view": "v",
        "as_of": "1970-01-01T00:00:00.000009Z",
        "as_of_us": 9,
        "ttl_s": None,
        "is_materialized": True,
        "watermark": "1970-01-01T00:00:00.000005Z",
        "watermark_us": 5,
        "age_s": 0.000004,
        "last_materialized": None,
        "last_materialized_us": None,
    }
    ViewFreshness.model_validate(document)
    freshness = read(freshness_exchange("v"), document)
    assert (freshness.watermark_us, freshness.as_of_us, freshness.age_s) == (5, 9, 0.000004)
    assert (freshness.is_materialized, freshness.last_materialized_us) == (True, None)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        exchange([{}], feature_service=None)
    with pytest.raises(ConfigurationError):
        exchange([{}], features=["v:f"], feature_service="s")
    with pytest.raises(ConfigurationError, match="zone"):
        exchange([{}], as_of=datetime.fromisoformat("2024-01-01"))
    with pytest.raises(EntityRowsError, match="`id`, row 1"):
        exchange([{"id": 1}, {"id": object()}])
