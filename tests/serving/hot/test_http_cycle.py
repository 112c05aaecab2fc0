"""The lookup route as the HTTP protocol answers it: order, parts, and what is left to others."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evenstore.clock import SystemClock
from serving.guard.key_file import create_key, revoke_key
from tests.serving import rows
from tests.serving.processes import LIMITS, Running, run_worker, wait_until
from tests.serving.stack import Stack

_BODY = json.dumps(
    {"features": ["numbers:f_int32"], "entities": {"customer_id": [rows.FRESH]}}
).encode()
_OTHER = json.dumps(
    {"features": ["numbers:f_int32"], "entities": {"customer_id": [rows.FRESH, 1, 2]}}
).encode()


def _post(body: bytes = _BODY, *lines: str, version: str = "1.1") -> bytes:
    head = [f"POST /get-online-features HTTP/{version}", "host: x", f"content-length: {len(body)}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


_PROBE = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


@contextmanager
def _connect(worker: Running) -> Iterator[socket.socket]:
    host, port = worker.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def _answers(connection: socket.socket, n_answers: int) -> list[tuple[int, bytes]]:
    """Read whole answers, each by its content length."""
    received = b""
    answers: list[tuple[int, bytes]] = []
    while len(answers) < n_answers:
        head, found, rest = received.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
        if found and len(rest) >= (length := int(lengths[0].split(b":")[1])):
            answers.append((int(head.split()[1]), rest[:length]))
            received = rest[length:]
            continue
        part = connection.recv(65_536)
        assert part, "the connection was closed before its answers"
        received += part
    assert not received
    return answers


def _n_rows(body: bytes) -> int:
    parsed: dict[str, Any] = json.loads(body)
    return len(parsed["results"][0]["values"])


def test_requests_sent_together_are_answered_in_their_order(worker: Running) -> None:
    together = _post() + _PROBE + _post(_OTHER) + _post(b"{}") + _post() + _PROBE
    with _connect(worker) as connection:
        connection.sendall(together)
        answers = _answers(connection, 6)
        connection.sendall(_post(_OTHER))
        (after,) = _answers(connection, 1)
    assert [status for status, _ in answers] == [200, 200, 200, 422, 200, 200]
    assert [answers[1][1], answers[5][1]] == [b"ok", b"ok"]
    assert [_n_rows(answers[i][1]) for i in (0, 2, 4)] == [1, 3, 1]
    assert _n_rows(after[1]) == 3


def test_request_may_come_in_any_parts(worker: Running) -> None:
    chunked = b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunked += b"".join(b"1\r\n%c\r\n" % letter for letter in _BODY) + b"0\r\n\r\n"
    with _connect(worker) as connection:
        for raw in (_post(), chunked):
            for at in range(0, len(raw), 7):
                connection.sendall(raw[at : at + 7])
            ((status, body),) = _answers(connection, 1)
            assert (status, _n_rows(body)) == (200, 1)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(_post(_BODY, "connection: close"), id="asked to"),
        pytest.param(_post(version="1.0"), id="HTTP/1.0"),
    ],
)
def test_connection_is_closed_where_the_caller_says_so(worker: Running, raw: bytes) -> None:
    with _connect(worker) as connection:
        connection.sendall(raw)
        ((status, body),) = _answers(connection, 1)
        assert (status, _n_rows(body)) == (200, 1)
        assert connection.recv(1) == b""


def test_what_is_not_quite_the_route_is_answered_all_the_same(worker: Running) -> None:
    queried = _post().replace(b"/get-online-features", b"/get-online-features?x=1")
    expecting = _post(_BODY, "expect: 100-continue")
    with _connect(worker) as connection:
        connection.sendall(queried)
        assert _answers(connection, 1)[0][0] == 200
        connection.sendall(expecting)
        assert connection.recv(25, socket.MSG_WAITALL).startswith(b"HTTP/1.1 100 Continue")
        assert _answers(connection, 1)[0][0] == 200


@pytest.mark.parametrize("path", [b"/get-online-features", b"/v1/feature-vectors"])
@pytest.mark.parametrize("header", ["Upgrade: h2c", "upgrade : websocket"])
def test_body_of_a_caller_that_asks_for_another_protocol_is_no_request(
    worker: Running, path: bytes, header: str
) -> None:
    """As Java's client asks for HTTP/2; what is in a body must not be taken for a request."""
    asking = _post(_PROBE, header, "connection: Upgrade, HTTP2-Settings")
    with _connect(worker) as connection:
        connection.sendall(asking.replace(b"/get-online-features", path) + _post())
        (refused, answered) = _answers(connection, 2)
    assert (refused[0], answered[0]) == (422, 200)


