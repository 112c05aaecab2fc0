"""Lookups asked the short way: the same answers as the client's, and its errors."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from evenstore.client.http import FeatureClient
from evenstore.client.protocol import encode_request, parse_online_features
from evenstore.dtypes import Dtype
from evenstore.errors import GatewayError
from evenstore.semantics import Status
from parity.compare import are_values_equal
from parity.live.lookup_answer import read_answer
from parity.live.lookups import Lookups, encode_lookup
from parity.online_values import decode_column
from parity.values import decode_online
from tests.support.scale import scaled

HEADERS = {"evenstore-as-of-us": "1700000000000000", "evenstore-clock": "frozen"}
TOLD = ("PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID")
TEXTS = (
    *("1970-01-01T00:00:00Z", "2024-02-29T12:00:00.000001Z", "2026-01-01T00:00:00Z"),
    *("1969-12-31T23:59:59.9Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
)
ODD_TEXTS = ("2026-01-01T00:00:00+02:00", "2026-01-01 00:00:00Z")


# Texts, and maps, that look like parts of an answer.
VALUES_SENT: tuple[Any, ...] = (
    *(1, 1, 1, None, 2.5, "a", ']}{"values":[', '],"event_timestamps":[', "]"),
    *({"statuses": ["PRESENT"]}, [{"statuses": [], "event_timestamps": []}]),
    {"values": [1], "statuses": ["NOT_FOUND"], "event_timestamps": [TEXTS[0]]},
)


def drawn_answer(rng: random.Random, n_rows: int, separators: tuple[str, str]) -> bytes:
    """Draw an answer; neighbouring columns often say the same of statuses and instants."""
    results: list[dict[str, Any]] = []
    for _ in range(rng.randrange(1, 6)):
        column = {
            "values": [rng.choice(VALUES_SENT) for _ in range(n_rows)],
            "statuses": rng.choices(TOLD, k=n_rows),
            "event_timestamps": rng.choices(rng.choice((TEXTS, TEXTS, ODD_TEXTS)), k=n_rows),
        }
        if results:
            same = rng.choices(("statuses", "event_timestamps"), k=rng.randrange(3))
            column |= {name: results[-1][name] for name in same}
        results.append(column)
    names = [f"f{i}" for i in range(len(results))]
    document = {"metadata": {"feature_names": names}, "results": results}
    return json.dumps(document, separators=separators).encode()


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_answers_are_those_of_the_client(separators: tuple[str, str]) -> None:
    rng = random.Random(7)
    for _ in range(scaled(300, 20_000)):
        body = drawn_answer(rng, rng.randrange(1, 5), separators)
        assert read_answer(body, HEADERS) == parse_online_features(body, HEADERS)


@pytest.mark.parametrize("text", ["NaT", "nowZ", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    column = {"values": [1], "statuses": ["PRESENT"], "event_timestamps": [text]}
    document = {"metadata": {"feature_names": ["x"]}, "results": [column]}
    for separators in ((",", ":"), (", ", ": ")):
        with pytest.raises(GatewayError):
            read_answer(json.dumps(document, separators=separators).encode(), HEADERS)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"results": []}', b'{"metadata": 1}'])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError, match="without the gateway's form"):
        read_answer(body, HEADERS)


@pytest.mark.parametrize("statuses", [["PRESENT"], ["PRESENT"] * 3])
def test_columns_whose_parts_differ_in_length_are_refused(statuses: list[str]) -> None:
    column = {"values": [1, 2], "statuses": statuses, "event_timestamps": [TEXTS[1]] * 2}
    body = {"metadata": {"feature_names": ["x"]}, "results": [column]}
    with pytest.raises(GatewayError):
        read_answer(json.dumps(body).encode(), HEADERS)


def test_requests_are_those_of_the_client() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for values in ([1, 2**63], ["a", None], [True], [1.5], [b"x"], [now]):
        entities = {"x": values, "y": ["\u00e9"] * len(values)}
        told = encode_request(entities, feature_service="s", features=None, full_feature_names=True)
        assert encode_lookup(entities, "s") == told


VALUES: dict[Dtype, Sequence[Any]] = {
    Dtype.INT32: (0, -(2**31), 2**31 - 1, 2**31, 1.0, True, "1"),
    Dtype.INT64: (0, -(2**63), 2**63 - 1, 2**63, 1.5, "1"),
    Dtype.UNIX_TIMESTAMP: (0, 1_700_000_000, 2**63, "x"),
    Dtype.FLOAT64: (0.5, -0.0, 3, "NaN", "Infinity", True, 1e308),
    Dtype.FLOAT32: (0.1, 0.5, 1e300, 16777217.0, 3, "-Infinity"),
    Dtype.BOOL: (True, False, 1),
    Dtype.STRING: ("", "a", 1),
    Dtype.BYTES: ("YQ==", "?", 1),
    Dtype.INT64_LIST: ([1, 2], [], [1.5], 3),
}


@pytest.mark.parametrize("dtype", VALUES, ids=lambda dtype: dtype.value)
def test_columns_are_decoded_as_single_values_are(dtype: Dtype) -> None:
    rng = random.Random(dtype.value)
    for _ in range(scaled(300, 20_000)):
        # Few kinds a column: one wrong value makes all of it be read with care.
        kinds = rng.choices((*VALUES[dtype], None), k=rng.randrange(1, 4))
        values = rng.choices(kinds, k=rng.randrange(1, 6))
        statuses = rng.choices([*Status], k=len(values))
        one = decode_column(dtype, values, statuses)
        other = decode_online(dtype, values, statuses)
        for value, expected in zip(one, other, strict=True):
            assert are_values_equal(value, expected) or repr(value) == repr(expected)
            assert type(value) is type(expected)


ANSWER = json.dumps(
    {
        "metadata": {"feature_names": ["x"]},
        "results": [
            {"values": [1], "statuses": ["PRESENT"], "event_timestamps": [TEXTS[1]]},
        ],
    }
).encode()
_HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
PLAIN = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (_HEAD, len(ANSWER), ANSWER)
CLOSING = PLAIN.replace(b"content-length", b"connection: close\r\ncontent-length")
CHUNKED = b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
    _HEAD,
    len(ANSWER),
    ANSWER,
)
_ERROR = b'{"error":{"code":"busy","message":"too busy","hint":null,"details":{}}}'
REFUSED = b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(_ERROR), _ERROR)


@contextmanager
def scripted_server(replies: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """Answer requests with these bytes in turn, wherever they come; the last one for ever.

    A reply that is not whole ends its connection.
    """
    requests: list[bytes] = []
    lock = threading.Lock()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(opened: socket.socket) -> None:
            with opened, opened.makefile("rb") as file:
                while line := file.readline():
                    head = [line, *iter(file.readline, b"\r\n")]
                    length = next(
                        int(each.split(b":")[1])
                        for each in head
                        if each.lower().startswith(b"content-length")
                    )
                    file.read(length)
                    with lock:
                        requests.append(b"".join(head))
                        reply = replies[min(len(requests), len(replies)) - 1]
                    opened.sendall(reply)
                    if reply not in {PLAIN, CHUNKED, REFUSED}:
                        return

        def accept() -> None:
            while True:
                try:
                    opened, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(opened,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/below", requests
        listener.shutdown(socket.SHUT_RDWR)


def test_requests_are_sent_ahead_and_answered_in_order() -> None:
    with (
        scripted_server([PLAIN]) as (url, requests),
        FeatureClient(url, api_key="k") as client,
        Lookups(client, url, "s", n_ahead=3) as lookups,
    ):
        waiting = [lookups.send({"x": [i]}) for i in range(3)]
        answers = [answered() for answered in waiting]
        again = lookups.send({"x": [3]})()
    assert answers == [again] * 3
    assert again.values == {"x": [1]}
    # All heads are the same, so that a gateway knows them.
    assert len(requests) == 4
    assert len(set(requests)) == 1
    assert requests[0].startswith(b"POST /below/get-online-features HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "odd", [PLAIN[:-3], b"", b"no HTTP\r\n", PLAIN.replace(b"content", b"x-content")]
)
def test_what_is_no_plain_answer_is_asked_again_by_the_client(odd: bytes) -> None:
    with (
        scripted_server([odd, PLAIN]) as (url, requests),
        FeatureClient(url) as client,
        Lookups(client, url, "s", n_ahead=1) as lookups,
    ):
        assert lookups.send({"x": [1]})().values == {"x": [1]}
        assert lookups.send({"x": [1]})().values == {"x": [1]}
    assert len(requests) == 3


@pytest.mark.parametrize("form", [CHUNKED, CLOSING])
def test_answer_of_another_form_is_not_asked_for_twice(form: bytes) -> None:
    with (
        scripted_server([form, PLAIN]) as (url, requests),
        FeatureClient(url) as client,
        Lookups(client, url, "s", n_ahead=1) as lookups,
    ):
        assert lookups.send({"x": [1]})().values == {"x": [1]}
        assert lookups.send({"x": [1]})().values == {"x": [1]}
    assert len(requests) == 2


def test_an_error_is_the_clients() -> None:
    with (
        scripted_server([REFUSED]) as (url, _),
        FeatureClient(url) as client,
        Lookups(client, url, "s", n_ahead=1) as lookups,
        pytest.raises(GatewayError, match="too busy"),
    ):
        lookups.send({"x": [1]})()


def test_without_an_address_all_is_left_to_the_client() -> None:
    with (
        scripted_server([PLAIN]) as (url, _),
        FeatureClient(url) as client,
        Lookups(client, None, "s", n_ahead=2) as lookups,
    ):
        waiting = [lookups.send({"x": [i]}) for i in range(3)]
        assert {tuple(answered().values["x"]) for answered in waiting} == {(1,)}
