from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from evenstore.clock import datetime_to_us, format_us
from tests.serving import rows
from tests.serving.processes import Running

NO_TIMESTAMP = "1970-01-01T00:00:00Z"


def look_up(worker: Running, **request: Any) -> dict[str, dict[str, list[Any]]]:
    response = worker.post(request)
    assert response.status_code == 200, response.text
    answer = response.json()
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


def test_every_type_keeps_its_value(worker: Running) -> None:
    columns = look_up(worker, feature_service="all_types", entities={"customer_id": [rows.FRESH]})
    values = {name: column["values"][0] for name, column in columns.items()}
    assert values == {"customer_id": rows.FRESH, **rows.JSON_VALUES}
    # `==` takes 1 for True and 1.0: the types of the JSON count, too.
    assert {name: type(value) for name, value in values.items()} == {
        "customer_id": int,
        **{name: type(value) for name, value in rows.JSON_VALUES.items()},
    }


def test_statuses_and_timestamps_are_true(worker: Running) -> None:
    ids = [rows.FRESH, rows.NULLS, rows.EXPIRED, rows.UNKNOWN]
    columns = look_up(worker, feature_service="all_types", entities={"customer_id": ids})
    event, old_event = (format_us(datetime_to_us(e)) for e in (rows.EVENT, rows.OLD_EVENT))
    for name, value in rows.JSON_VALUES.items():
        assert columns[name] == {
            "values": [value, None, None, None],
            "statuses": ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
            "event_timestamps": [event, event, old_event, NO_TIMESTAMP],
        }


def test_join_keys_come_first_as_feast_has_them(worker: Running) -> None:
    ids = [rows.UNKNOWN, rows.FRESH]
    columns = look_up(worker, feature_service="all_types", entities={"customer_id": ids})
    assert next(iter(columns)) == "customer_id"
    assert columns["customer_id"] == {
        "values": ids,
        "statuses": ["PRESENT", "PRESENT"],
        "event_timestamps": [NO_TIMESTAMP, NO_TIMESTAMP],
    }


def test_features_come_in_the_order_asked_for(worker: Running) -> None:
    references = ["numbers:f_time", "profile:f_string", "numbers:f_bool", "numbers:f_int64"]
    columns = look_up(worker, features=references, entities={"customer_id": [rows.FRESH]})
    assert list(columns) == ["customer_id", "f_time", "f_string", "f_bool", "f_int64"]
    assert columns["f_string"]["values"] == ["p"]
    assert columns["f_string"]["statuses"] == ["PRESENT"], "this view has no ttl"


def test_repeated_entity_rows_stay_in_place(worker: Running) -> None:
    ids = [rows.FRESH, rows.UNKNOWN, rows.FRESH]
    columns = look_up(worker, features=["numbers:f_int32"], entities={"customer_id": ids})
    assert columns["f_int32"]["values"] == [-5, None, -5]


def test_nan_is_null_but_present_and_infinity_is_text(worker: Running) -> None:
    columns = look_up(
        worker,
        features=["numbers:f_float32", "numbers:f_float64"],
        entities={"customer_id": [rows.SPECIAL]},
    )
    assert columns["f_float32"]["values"] == ["Infinity"]
    assert columns["f_float64"]["values"] == [None]
    assert columns["f_float64"]["statuses"] == ["PRESENT"]


def test_full_names_carry_the_view(worker: Running) -> None:
    columns = look_up(
        worker,
        features=["profile:f_string", "numbers:f_string"],
        entities={"customer_id": [rows.FRESH]},
        full_feature_names=True,
    )
    assert list(columns) == ["customer_id", "profile__f_string", "numbers__f_string"]
    assert [column["values"][0] for column in columns.values()] == [rows.FRESH, "p", "Grüße"]


def test_metadata_names_the_views_read_when_asked(worker: Running) -> None:
    request = {
        "feature_service": "checkout",
        "entities": {"customer_id": [rows.FRESH], "amount": [1]},
        "include_feature_view_version_metadata": True,
    }
    views = worker.post(request).json()["metadata"]["feature_view_metadata"]
    assert views == [{"name": "numbers"}], "on-demand views are not read"


