"""Requests that come too slowly or have no end, over raw sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from tests.serving.guard.guarded_app import LIMITS, Served, make_guarding, serve

POST = b"POST /get-online-features HTTP/1.1\r\nhost: a\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve(make_guarding()) as opened:
        yield opened


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    chunks = []
    # It may close while we are still sending.
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)


def assert_cut_off(connection: socket.socket, piece: bytes) -> None:
    """Send without end; the other side must stop that, by a reset or a broken pipe."""
    try:
        for _ in range(100_000):
            connection.sendall(piece)
    except OSError:
        return
    message = "all of it was taken"
    raise AssertionError(message)


def error_of(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]["code"]


@pytest.mark.parametrize(
    "begun",
    [
        b"POST /get-onl",
        POST,
        POST + b"content-length: 10\r\n\r\n12345",
        POST + b"transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ],
    ids=["line", "head", "body", "chunks"],
)
def test_a_request_that_never_ends_is_cut_off(served: Served, begun: bytes) -> None:
    n_before = served.receiving.n_too_slow
    with connected(served) as connection:
        connection.sendall(begun)
        assert error_of(read_all(connection)) == (408, "request-timeout")
    assert served.receiving.n_too_slow > n_before
    assert served.guarding.admission.in_flight == 0


def test_a_connection_without_a_request_is_closed(served: Served) -> None:
    with connected(served) as connection:
        read_all(connection)


def test_dripping_bytes_do_not_help(served: Served) -> None:
    with connected(served) as connection:
        connection.sendall(POST)
        answer = b""
        for _ in range(200):
            try:
                connection.sendall(b"a: b\r\n")
                connection.settimeout(0.05)
                answer += connection.recv(65536)
                break
            except TimeoutError:
                continue
        assert error_of(answer) == (408, "request-timeout")


def test_headers_without_end_are_refused(served: Served) -> None:
    with connected(served) as connection:
        connection.sendall(POST)
        assert_cut_off(connection, b"x-a: " + b"b" * 1000 + b"\r\n")
    with connected(served) as connection:
        connection.sendall(POST + b"x-a: " + b"b" * LIMITS.max_head_bytes)
        assert error_of(read_all(connection)) == (431, "headers-too-large")


@pytest.mark.parametrize("kind", ["body", "trailers"])
def test_a_chunked_request_without_end_is_refused(served: Served, kind: str) -> None:
    with connected(served) as connection:
        connection.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        piece = b"3e8\r\n" + b"b" * 1000 + b"\r\n"
        if kind == "trailers":
            connection.sendall(b"1\r\na\r\n0\r\n")
            piece = b"x-a: " + b"b" * 1000 + b"\r\n"
        assert_cut_off(connection, piece)


def test_no_http_is_told_so_in_our_shape(served: Served) -> None:
    with connected(served) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert error_of(read_all(connection)) == (400, "invalid-request")


@pytest.mark.slow
def test_slow_answers_and_idle_connections_are_left_alone(served: Served) -> None:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        assert client.post("/get-online-features", content=b"a" * 15_000).status_code == 200
        # Longer than a request may take to come, and several looks at the connections.
        time.sleep(4 * LIMITS.max_receive_s)
        assert client.get("/healthz").status_code == 200
        connections = served.receiving._connections
        assert len(connections) == 1, "it is still the first connection"


@pytest.mark.slow
def test_connection_that_stays_idle_is_closed() -> None:
    with serve(make_guarding(), keep_alive_s=1) as own, connected(own) as connection:
        for _ in range(4):
            # As long as requests come it stays, however long that is.
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)
        connection.sendall(b"\r\n")  # Which is no request.
        assert read_all(connection) == b""


@pytest.mark.slow
def test_connection_with_a_request_under_way_is_not_idle() -> None:
    with serve(make_guarding(), keep_alive_s=1) as own, connected(own) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        with httpx.Client(base_url=own.url, timeout=60) as client:
            client.get("/healthz")  # By now the slow one has begun.
            served_ones = tuple(own.receiving._connections)
        for each in served_ones:
            # As an answer does that is given at once to a request before it in the same packet.
            each._idle_since_s = 0.0
        time.sleep(3)
        own.gate.open()
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_pipelined_requests_wait_for_the_answer_before_them() -> None:
    with serve(make_guarding()) as own, connected(own) as connection:
        connection.sendall(
            b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n"
            b"POST /get-online-features HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1"
        )
        time.sleep(3 * LIMITS.max_receive_s)
        own.gate.open()
        connection.sendall(b"2")
        answers = b""
        while b"\r\n\r\n12" not in answers:
            chunk = connection.recv(65536)
            assert chunk, answers
            answers += chunk
        assert answers.count(b"HTTP/1.1 200") == 2
        assert own.receiving.n_too_slow == 0


def test_a_refused_body_gets_one_answer(served: Served) -> None:
    """What still comes of a body that was answered at once gets no second answer."""
    with connected(served) as connection:
        connection.sendall(POST + b"content-length: 100000\r\n\r\n" + b"b" * 1000)
        answers = read_all(connection)
    assert answers.startswith(b"HTTP/1.1 413 ")
    assert answers.count(b"HTTP/1.1") == 1
