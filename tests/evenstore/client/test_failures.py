"""Retries and deadlines against a server that fails on purpose."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from typing import Any

import pytest

from evenstore.client.http import AsyncFeatureClient, FeatureClient, RetryPolicy
from evenstore.errors import GatewayError
from tests.evenstore.client.both_clients import Caller
from tests.evenstore.client.faulty_server import (
    FaultyServer,
    Step,
    answers,
    drips,
    faulty_server,
    hangs,
    resets,
    sends,
)

QUICK = RetryPolicy(max_attempts=3, first_pause_s=0.001)
LOOKUP: dict[str, Any] = {"entities": {"id": [1]}, "features": ["v:f"]}
ANSWER = json.dumps(
    {
        "metadata": {"feature_names": ["id"]},
        "results": [
            {
                "values": [1],
                "statuses": ["PRESENT"],
                "event_timestamps": ["1970-01-01T00:00:00Z"],
            }
        ],
    }
).encode()
AS_OF = (("evenstore-as-of-us", "7"), ("evenstore-clock", "system"))
GOOD = answers(200, ANSWER, AS_OF)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(is_async=bool(request.param))


def look_up(call: Caller, server: FaultyServer, *, timeout_s: float = 20.0) -> Any:
    return call(
        server.url, "get_online_features", client_retries=QUICK, timeout_s=timeout_s, **LOOKUP
    )


def refused(call: Caller, server: FaultyServer, *, timeout_s: float = 20.0) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        look_up(call, server, timeout_s=timeout_s)
    return raised.value


def error_answer(status: int, *headers: tuple[str, str]) -> Step:
    error = {"code": "some-code", "message": "some message", "hint": "a hint", "details": {}}
    return answers(status, json.dumps({"error": error}).encode(), headers)


@pytest.mark.parametrize(
    "fault",
    [
        resets(),
        error_answer(503, ("retry-after", "0")),
        error_answer(429),
        error_answer(504),
        answers(503, b"<html>from a proxy</html>"),
        sends(b""),
        sends(b"\x00\xff no HTTP at all\r\n\r\n"),
        sends(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{}"),
        sends(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}"),
        sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n{}"),
        sends(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000 + b"\r\n"),
    ],
    ids=[
        "reset", "503", "429", "504", "proxy-503", "closed", "garbage", "cut-short",
        "no-length", "bad-chunk", "header-bomb",
    ],
)  # fmt: skip
def test_what_may_pass_is_tried_again(call: Caller, fault: Step) -> None:
    with faulty_server(fault, GOOD) as server:
        assert look_up(call, server).values == {"id": [1]}
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 502])
def test_what_will_not_pass_is_not_tried_again(call: Caller, status: int) -> None:
    with faulty_server(error_answer(status), GOOD) as server:
        error = refused(call, server)
    assert (error.status, error.remote_code, error.hint) == (status, "some-code", "a hint")
    assert len(server.requests) == 1


def test_attempts_end_and_the_last_failure_is_told(call: Caller) -> None:
    with faulty_server(resets(), resets(), error_answer(503)) as server:
        error = refused(call, server)
    assert (error.status, error.remote_code) == (503, "some-code")
    assert len(server.requests) == 3


def test_attempts_share_a_request_id_that_errors_carry(call: Caller) -> None:
    with faulty_server(resets()) as server:
        error = refused(call, server)
    sent = {request.header("x-request-id") for request in server.requests}
    assert sent == {error.request_id}
    assert len(server.requests) == 3
    with faulty_server(error_answer(422, ("x-request-id", "its-own"))) as server:
        assert refused(call, server).request_id == "its-own"


def test_retry_after_is_waited_for(call: Caller) -> None:
    with faulty_server(error_answer(503, ("retry-after", "0.4")), GOOD) as server:
        look_up(call, server)
    first, second = server.requests
    assert second.at_s - first.at_s >= 0.4


def test_call_gives_up_at_once_when_its_time_ends_before_the_pause(call: Caller) -> None:
    with faulty_server(error_answer(503, ("retry-after", "3000")), GOOD) as server:
        error = refused(call, server)
    assert error.status == 503
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        hangs(),
        drips(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 2000, pause_s=0.02),
        drips(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b" " * 5000, pause_s=0.02),
        sends(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{}", keeps=True),
    ],
    ids=["hang", "slow-headers", "slow-body", "length-too-great"],
)
def test_call_ends_with_its_time(call: Caller, fault: Step) -> None:
    with faulty_server(fault) as server:
        error = refused(call, server, timeout_s=0.3)
    assert (error.status, error.remote_code) == (0, "deadline-exceeded")
    assert "0.3 s" in error.message
    assert len(server.requests) == 1


def test_time_of_a_call_holds_over_its_attempts(call: Caller) -> None:
    # Each attempt alone would fit.
    slow = drips(b"HTTP/1.1 20", pause_s=0.02)
    with faulty_server(slow) as server, pytest.raises(GatewayError) as raised:
        call(
            server.url,
            "get_online_features",
            client_retries=RetryPolicy(max_attempts=1000, first_pause_s=0.0, budget=1000),
            timeout_s=2.5,
            **LOOKUP,
        )
    assert raised.value.status == 0
    assert 2 <= len(server.requests) <= 12


@pytest.mark.parametrize(
    "fault",
    [
        answers(200, b"<html>"),
        answers(200, b"[" * 100_000),
        answers(200, ANSWER),
        answers(200, b"no gzip", (("content-encoding", "gzip"),)),
        answers(200, gzip.compress(b"{}"), (("content-encoding", "gzip"),)),
        answers(302, b"", (("location", "http://127.0.0.1:1/"),)),
    ],
    ids=["html", "deep", "no-instant", "no-gzip", "gzip", "redirect"],
)
def test_answer_of_something_else_is_named_and_not_tried_again(call: Caller, fault: Step) -> None:
    with faulty_server(fault) as server:
        error = refused(call, server)
    assert error.remote_code == "unknown"
    assert error.request_id
    assert len(server.requests) == 1


def test_retries_of_a_client_are_few_in_total(call: Caller) -> None:
    with faulty_server(error_answer(503)) as server:
        errors = call.many(
            server.url,
            30,
            "get_online_features",
            client_retries=RetryPolicy(first_pause_s=0.0, budget=7.0),
            **LOOKUP,
        )
    assert all(isinstance(error, GatewayError) for error in errors)
    assert len(server.requests) == 30 + 7


def test_successes_earn_retries(call: Caller) -> None:
    policy = RetryPolicy(max_attempts=2, first_pause_s=0.0, budget=1.0, budget_refund=0.5)
    script = [error_answer(503), GOOD, error_answer(503), GOOD, error_answer(503), GOOD]
    with faulty_server(*script) as server:
        outcomes = call.many(server.url, 4, "get_online_features", client_retries=policy, **LOOKUP)
    # The one retry is spent on the first call; its success earns half a retry, too little for the
    # second, and the third call's success the other half.
    failed = [isinstance(outcome, GatewayError) for outcome in outcomes]
    assert failed == [False, True, False, False]


def test_connections_are_kept(call: Caller) -> None:
    with faulty_server(GOOD) as server:
        call.many(server.url, 5, "get_online_features", **LOOKUP)
    assert (len(server.requests), server.n_connections) == (5, 1)


def test_probes_want_the_first_answer(call: Caller) -> None:
    with faulty_server(error_answer(503)) as server:
        assert not call(server.url, "is_ready")
        with pytest.raises(GatewayError):
            call(server.url, "readiness")
    assert len(server.requests) == 2


def test_push_is_sent_in_feasts_form_and_tried_again(call: Caller) -> None:
    with faulty_server(resets(), answers(200, b"")) as server:
        call(server.url, "push", "clicks", {"id": [1], "f": [0.5]}, to="online_and_offline")
    assert [json.loads(request.body) for request in server.requests] == [
        {"push_source_name": "clicks", "df": {"id": [1], "f": [0.5]}, "to": "online_and_offline"}
    ] * 2
    assert server.requests[0].head.startswith("POST /push HTTP/1.1\r\n")


def test_write_is_sent_in_feasts_form(call: Caller) -> None:
    with faulty_server(answers(200, b"null")) as server:
        call(server.url, "write_to_online_store", "v", {"id": [1]})
    assert json.loads(server.requests[0].body) == {"feature_view_name": "v", "df": {"id": [1]}}
    assert server.requests[0].head.startswith("POST /write-to-online-store HTTP/1.1\r\n")


def test_names_are_quoted_in_paths(call: Caller) -> None:
    with faulty_server(error_answer(404)) as server:
        for method in ("feature_service", "freshness"):
            with pytest.raises(GatewayError):
                call(server.url, method, "a/b ü")
    paths = [request.head.split(" ")[1] for request in server.requests]
    assert paths == [
        "/v1/feature-services/a%2Fb%20%C3%BC",
        "/v1/feature-views/a%2Fb%20%C3%BC/freshness",
    ]


def test_waiting_for_a_connection_counts_as_time_of_the_call() -> None:
    with (
        faulty_server(hangs()) as server,
        FeatureClient(server.url, max_connections=1, retries=QUICK) as client,
    ):
        other = threading.Thread(target=lambda: client.is_ready(timeout_s=3))
        other.start()
        while not server.requests:
            time.sleep(0.001)
        with pytest.raises(GatewayError) as raised:
            client.get_online_features(timeout_s=0.2, **LOOKUP)
        other.join()
    assert raised.value.remote_code == "deadline-exceeded"
    assert len(server.requests) == 1


def test_waiting_for_a_connection_counts_as_time_of_an_asynchronous_call() -> None:
    async def run(url: str) -> list[Any]:
        async with AsyncFeatureClient(url, max_connections=1, retries=QUICK) as client:
            return await asyncio.gather(
                *(client.get_online_features(timeout_s=0.3, **LOOKUP) for _ in range(3)),
                return_exceptions=True,
            )

    with faulty_server(hangs()) as server:
        outcomes = asyncio.run(run(server.url))
    codes = {isinstance(outcome, GatewayError) and outcome.remote_code for outcome in outcomes}
    assert codes == {"deadline-exceeded"}


def test_threads_share_a_client() -> None:
    outcomes: list[Any] = []
    with faulty_server(GOOD) as server, FeatureClient(server.url, max_connections=2) as client:
        threads = [
            threading.Thread(
                target=lambda: outcomes.append(client.get_online_features(**LOOKUP).values)
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.n_connections <= 2
    assert outcomes == [{"id": [1]}] * 8
