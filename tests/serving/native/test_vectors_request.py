from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import ormsgpack
import pytest

from serving.errors import InvalidRequestError
from serving.native.media_type import Form
from serving.native.vectors_request import VectorsRequest, parse_vectors_request

ROWS: list[Any] = [{"customer_id": 1}]
BEST = {"feature_service": "svc", "entity_rows": ROWS}


def test_defaults() -> None:
    request = parse_vectors_request(orjson.dumps(BEST), Form.JSON)
    assert request == VectorsRequest(
        feature_service="svc",
        features=None,
        entity_rows=ROWS,
        full_feature_names=False,
        fails_as_a_whole=False,
        as_of_us=None,
    )


def test_message_pack_and_json_say_the_same() -> None:
    instant = datetime(2011, 12, 10, tzinfo=UTC)
    body = {
        "features": ["a:b", "a:c"],
        "entity_rows": ROWS,
        "full_feature_names": True,
        "on_error": "fail",
        "as_of": instant,
    }
    packed = ormsgpack.packb(body, option=ormsgpack.OPT_DATETIME_AS_TIMESTAMP_EXT)
    request = parse_vectors_request(packed, Form.MESSAGE_PACK)
    assert request == parse_vectors_request(orjson.dumps(body), Form.JSON)
    assert request.as_of_us == 1_323_475_200_000_000
    assert request.features == ("a:b", "a:c")
    assert request.fails_as_a_whole


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"feature_service": "svc"}, "entity_rows"),
        ({**BEST, "entity_rows": []}, "entity_rows"),
        ({**BEST, "entity_rows": {"customer_id": [1]}}, "entity_rows"),
        ({**BEST, "entities": {}}, "entities"),
        ({**BEST, "feature_service": 1}, "feature_service"),
        ({**BEST, "on_error": "skip"}, "on_error"),
        ({**BEST, "on_error": []}, "on_error"),
        ({**BEST, "full_feature_names": "yes"}, "full_feature_names"),
        ({**BEST, "as_of": "yesterday"}, "as_of"),
        ({**BEST, "as_of": "2011-12-10T00:00:00"}, "as_of"),
        ({**BEST, "as_of": 1}, "as_of"),
        ({**BEST, "as_of": "0001-01-01T00:00:00+14:00"}, "as_of"),
        ({"features": "a:b", "entity_rows": ROWS}, "features"),
        ({"features": [], "entity_rows": ROWS}, "features"),
        ({"features": ["a:b", "a:b"], "entity_rows": ROWS}, "features"),
        ({"features": ["ab"], "entity_rows": ROWS}, "features"),
        ({"features": ["a:b:c"], "entity_rows": ROWS}, "features"),
        ({"features": ["@v2:b"], "entity_rows": ROWS}, "features"),
        ({"features": [1], "entity_rows": ROWS}, "features"),
    ],
)
def test_what_is_no_request_is_refused_with_the_place(body: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        parse_vectors_request(orjson.dumps(body), Form.JSON)
    assert raised.value.problems[0]["where"] == where
    assert raised.value.hint


@pytest.mark.parametrize("body", [{"entity_rows": ROWS}, {**BEST, "features": ["a:b"]}])
def test_one_way_of_naming_features(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="either"):
        parse_vectors_request(orjson.dumps(body), Form.JSON)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"", Form.JSON),
        (b"{", Form.JSON),
        (b"[]", Form.JSON),
        (b'{"as_of": NaN}', Form.JSON),
        (b'"\\ud800"', Form.JSON),
        (b"[" * 100_000, Form.JSON),
        (b"", Form.MESSAGE_PACK),
        (b"\xc1", Form.MESSAGE_PACK),
        (b"\x90", Form.MESSAGE_PACK),
        (b"\x81\x01\x01", Form.MESSAGE_PACK),
        (b"\xdd\xff\xff\xff\xff", Form.MESSAGE_PACK),
        (b"\x91" * 100_000, Form.MESSAGE_PACK),
        (b"\xd4\x05\x00", Form.MESSAGE_PACK),
        (b"\xc7\x0c\xff\x00\x00\x00\x00" + b"\x7f" * 8, Form.MESSAGE_PACK),
        (b"\xa1\xff", Form.MESSAGE_PACK),
    ],
)
def test_bytes_that_are_no_object_are_refused(body: bytes, form: Form) -> None:
    with pytest.raises(InvalidRequestError):
        parse_vectors_request(body, form)