def test_bytes_keys_travel_as_base64(worker: Running) -> None:
    key = base64.b64encode(b"\x00doc").decode()
    columns = look_up(worker, features=["scans:pages"], entities={"document_id": [key, "AAAA"]})
    assert columns["document_id"]["values"] == [key, "AAAA"]
    assert columns["pages"]["values"] == [3, None]


def test_on_demand_features_use_request_data(worker: Running) -> None:
    columns = look_up(
        worker,
        feature_service="checkout",
        entities={"customer_id": [rows.FRESH, rows.UNKNOWN], "amount": [0.2, 1.0]},
    )
    assert list(columns) == ["customer_id", "f_float64", "ratio"]
    assert columns["ratio"]["values"] == [2.0, None]
    assert columns["ratio"]["statuses"] == ["PRESENT", "NOT_FOUND"]


def test_columns_nobody_asked_for_are_ignored(worker: Running) -> None:
    columns = look_up(
        worker,
        features=["numbers:f_int32"],
        entities={"customer_id": [rows.FRESH], "shoe_size": ["x"]},
    )
    assert list(columns) == ["customer_id", "f_int32"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json"])
def test_content_type_does_not_matter(worker: Running, content_type: str | None) -> None:
    response = httpx.post(
        f"{worker.url}/get-online-features",
        content=b'{"features": ["numbers:f_int32"], "entities": {"customer_id": [7]}}',
        headers={} if content_type is None else {"content-type": content_type},
        timeout=60,
    )
    assert response.json()["results"][1]["values"] == [-5]


def test_answers_state_their_instant(worker: Running) -> None:
    request = {"features": ["numbers:f_int32"], "entities": {"customer_id": [rows.FRESH]}}
    first, second = (worker.post(request).headers for _ in range(2))
    first_us, second_us = (int(headers["evenstore-as-of-us"]) for headers in (first, second))
    assert datetime_to_us(rows.EVENT) < first_us < second_us
    assert first["evenstore-as-of"] == format_us(first_us)
    assert first["evenstore-clock"] == "system"


def test_readiness_says_what_is_served(worker: Running) -> None:
    response = worker.get("/readyz")
    assert response.status_code == 200
    answer = response.json()
    assert (answer["status"], answer["project"], answer["clock"]) == ("ready", "tiny", "system")
    assert answer["as_of"] == format_us(answer["as_of_us"])
    assert len(answer["schema_fingerprint"]) == 16


def test_liveness_and_feast_health_answer(worker: Running) -> None:
    assert worker.get("/healthz").text == "ok"
    health = worker.get("/health")
    assert (health.status_code, health.content) == (200, b"")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health"])
def test_probes_may_ask_for_the_head_alone(worker: Running, path: str) -> None:
    with httpx.Client(base_url=worker.url, timeout=60) as client:
        head = client.head(path)
        whole = client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length"):
            if name in whole.headers and path != "/readyz":
                assert head.headers[name] == whole.headers[name]
        # A body would be taken for the next answer.
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/get-online-features/", "/healthz/", "/v1/feature-services/"])
def test_a_path_is_not_redirected_to_another(worker: Running, path: str) -> None:
    for method in ("GET", "POST"):
        response = httpx.request(method, worker.url + path, timeout=60)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "unknown-route"


def test_openapi_describes_bodies_with_examples(worker: Running) -> None:
    document = worker.get("/openapi.json").json()
    assert set(document["paths"]) >= {"/get-online-features", "/healthz", "/readyz", "/health"}
    lookup = document["paths"]["/get-online-features"]["post"]
    request = lookup["requestBody"]["content"]["application/json"]["schema"]
    assert request["required"] == ["entities"]
    assert request["examples"]
    assert set(lookup["responses"]) >= {"200", "404", "409", "413", "422", "500", "503", "504"}
    assert "evenstore-as-of-us" in lookup["responses"]["200"]["headers"]
    for name in ("OnlineFeaturesAnswer", "ErrorAnswer"):
        assert document["components"]["schemas"][name]["examples"]