def test_java_is_answered(worker: Running) -> None:
    asking = _post(_BODY, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")
    with _connect(worker) as connection:
        connection.sendall(asking)
        ((status, body),) = _answers(connection, 1)
        assert (status, _n_rows(body)) == (200, 1)
        # In parts the header is not recognised: then nothing that follows is.
        connection.sendall(asking[:60])
        worker.get("/healthz")
        connection.sendall(asking[60:] + _PROBE)
        answers = _answers(connection, 1)
        assert answers[0][0] in {200, 422}


def test_body_of_a_caller_without_a_key_is_not_waited_for(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, key = create_key(path, "checkout", ["read"], SystemClock())
    with run_worker(
        tmp_path, stack.schema_path, stack.redis.url, api_keys_path=str(path)
    ) as worker:
        with _connect(worker) as connection:
            connection.sendall(_post()[:-5])
            assert _answers(connection, 1)[0][0] == 401
        with _connect(worker) as connection:
            connection.sendall(_post(_BODY, f"x-api-key: {key}"))
            assert _answers(connection, 1)[0][0] == 200


def test_body_over_the_limit_is_refused_before_all_of_it_has_come(worker: Running) -> None:
    large = _post(b" " * (4 * LIMITS.max_body_bytes))
    with _connect(worker) as connection:
        connection.sendall(large[: 2 * LIMITS.max_body_bytes])
        ((status, _),) = _answers(connection, 1)
        assert status == 413
        connection.sendall(large[2 * LIMITS.max_body_bytes :] + _post())
        assert _answers(connection, 1)[0][0] == 200, "the next request is found behind the rest"


def test_callers_that_hang_up_leave_nothing_behind(worker: Running) -> None:
    for sent in (_post()[:-5], _post(), _post() + _post(_OTHER)[:-3]):
        for _ in range(20):
            with _connect(worker) as connection:
                connection.sendall(sent)
    # The question itself is under way.
    wait_until(lambda: _in_flight(worker) == [1.0], "no request is under way")
    assert worker.post(json.loads(_BODY)).status_code == 200


def test_head_that_was_sent_before_means_the_same_again(worker: Running) -> None:
    """Once known, a head is not parsed; whatever follows it must be found all the same."""
    same_length = _BODY.replace(b"numbers:f_int32", b"numbers:f_int64")
    with _connect(worker) as connection:

        def ask(raw: bytes, n_answers: int = 1) -> list[tuple[int, bytes]]:
            connection.sendall(raw)
            return _answers(connection, n_answers)

        for _ in range(3):
            assert _n_rows(ask(_post())[0][1]) == 1
        assert b"f_int64" in ask(_post(same_length))[0][1]
        assert [status for status, _ in ask(_post() + _PROBE + _post(_OTHER), 3)] == [200] * 3
        assert ask(_PROBE)[0] == (200, b"ok")
        whole = _post()
        connection.sendall(whole[:-1])
        worker.get("/healthz")
        assert _n_rows(ask(whole[-1:])[0][1]) == 1
        assert ask(_post(b"x" * len(_BODY)))[0][0] == 422
        assert _n_rows(ask(_post(_OTHER))[0][1]) == 3
        connection.sendall(_post(_BODY, "connection: close"))
        assert _answers(connection, 1)[0][0] == 200
        assert connection.recv(1) == b""


def test_hundreds_of_requests_behind_one_are_all_answered(worker: Running) -> None:
    """Refused without Redis, each would otherwise be answered from within the one before."""
    for _ in range(2):  # The second time, the head is known.
        with _connect(worker) as connection:
            connection.sendall(_post() + _post(b"{}") * 300 + _post(_OTHER))
            answers = _answers(connection, 302)
        assert [status for status, _ in answers] == [200, *[422] * 300, 200]
        assert _n_rows(answers[-1][1]) == 3
    wait_until(lambda: _in_flight(worker) == [1.0], "no request is under way")


def test_what_is_no_request_takes_no_answer_from_the_one_before(worker: Running) -> None:
    for _ in range(3):
        with _connect(worker) as connection:
            connection.sendall(_post())
            connection.sendall(b"this is no HTTP\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert received.startswith(b"HTTP/1.1 200 "), received[:80]


def test_ids_of_requests_with_one_head_differ(worker: Running) -> None:
    own = _post(_BODY, "x-request-id: mine")
    with _connect(worker) as connection:
        ids = []
        for raw in (_post(), _post(), _post(), own, own):
            connection.sendall(raw)
            head, _, rest = connection.recv(65_536).partition(b"\r\n\r\n")
            assert rest
            ids += [
                line for line in head.lower().split(b"\r\n") if line.startswith(b"x-request-id")
            ]
    assert len(set(ids[:3])) == 3
    assert ids[3:] == [b"x-request-id: mine"] * 2


def test_known_head_opens_nothing_after_its_key_is_gone(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, key = create_key(path, "checkout", ["read"], SystemClock())
    with run_worker(
        tmp_path, stack.schema_path, stack.redis.url, api_keys_path=str(path)
    ) as worker:
        raw = _post(_BODY, f"x-api-key: {key}")
        with _connect(worker) as connection:
            for _ in range(3):
                connection.sendall(raw)
                assert _answers(connection, 1)[0][0] == 200
            revoke_key(path, "checkout")

            def is_refused() -> bool:
                connection.sendall(raw)
                return _answers(connection, 1)[0][0] == 401

            wait_until(is_refused, "the key is revoked")
            # Refused, it is no head to remember; the next one is looked at afresh.
            connection.sendall(_post())
            assert _answers(connection, 1)[0][0] == 401


@pytest.mark.slow
def test_stopping_worker_answers_what_has_begun(stack: Stack, tmp_path: Path) -> None:
    with run_worker(tmp_path, stack.schema_path, stack.redis.url) as worker:
        with _connect(worker) as connection:
            connection.sendall(_post()[:-5])
            worker.get("/healthz")  # By then the head of the request is there.
            worker.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not _accepts(worker), "no new connection is taken")
            connection.sendall(_post()[-5:])
            ((status, body),) = _answers(connection, 1)
            assert (status, _n_rows(body)) == (200, 1)
            assert connection.recv(1) == b""
        worker.process.wait(timeout=120)


def _in_flight(worker: Running) -> list[float]:
    name = "evenstore_gateway_in_flight_requests"
    lines = [line for line in worker.get("/metrics").text.splitlines() if name in line]
    return [float(line.split()[-1]) for line in lines if line[0] != "#"]


def _accepts(worker: Running) -> bool:
    try:
        with _connect(worker) as connection:
            connection.settimeout(0.5)
            connection.sendall(_PROBE)
            return connection.recv(1) != b""
    except OSError:
        return False
