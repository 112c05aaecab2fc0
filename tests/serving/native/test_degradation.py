"""What declared services answer where values are missing, old, unreadable, or Redis is away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import split_slots, view_id
from evenstore.dtypes import Dtype
from evenstore.schema.document import write_document
from evenstore.schema.model import Field
from tests.serving.native import degraded_repo as repo
from tests.serving.native.degraded_repo import FRESH, NULLS, OLD, OLDER, TORN, UNKNOWN
from tests.serving.processes import Running, run_worker, wait_until
from tests.serving.redis_process import RedisProcess
from tests.support.packed_entity import join_slots

pytestmark = [pytest.mark.slow, pytest.mark.redis]

NAMES = ["orders", "spend", "country", "tag", "next_order"]
PRESENT, INVALID = ["PRESENT"] * 5, ["INVALID"] * 5
DEFAULTS = [0, None, "?", "AP8=", 1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A Redis with rows; a test that stops it starts and fills it again."""
    process = RedisProcess(tmp_path_factory.mktemp("redis"))
    start(process)
    yield process
    process.kill()


@pytest.fixture(scope="module")
def schema_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    write_document(repo.SCHEMA, path)
    return path


@pytest.fixture(scope="module")
def worker(
    server: RedisProcess, schema_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with run_worker(tmp_path_factory.mktemp("worker"), schema_path, server.url) as running:
        yield running


def start(server: RedisProcess) -> None:
    server.start()
    with server.client() as client:
        repo.fill(client, datetime.now(tz=UTC))


def post(worker: Running, service: str, *customers: int, **more: Any) -> httpx.Response:
    rows = [{"customer_id": customer, **more} for customer in customers]
    body = {"feature_service": service, "entity_rows": rows}
    return httpx.post(f"{worker.url}/v1/feature-vectors", json=body, timeout=60)


def vectors(response: httpx.Response) -> list[tuple[list[Any], list[str]]]:
    assert response.status_code == 200, response.text
    return [(each["values"], each["statuses"]) for each in response.json()["feature_vectors"]]


def feast_columns(worker: Running, service: str, customer: int) -> dict[str, tuple[Any, str]]:
    response = worker.post({"feature_service": service, "entities": {"customer_id": [customer]}})
    assert response.status_code == 200, response.text
    answer = response.json()
    columns = zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
    return {name: (each["values"][0], each["statuses"][0]) for name, each in columns}


def break_row(server: RedisProcess) -> None:
    key = PackedKeyEncoder([Field("customer_id", Dtype.INT64)], repo.PROJECT).encode([TORN])
    with server.client() as client:
        slots = split_slots(client.execute_command("GET", key))
        slots[view_id("activity")] = b"\xff\xff"
        client.execute_command("SET", key, join_slots(slots))


def test_defaults_and_stale_values_with_true_statuses(worker: Running) -> None:
    customers = (FRESH, NULLS, OLD, OLDER, UNKNOWN)
    stale, gone = "OUTSIDE_MAX_AGE", "NOT_FOUND"
    assert vectors(post(worker, "open", *customers)) == [
        ([4, 10.0, "GB", "eA==", 5], PRESENT),
        ([0, None, "?", "AP8=", 1], ["NULL_VALUE"] * 2 + [gone] * 2 + ["NULL_VALUE"]),
        ([4, 10.0, "GB", "eA==", 5], [stale, stale, "PRESENT", "PRESENT", stale]),
        ([0, None, "?", "AP8=", 1], [stale, stale, gone, gone, stale]),
        (DEFAULTS, [gone] * 5),
    ]
    assert vectors(post(worker, "strict", *customers)) == [
        ([4, 10.0, "GB", "eA==", 5], PRESENT),
        ([None] * 5, ["NULL_VALUE"] * 2 + [gone] * 2 + ["NULL_VALUE"]),
        ([None, None, "GB", "eA==", None], [stale, stale, "PRESENT", "PRESENT", stale]),
        ([None] * 5, [stale, stale, gone, gone, stale]),
        ([None] * 5, [gone] * 5),
    ]


def test_feasts_form_answers_the_same_values(worker: Running) -> None:
    for service in ("open", "strict"):
        for customer in (FRESH, NULLS, OLD, OLDER, UNKNOWN):
            ((values, statuses),) = vectors(post(worker, service, customer))
            columns = feast_columns(worker, service, customer)
            assert [columns[name] for name in NAMES] == list(zip(values, statuses, strict=True))


def test_an_unreadable_row_costs_an_open_service_its_view_alone(
    worker: Running, server: RedisProcess
) -> None:
    break_row(server)
    response = post(worker, "open", TORN, OLD)
    first, second = response.json()["feature_vectors"]
    assert first["values"] == [0, None, "GB", "eA==", 1]
    assert first["statuses"] == ["INVALID", "INVALID", "PRESENT", "PRESENT", "INVALID"]
    assert first["error"]["code"] == "corrupt-row"
    assert second["error"] is None
    assert "evenstore-degraded" not in response.headers
    columns = feast_columns(worker, "open", TORN)
    pairs = zip(first["values"], first["statuses"], strict=True)
    assert [columns[name] for name in NAMES] == list(pairs)


def test_an_unreadable_row_costs_a_closed_service_the_entity_row(
    worker: Running, server: RedisProcess
) -> None:
    break_row(server)
    first, second = post(worker, "strict", TORN, OLD).json()["feature_vectors"]
    assert first["statuses"] == INVALID
    assert first["values"] == [None] * 5
    assert first["error"]["code"] == "corrupt-row"
    assert second["values"][2] == "GB"
    # Feast's form has no place for an entity row's error: the view's features are INVALID.
    columns = feast_columns(worker, "strict", TORN)
    assert [columns[name][1] for name in NAMES[:2]] == ["INVALID"] * 2


def test_an_outage_is_answered_by_defaults_only_where_the_service_fails_open(
    worker: Running, server: RedisProcess
) -> None:
    assert vectors(post(worker, "open", FRESH))[0][1] == PRESENT
    server.kill()
    refused = post(worker, "strict", FRESH)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    response = post(worker, "open", FRESH, UNKNOWN)
    assert vectors(response) == [(DEFAULTS, INVALID)] * 2
    assert response.headers["evenstore-degraded"] == "true"
    answer = response.json()
    assert answer["degraded"] is True
    (first, _) = answer["feature_vectors"]
    assert first["error"] is None
    assert first["event_timestamps"] == {"activity": None, "profile": None}
    start(server)
    wait_until(
        lambda: post(worker, "strict", UNKNOWN).status_code == 200, "the worker finds Redis again"
    )
    response = post(worker, "open", UNKNOWN)
    assert response.json()["degraded"] is False
    assert vectors(response)[0][1] == ["NOT_FOUND"] * 5


def test_a_worker_loads_pandas_only_for_a_view_of_that_mode(
    worker: Running, schema_path: Path
) -> None:
    assert vectors(post(worker, "open", FRESH))[0][1] == PRESENT
    maps = Path(f"/proc/{worker.process.pid}/maps")
    if maps.exists():
        assert "pandas" not in maps.read_text(), "loaded for nothing"
    write_document(repo.TAXED, schema_path)
    wait_until(
        lambda: post(worker, "taxed", FRESH, rate=0.5).status_code == 200, "the service is served"
    )
    answers = [
        vectors(post(worker, "taxed", *customers, rate=0.5))
        for customers in ((FRESH,), (NULLS, FRESH), (UNKNOWN,))
    ]
    gross = ([15.0], ["PRESENT"])
    assert answers == [
        [gross],
        [([None], ["NULL_VALUE"]), gross],
        [([None], ["NOT_FOUND"])],
    ], "a declared float whatever rows are in the batch"
    if maps.exists():
        assert "pandas" in maps.read_text()
