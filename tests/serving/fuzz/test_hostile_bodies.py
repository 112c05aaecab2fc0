"""Bodies made to hurt, each with the answer that it must get."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable

import pytest

from tests.serving.fuzz.judge import judge, judge_error
from tests.serving.fuzz.raw_http import Connection
from tests.serving.fuzz.valid import FEAST_PATH, NATIVE_PATH
from tests.serving.rows import FRESH, INT64

pytestmark = [pytest.mark.redis, pytest.mark.slow]

_SMALL = "numbers:f_int32"


def feast(key: str = str(FRESH), *, feature: str = f'"{_SMALL}"', more: str = "") -> bytes:
    text = f'{{"features":[{feature}],"entities":{{"customer_id":[{key}]}}{more}}}'
    return text.encode("utf-8", "surrogatepass")


def native(key: str = str(FRESH), *, feature: str = f'"{_SMALL}"', more: str = "") -> bytes:
    text = f'{{"features":[{feature}],"entity_rows":[{{"customer_id":{key}}}]{more}}}'
    return text.encode("utf-8", "surrogatepass")


def million_keys() -> bytes:
    return b'{"entities":{' + b",".join(b'"%x":[]' % i for i in range(1_000_000)) + b"}}"


def as_many_keys_as_fit() -> bytes:
    columns = b",".join(b'"%x":[1]' % i for i in range(300_000))
    return b'{"features":["numbers:f_int32"],"entities":{"customer_id":[7],' + columns + b"}}"


def many_rows(n: int) -> bytes:
    return feast(",".join(["7"] * n))


def random_bytes(n: int) -> bytes:
    return random.Random(1).randbytes(n)


WRONG = [422]
ROUTES = {"feast": (FEAST_PATH, feast), "native": (NATIVE_PATH, native)}

KEYS: dict[str, str] = {
    "nan": "NaN",
    "infinity": "Infinity",
    "minus-infinity": "-Infinity",
    "1e400": "1e400",
    "integer-of-401-digits": "1" + "0" * 400,
    "integer-of-5000-digits": "9" * 5000,
    "beyond-int64": "9223372036854775808",
    "below-int64": "-9223372036854775809",
    "beyond-uint64": "18446744073709551616",
    "float": "7.0",
    "exponent": "7e0",
    "text": '"7"',
    "null": "null",
    "true": "true",
    "list": "[7]",
    "object": '{"a":7}',
    "lone-surrogate": '"\\ud800"',
    "reversed-surrogates": '"\\ude00\\ud83d"',
    "raw-surrogate": '"\ud800"',
    "nul": '"\\u0000"',
    "raw-nul": '"\x00"',
    "deep-list": "[" * 100_000 + "]" * 100_000,
    "deep-object": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "deep-and-cut": "[" * 500_000,
    "long-text": '"' + "x" * 1_000_000 + '"',
    "comment": "7/**/",
    "leading-zero": "07",
    "hex": "0x07",
    "no-value": "",
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", KEYS)
def test_key_that_is_no_key_is_refused(connection: Connection, route: str, name: str) -> None:
    path, body = ROUTES[route]
    answer = connection.request("POST", path, body(KEYS[name]))
    judge(answer, name)
    if answer.status == 200:
        # The native form may blame the one entity row.
        (vector,) = answer.json()["feature_vectors"]
        assert vector["error"]["code"] == "entity-rows"
        assert vector["values"] == [None]
        return
    assert answer.status == 422
    assert len(answer.body) < 5_000, "an error must not send everything back"


FEATURES: dict[str, tuple[str, list[int]]] = {
    "duplicate": (f'"{_SMALL}","{_SMALL}"', WRONG),
    "thousands-of-duplicates": (",".join([f'"{_SMALL}"'] * 900), WRONG),
    "too-many": (",".join(f'"numbers:f{i}"' for i in range(1_001)), [413]),
    "unknown-view": ('"nope:f"', [404]),
    "unknown-feature": ('"numbers:nope"', [404]),
    "unknown-beside-known": (f'"{_SMALL}","numbers:nope"', [404]),
    "no-colon": ('"numbers"', WRONG),
    "no-view": ('":f_int32"', WRONG),
    "no-feature": ('"numbers:"', WRONG),
    "two-colons": ('"numbers:f_int32:x"', WRONG),
    "version": ('"numbers@v1:f_int32"', WRONG),
    "null": ("null", WRONG),
    "number": ("1", WRONG),
    "list": ('["numbers:f_int32"]', WRONG),
    "surrogate": ('"numbers:\\ud800"', [404, 422]),
    "nul": ('"numbers:\\u0000"', [404, 422]),
    "newline": ('"numbers:\\r\\nset-cookie: a=b"', [404, 422]),
    "long": ('"numbers:' + "f" * 1_000_000 + '"', [404, 422]),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", FEATURES)
def test_feature_that_is_none_is_refused(connection: Connection, route: str, name: str) -> None:
    path, body = ROUTES[route]
    text, statuses = FEATURES[name]
    answer = connection.request("POST", path, body(feature=text))
    judge(answer, name)
    assert answer.status in statuses, answer.body[:500]
    assert len(answer.body) < 10_000, "an error must not send everything back"


FORMS: dict[str, tuple[Callable[[], bytes], list[int]]] = {
    "empty": (lambda: b"", WRONG),
    "blank": (lambda: b" \r\n\t", WRONG),
    "null": (lambda: b"null", WRONG),
    "list": (lambda: b"[]", WRONG),
    "text": (lambda: b'"x"', WRONG),
    "number": (lambda: b"1", WRONG),
    "nothing-asked": (lambda: b"{}", WRONG),
    "cut": (lambda: feast()[:-2], WRONG),
    "twice": (lambda: feast() * 2, WRONG),
    "trailing-comma": (lambda: feast(more=","), WRONG),
    "invalid-utf-8": (lambda: feast('"\ud800"').replace(b"numbers", b"n\xff\xfe"), WRONG),
    "utf-16": (lambda: feast().decode().encode("utf-16"), WRONG),
    "utf-32": (lambda: feast().decode().encode("utf-32"), WRONG),
    "gzip": (lambda: gzip.compress(feast(), mtime=0), WRONG),
    "gzip-bomb": (lambda: gzip.compress(b" " * 20_000_000, mtime=0), WRONG),
    "random": (lambda: random_bytes(1_000_000), WRONG),
    "zeros": (lambda: b"\x00" * 1_000_000, WRONG),
    "spaces": (lambda: b" " * 4_000_000, WRONG),
    "too-large": (lambda: b" " * (4 * 1024 * 1024 + 1), [413]),
    "million-keys": (million_keys, [413]),
    "many-keys": (as_many_keys_as_fit, [200, 413, 422]),
    "million-values": (lambda: many_rows(1_000_000), [413]),
    "too-many-rows": (lambda: many_rows(10_001), [413]),
    "deep-list": (lambda: b"[" * 2_000_000 + b"]" * 2_000_000, WRONG),
    "deep-object": (lambda: b'{"a":' * 600_000, WRONG),
    "no-rows": (lambda: b'{"features":["numbers:f_int32"],"entities":{"customer_id":[]}}', WRONG),
    "no-columns": (lambda: b'{"features":["numbers:f_int32"],"entities":{}}', WRONG),
    "columns-of-other-lengths": (
        lambda: b'{"feature_service":"checkout","entities":{"customer_id":[7,8],"amount":[1]}}',
        WRONG,
    ),
    "form": (lambda: b"features=numbers%3Af_int32&customer_id=7", WRONG),
    "xml": (lambda: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', WRONG),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("path", [FEAST_PATH, NATIVE_PATH])
def test_body_of_another_form_is_refused(connection: Connection, path: str, name: str) -> None:
    make, statuses = FORMS[name]
    answer = connection.request("POST", path, make())
    judge(answer, name)
    if path == NATIVE_PATH:
        # These are lookups in Feast's form, so that here they are refused one and all.
        assert answer.status in {413, 422}
    else:
        assert answer.status in statuses, answer.body[:500]


def test_largest_request_within_the_limits_is_answered(connection: Connection) -> None:
    answer = connection.request("POST", FEAST_PATH, many_rows(10_000))
    assert answer.status == 200
    assert answer.json()["results"][1]["values"] == [-5] * 10_000


@pytest.mark.parametrize(
    "body",
    [
        feast(more=',"features":["numbers:f_int64"]'),
        b'{"features":["numbers:f_int32"],"entities":{"customer_id":["x"],"customer_id":[7]}}',
    ],
    ids=["features", "key"],
)
def test_of_a_name_that_stands_twice_the_last_counts_or_it_is_refused(
    connection: Connection, body: bytes
) -> None:
    answer = connection.request("POST", FEAST_PATH, body)
    judge(answer, body)
    if answer.status == 200:
        (feature,) = answer.json()["metadata"]["feature_names"][1:]
        assert answer.json()["results"][1]["values"] == [{"f_int32": -5, "f_int64": INT64}[feature]]
        assert (feature == "f_int64") == (b"f_int64" in body)


def test_surrogate_pair_is_one_letter(connection: Connection) -> None:
    body = b'{"feature_service":"\\ud83d\\ude00","entities":{}}'
    error = judge_error(connection.request("POST", FEAST_PATH, body))
    assert "\U0001f600" in error["message"]


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "\xff"],
)
def test_feast_callers_may_send_any_content_type(connection: Connection, content_type: str) -> None:
    answer = connection.request("POST", FEAST_PATH, feast(), {"content-type": content_type})
    assert answer.status == 200, answer.body


def test_error_does_not_repeat_a_secret_that_was_sent(connection: Connection) -> None:
    headers = {"authorization": "Bearer evk_sentinel", "cookie": "a=sentinel"}
    for body in (b"[]", feast('"x"'), b"\xff"):
        answer = connection.request("POST", FEAST_PATH, body, headers)
        assert b"sentinel" not in json.dumps(dict(answer.headers)).encode() + answer.body
