"""What no HTTP library sends: the worker refuses it, or waits no longer than its limit."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.serving.fuzz.judge import judge_error
from tests.serving.fuzz.raw_http import Answer, Connection, encode_request
from tests.serving.fuzz.valid import FEAST_PATH

pytestmark = [pytest.mark.redis, pytest.mark.slow]

BODY = b'{"features":["numbers:f_int32"],"entities":{"customer_id":[7]}}'
POST = b"POST /get-online-features HTTP/1.1\r\nhost: gateway\r\n"


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return POST + b"transfer-encoding: chunked\r\n\r\n" + framed + end


def headers(*lines: bytes) -> bytes:
    return POST + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


REFUSED = {
    "negative-length": headers(b"content-length: -1"),
    "length-of-text": headers(b"content-length: many"),
    "length-of-100-digits": headers(b"content-length: " + b"9" * 100),
    "two-lengths": headers(b"content-length: 1", b"content-length: 2") + BODY,
    "length-and-chunks": headers(b"content-length: 5", b"transfer-encoding: chunked") + BODY,
    "bad-chunk-size": POST + b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "negative-chunk-size": POST + b"transfer-encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    "great-chunk-size": POST + b"transfer-encoding: chunked\r\n\r\n" + b"F" * 40 + b"\r\n",
    "header-of-100-kb": headers(b"x: " + b"y" * 100_000),
    "10000-headers": headers(*(b"x-%d: y" % i for i in range(10_000))),
    "name-of-100-kb": headers(b"x" * 100_000 + b": y"),
    "no-colon": headers(b"nonsense"),
    "nul-in-header": headers(b"x: a\x00b"),
    "path-of-100-kb": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: gateway\r\n\r\n",
    "no-http": b"nonsense\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(200) + b"\r\n\r\n",
    "too-large-announced": headers(b"content-length: 999999999"),
    "too-large-in-chunks": chunked(*[b" " * 65_536] * 65),
}


@pytest.mark.parametrize("name", REFUSED)
def test_request_that_is_no_http_is_refused(connection: Connection, name: str) -> None:
    answer = connection.try_send(REFUSED[name], ends=True)
    if answer is not None:
        assert answer.status in {400, 404, 413, 414, 422, 431}
        judge_error(answer, (name, answer))


ODD = {
    "chunks": chunked(BODY[:10], BODY[10:]),
    "chunks-of-one": chunked(*(BODY[i : i + 1] for i in range(len(BODY)))),
    "chunk-extension-and-trailer": POST
    + b"transfer-encoding: chunked\r\n\r\n%x;a=b\r\n%b\r\n0\r\nx: y\r\n\r\n" % (len(BODY), BODY),
    "http-1.0": POST.replace(b"1.1", b"1.0") + b"content-length: %d\r\n\r\n" % len(BODY) + BODY,
    "same-length-twice": headers(b"content-length: %d" % len(BODY), b"x: y") + BODY,
    "expect-nothing": headers(b"expect: nonsense", b"content-length: %d" % len(BODY)) + BODY,
    "absolute-target": headers(b"content-length: %d" % len(BODY)).replace(
        b" /get", b" http://gateway/get"
    )
    + BODY,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_but_valid_request_is_answered(connection: Connection, name: str) -> None:
    answer = connection.send(ODD[name])
    if name == "absolute-target" and answer.status == 404:
        return  # Proxies are asked so; servers seldom.
    assert answer.status == 200, answer


METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
TARGETS = [
    "/", "//", "/%00", "/%ff%fe", "/../../etc/passwd", "/get-online-features/", "/readyz/x",
    "/v1/feature-services/%00", "/v1/feature-services/..%2f..", "/v1/feature-services/%f0%9f",
    "/v1/feature-services/" + "a" * 5_000, "/v1/feature-views/nope/freshness",
    "/v1/feature-views/%ed%a0%80/freshness", "/readyz?" + "a=b&" * 2_000, "/docs/../x",
    "*", "?", "/\x7f", "/;a=b", "/%",
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_any_method_and_path_is_answered(connection: Connection, method: str) -> None:
    for target in TARGETS:
        answer = connection.try_send(encode_request(method, target))
        assert answer is not None, target
        assert answer.status < 500, (target, answer)
        if answer.status >= 400:
            judge_error(answer, (target, answer))


def test_head_of_any_path_is_answered(connection: Connection) -> None:
    # The answer has a length and no body: it ends with the connection.
    for target in TARGETS:
        raw = encode_request("HEAD", target, b"", {"connection": "close"})
        with socket.create_connection(connection.address, timeout=60) as opened:
            opened.sendall(raw)
            received = b"".join(_parts(opened))
        assert 200 <= int(received.split(b" ")[1]) < 500, target


def _parts(opened: socket.socket) -> Iterator[bytes]:
    while part := opened.recv(65_536):
        yield part


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "X" * 500])
def test_any_other_method_is_refused(connection: Connection, method: str) -> None:
    answer = connection.try_send(encode_request(method, "/readyz"), ends=True)
    if answer is not None:
        assert 400 <= answer.status < 500
        judge_error(answer, (method, answer))


def test_bodies_that_never_end_hold_up_nobody(connection: Connection) -> None:
    waiting = [
        headers(b"content-length: 100") + b"{",
        headers(b"transfer-encoding: chunked") + b"5\r\n{",
        POST,
        b"POST",
        b"",
    ]
    opened = [socket.create_connection(connection.address, timeout=60) for _ in range(50)]
    try:
        for i, stalled in enumerate(opened):
            stalled.sendall(waiting[i % len(waiting)])
        for _ in range(20):
            assert connection.request("POST", FEAST_PATH, BODY).status == 200
    finally:
        for stalled in opened:
            stalled.close()


def test_callers_that_leave_hold_up_nobody(connection: Connection) -> None:
    for _ in range(100):
        with socket.create_connection(connection.address, timeout=60) as leaving:
            leaving.sendall(encode_request("POST", FEAST_PATH, BODY))
    assert connection.request("POST", FEAST_PATH, BODY).status == 200


def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    bodies = [BODY.replace(b"[7]", b"[%d]" % i) for i in range(1, 60)]
    raw = b"".join(encode_request("POST", FEAST_PATH, body) for body in bodies)
    answers: list[Answer] = [connection.send(raw)]
    answers += [connection.send(b"") for _ in bodies[1:]]
    assert [answer.json()["results"][0]["values"] for answer in answers] == [
        [i] for i in range(1, 60)
    ]
