from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from evenstore.client.exchange import Reply, failure_of
from evenstore.client.protocol import (
    encode_request,
    parse_online_features,
    parse_readiness,
)
from evenstore.errors import EntityRowsError, GatewayError
from evenstore.semantics import Status

HEADERS = {"evenstore-as-of-us": "1700000000000001", "evenstore-clock": "frozen"}


def encoded(values: list[object]) -> list[Any]:
    body = encode_request(
        {"key": values}, feature_service=None, features=["v:f"], full_feature_names=False
    )
    sent = json.loads(body)
    assert sent["features"] == ["v:f"]
    columns: list[Any] = sent["entities"]["key"]
    return columns


def test_request_names_what_is_asked() -> None:
    body = encode_request(
        {"a": [1], "b": ["x"]}, feature_service="s", features=None, full_feature_names=True
    )
    assert json.loads(body) == {
        "feature_service": "s",
        "entities": {"a": [1], "b": ["x"]},
        "full_feature_names": True,
    }


def test_integers_stay_exact() -> None:
    values: list[object] = [2**63 - 1, -(2**63), 2**53 + 1, 0]
    assert encoded(values) == values


def test_values_take_their_json_form() -> None:
    instant = datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)
    values: list[object] = ["Grüße", b"\x00\xff", instant, None, True, 0.1, [b"a", 1], (1, "x")]
    assert encoded(values) == ["Grüße", "AP8=", -1, None, True, 0.1, ["YQ==", 1], [1, "x"]]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        object(),
        datetime.fromisoformat("2024-01-01"),
        {"a": 1},
        [object()],
    ],
)
def test_values_without_a_json_form_are_refused(value: object) -> None:
    with pytest.raises(EntityRowsError, match="`key`, row 1"):
        encoded([1, value])


def answer(**changes: Any) -> bytes:
    column = {
        "values": [1, None],
        "statuses": ["PRESENT", "NOT_FOUND"],
        "event_timestamps": ["2024-01-02T03:04:05.000006Z", "1970-01-01T00:00:00Z"],
        **changes,
    }
    return json.dumps({"metadata": {"feature_names": ["f"]}, "results": [column]}).encode()


def test_answer_is_read_exactly() -> None:
    features = parse_online_features(answer(values=[2**53 + 1, None]), HEADERS)
    assert features.values == {"f": [2**53 + 1, None]}
    assert features.statuses == {"f": [Status.PRESENT, Status.NOT_FOUND]}
    assert features.event_us == {"f": [1_704_164_645_000_006, None]}
    assert features.as_of_us == 1_700_000_000_000_001
    assert features.is_clock_frozen


def test_a_row_of_1970_is_no_missing_row() -> None:
    first_us = "1970-01-01T00:00:00Z"
    features = parse_online_features(
        answer(statuses=["PRESENT", "PRESENT"], event_timestamps=[first_us, first_us]), HEADERS
    )
    assert features.event_us == {"f": [0, 0]}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b"\xff",
        answer(statuses=["SOMETIMES", "PRESENT"]),
        answer(event_timestamps=[]),
        answer(event_timestamps=["yesterday", "today"]),
    ],
)
def test_answers_of_something_else_are_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        parse_online_features(body, HEADERS)
    assert raised.value.remote_code == "unknown"
    with pytest.raises(GatewayError):
        parse_readiness(body)


def test_answer_without_its_instant_is_refused() -> None:
    with pytest.raises(GatewayError):
        parse_online_features(answer(), {})


def test_error_in_the_gateways_form_is_a_failure() -> None:
    error: dict[str, Any] = {"code": "entity-rows", "message": "m", "hint": None, "details": {}}
    failure = failure_of(Reply(422, {}, json.dumps({"error": error}).encode()))
    assert failure is not None
    assert not failure.may_pass
    assert (failure.error.status, failure.error.remote_code) == (422, "entity-rows")
    assert str(failure.error) == "m"
    assert failure.error.hint is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b"[]", b'{"error": "no"}', b"[" * 100_000]
)
def test_error_in_another_form_is_a_failure(body: bytes) -> None:
    failure = failure_of(Reply(502, {}, body))
    assert failure is not None
    assert (failure.error.status, failure.error.remote_code) == (502, "unknown")


@pytest.mark.parametrize("status", [429, 503, 504])
def test_failure_that_may_pass_says_when_to_come_back(status: int) -> None:
    failure = failure_of(Reply(status, {"retry-after": "7", "x-request-id": "r"}, b""))
    assert failure is not None
    assert failure.may_pass
    assert failure.retry_after_s == 7.0
    assert failure.request_id == "r"


@pytest.mark.parametrize("text", ["", "soon", "-5", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_retry_after_in_another_form_counts_as_none(text: str) -> None:
    failure = failure_of(Reply(503, {"retry-after": text}, b""))
    assert failure is not None
    assert failure.retry_after_s == 0.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 502])
def test_other_failures_do_not_pass(status: int) -> None:
    failure = failure_of(Reply(status, {"retry-after": "1"}, b""))
    assert failure is not None
    assert not failure.may_pass


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_is_no_failure(status: int) -> None:
    assert failure_of(Reply(status, {}, b"anything")) is None


def test_importing_the_client_imports_nothing_heavy() -> None:
    heavy = ("feast", "redis", "duckdb", "pandas", "pyarrow", "numpy", "fastapi")
    code = (
        "import sys, evenstore.client.http\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert listed.stdout.strip() == "[]"
