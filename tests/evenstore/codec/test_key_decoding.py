from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from tests.support.scale import scaled

_ENCODERS = [EntityKeyEncoder, PackedKeyEncoder]
_INT64 = st.integers(-(2**63), 2**63 - 1)
_VALUES = {
    Dtype.BYTES: st.binary(max_size=5),
    Dtype.STRING: st.text(max_size=5),
    Dtype.INT32: st.integers(-(2**31), 2**31 - 1),
    Dtype.INT64: _INT64,
    Dtype.UNIX_TIMESTAMP: _INT64,
}
_KEYS = st.dictionaries(
    st.text(st.sampled_from("abcé"), min_size=1, max_size=3),
    st.sampled_from(list(_VALUES)),
    max_size=3,
)


@settings(max_examples=scaled(100, 5000))
@given(st.data(), st.sampled_from(_ENCODERS), st.sampled_from(["p", "a*c", "zürich"]))
def test_decoding_undoes_encoding_and_takes_nothing_else(
    data: st.DataObject, encoder_type: type[EntityKeyEncoder], project: str
) -> None:
    keys = [Field(name, dtype) for name, dtype in data.draw(_KEYS).items()]
    values = tuple(data.draw(_VALUES[key.dtype]) for key in keys)
    encoder = encoder_type(keys, project)
    encoded = encoder.encode(values)

    assert encoder.decode(encoded) == values
    assert encoder_type(keys, "other").decode(encoded) is None
    for n_bytes in range(len(encoded)):
        assert _is_none_or_other(encoder, encoded[:n_bytes], encoded)
    other = encoder.decode(encoded[:-1] + bytes([encoded[-1] ^ 1]))
    assert other is None or other != values


def _is_none_or_other(encoder: EntityKeyEncoder, cut: bytes, whole: bytes) -> bool:
    decoded = encoder.decode(cut)
    return decoded is None or (encoder.encode(decoded) == cut and cut != whole)


@pytest.mark.parametrize("encoder_type", _ENCODERS)
def test_text_that_is_none_is_no_key(encoder_type: type[EntityKeyEncoder]) -> None:
    text, raw = (encoder_type([Field("k", dtype)], "p") for dtype in (Dtype.STRING, Dtype.BYTES))
    key: Any = text.encode(["ab"]).replace(b"ab", b"\xff\xfe")

    assert text.decode(key) is None
    assert raw.decode(raw.encode([b"\xff\xfe"])) == (b"\xff\xfe",)


@pytest.mark.parametrize("encoder_type", _ENCODERS)
def test_entityless_key_holds_nothing(encoder_type: type[EntityKeyEncoder]) -> None:
    encoder = encoder_type([], "p")

    assert encoder.decode(encoder.encode(())) == ()
    dummy = encoder_type([Field("__dummy_id", Dtype.STRING)], "p").encode(["x"])
    assert encoder.decode(dummy) is None
