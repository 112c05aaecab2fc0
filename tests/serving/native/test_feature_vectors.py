"""`POST /v1/feature-vectors` of a real worker."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import ormsgpack
import pyarrow as pa
import pytest

from evenstore.clock import datetime_to_us, format_us
from tests.serving import rows
from tests.serving.processes import LIMITS, Running, run_worker
from tests.serving.stack import Stack

PACK = "application/msgpack"
ARROW = "application/vnd.apache.arrow.stream"
NULLS = [None] * len(rows.JSON_VALUES)
EVENT, OLD_EVENT = (format_us(datetime_to_us(each)) for each in (rows.EVENT, rows.OLD_EVENT))
# In /v1 an instant is a text, and so is every NaN.
JSON_VALUES = rows.JSON_VALUES | {"f_time": "1969-12-31T23:59:59Z"}


def post(worker: Running, body: Any = None, **options: Any) -> httpx.Response:
    return httpx.post(f"{worker.url}/v1/feature-vectors", json=body, timeout=60, **options)


def ask(worker: Running, *entity_rows: Any, **body: Any) -> Any:
    asked = body if "features" in body else {"feature_service": "all_types", **body}
    response = post(worker, {**asked, "entity_rows": list(entity_rows)})
    assert response.status_code == 200, response.text
    return response.json()


def customer(customer_id: object, **more: object) -> dict[str, object]:
    return {"customer_id": customer_id, **more}


def refused(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    assert error["message"]
    assert error["hint"]
    return response.status_code, error["code"]


def test_an_answer_has_a_vector_per_entity_row_in_order(worker: Running) -> None:
    ids = [rows.EXPIRED, rows.FRESH, rows.NULLS, rows.UNKNOWN, rows.FRESH]
    answer = ask(worker, *map(customer, ids))
    assert answer["feature_names"] == list(rows.JSON_VALUES)
    vectors = answer["feature_vectors"]
    assert [vector["keys"] for vector in vectors] == [{"customer_id": each} for each in ids]
    values = list(JSON_VALUES.values())
    assert [vector["values"] for vector in vectors] == [NULLS, values, NULLS, NULLS, values]
    assert [set(vector["statuses"]) for vector in vectors] == [
        {"OUTSIDE_MAX_AGE"},
        {"PRESENT"},
        {"NULL_VALUE"},
        {"NOT_FOUND"},
        {"PRESENT"},
    ]
    events = [OLD_EVENT, EVENT, EVENT, None, EVENT]
    assert [vector["event_timestamps"] for vector in vectors] == [
        {"numbers": event} for event in events
    ]
    assert [vector["error"] for vector in vectors] == [None] * 5


def test_an_answer_says_what_it_holds_for(worker: Running) -> None:
    response = post(worker, {"feature_service": "all_types", "entity_rows": [customer(rows.FRESH)]})
    answer = response.json()
    assert answer["as_of"] == format_us(answer["as_of_us"]) == response.headers["evenstore-as-of"]
    assert response.headers["evenstore-as-of-us"] == str(answer["as_of_us"])
    assert (answer["clock"], answer["degraded"]) == ("system", False)
    assert "evenstore-degraded" not in response.headers
    (vector,) = answer["feature_vectors"]
    age_us = answer["as_of_us"] - datetime_to_us(rows.EVENT)
    assert vector["ages_s"] == {"numbers": age_us / 1_000_000}


def test_nan_and_infinities_are_texts_in_json(worker: Running) -> None:
    references = ["numbers:f_float32", "numbers:f_float64", "numbers:f_int32"]
    answer = ask(worker, customer(rows.SPECIAL), features=references, full_feature_names=True)
    assert answer["feature_names"] == [each.replace(":", "__") for each in references]
    (vector,) = answer["feature_vectors"]
    assert vector["values"] == ["Infinity", "NaN", None]
    assert vector["statuses"] == ["PRESENT", "PRESENT", "NULL_VALUE"]


def test_message_pack_keeps_bytes_instants_and_nan(worker: Running) -> None:
    body = {"feature_service": "all_types", "entity_rows": [customer(rows.FRESH), customer("x")]}
    response = post(
        worker, content=ormsgpack.packb(body), headers={"content-type": PACK, "accept": PACK}
    )
    assert response.headers["content-type"] == PACK
    answer = ormsgpack.unpackb(response.content)
    vector, bad = answer["feature_vectors"]
    values = dict(zip(answer["feature_names"], vector["values"], strict=True))
    assert values["f_int64"] == rows.INT64
    assert values["f_bytes"] == b"\x00\xff"
    assert values["f_blobs"] == [b"a", b""]
    assert values["f_time"] == "1969-12-31T23:59:59Z"
    assert math.isnan(values["f_floats"][1])
    assert vector["event_timestamps"] == {"numbers": EVENT}
    assert answer["as_of"] == format_us(answer["as_of_us"])
    assert bad["error"]["code"] == "entity-rows"


def test_arrow_has_the_declared_types_whatever_rows_are_asked_for(worker: Running) -> None:
    schemas = set()
    for ids in ([rows.FRESH, rows.SPECIAL], [rows.UNKNOWN], ["bad"]):
        body = {"feature_service": "all_types", "entity_rows": [customer(each) for each in ids]}
        response = post(worker, body, headers={"accept": ARROW})
        assert response.headers["content-type"] == ARROW
        table = pa.ipc.open_stream(response.content).read_all()
        assert table.num_rows == len(ids)
        schemas.add(table.schema.remove_metadata().to_string())
        assert b'"degraded":false' in table.schema.metadata[b"evenstore"]
    (schema,) = schemas
    assert "f_int64: int64" in schema
    types = table.schema.field("values").type
    assert types.field("f_float32").type == pa.float32()
    assert types.field("f_time").type == pa.timestamp("us", "UTC")
    assert types.field("f_blobs").type == pa.list_(pa.binary())
    assert table.schema.field("keys").type.field("customer_id").type == pa.int64()
    assert table["error"].to_pylist()[0]["code"] == "entity-rows"


def test_bytes_keys_and_a_view_without_ttl(worker: Running) -> None:
    answer = ask(worker, {"document_id": "AGRvYw=="}, features=["scans:pages"])
    (vector,) = answer["feature_vectors"]
    assert vector["keys"] == {"document_id": "AGRvYw=="}
    assert vector["values"] == [3]
    packed = ormsgpack.packb(
        {"features": ["scans:pages"], "entity_rows": [{"document_id": b"\x00doc"}]}
    )
    response = post(worker, content=packed, headers={"content-type": PACK})
    assert response.json()["feature_vectors"][0]["values"] == [3]


def test_one_bad_row_leaves_the_others(worker: Running) -> None:
    answer = ask(worker, customer(rows.FRESH), customer("7"), customer(None), {}, 5)
    first, *others = answer["feature_vectors"]
    assert first["values"] == list(JSON_VALUES.values())
    for vector in others:
        assert vector["values"] == NULLS
        assert set(vector["statuses"]) == {"INVALID"}
        assert vector["keys"] == {"customer_id": None}
        assert vector["event_timestamps"] == {"numbers": None}
        assert vector["ages_s"] == {"numbers": None}
        assert vector["error"]["code"] == "entity-rows"
        assert vector["error"]["hint"]
    assert "in row 1" in others[0]["error"]["message"]


def test_on_error_fail_answers_the_first_error(worker: Running) -> None:
    entity_rows = [customer(rows.FRESH), customer(None), customer("x")]
    body = {"feature_service": "all_types", "entity_rows": entity_rows, "on_error": "fail"}
    response = post(worker, body)
    assert refused(response) == (422, "entity-rows")
    assert "null in row 1" in response.json()["error"]["message"]
    assert post(worker, {**body, "entity_rows": entity_rows[:1]}).status_code == 200


def test_request_data_is_checked_row_by_row(worker: Running) -> None:
    entity_rows = [
        customer(rows.FRESH, amount=1),
        customer(rows.FRESH, amount="a lot"),
        customer(rows.UNKNOWN, amount=2.5),
        customer(rows.FRESH, amount="Infinity"),
        customer(rows.FRESH),
    ]
    answer = ask(worker, *entity_rows, feature_service="checkout")
    vectors = answer["feature_vectors"]
    assert [vector["values"] for vector in vectors] == [
        [0.1, 10.0],
        [None, None],
        [None, None],
        [0.1, "Infinity"],
        [None, None],
    ]
    assert [vector["error"] is None for vector in vectors] == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"feature_service": "nope", "entity_rows": [{}]}, (404, "unknown-feature-service")),
        ({"features": ["numbers:nope"], "entity_rows": [{}]}, (404, "unknown-feature")),
        ({"feature_service": "all_types", "entity_rows": []}, (422, "invalid-request")),
        (
            {"features": ["numbers:f_string", "profile:f_string"], "entity_rows": [{}]},
            (422, "invalid-request"),
        ),
        (
            {"features": [f"a:f{i}" for i in range(LIMITS.max_features + 1)], "entity_rows": [{}]},
            (413, "request-too-large"),
        ),
        (
            {"feature_service": "checkout", "entity_rows": [{}] * (LIMITS.max_entity_rows + 1)},
            (413, "request-too-large"),
        ),
        (
            {"feature_service": "all_types", "entity_rows": [{}] * (LIMITS.max_values // 10 + 1)},
            (413, "request-too-large"),
        ),
        (
            {
                "feature_service": "all_types",
                "entity_rows": [{}],
                "as_of": "2026-01-01T00:00:00Z",
            },
            (422, "invalid-request"),
        ),
    ],
    ids=repr,
)
def test_client_errors_have_the_one_shape(
    worker: Running, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert refused(post(worker, body)) == expected


def test_forms_that_nobody_has_are_refused(worker: Running) -> None:
    body = {"feature_service": "all_types", "entity_rows": [customer(rows.FRESH)]}
    assert refused(post(worker, body, headers={"accept": "text/html"})) == (406, "not-acceptable")
    response = post(worker, content=b"x=1", headers={"content-type": "text/plain"})
    assert refused(response) == (415, "invalid-request")


@pytest.mark.slow
def test_an_instant_may_be_asked_for_in_test_mode(stack: Stack, tmp_path: Path) -> None:
    environ = {"EVENSTORE_TEST_MODE": "1"}
    with run_worker(tmp_path, stack.schema_path, stack.redis.url, environ=environ) as worker:
        valid = ask(worker, customer(rows.EXPIRED), as_of=OLD_EVENT)
        assert valid["as_of"] == OLD_EVENT
        (vector,) = valid["feature_vectors"]
        assert vector["values"] == list(JSON_VALUES.values())
        assert vector["ages_s"] == {"numbers": 0.0}
        early = format_us(datetime_to_us(rows.OLD_EVENT - timedelta(hours=1)))
        (vector,) = ask(worker, customer(rows.EXPIRED), as_of=early)["feature_vectors"]
        assert vector["error"]["code"] == "future-row"
        assert vector["values"] == NULLS
