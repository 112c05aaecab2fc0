from __future__ import annotations

import itertools
import json

import pyarrow as pa
import pytest

from evenstore.codec.entity_key import check_key_value
from evenstore.dtypes import ENTITY_KEY_DTYPES, Dtype
from evenstore.schema.model import Field
from evenstore.semantics import Status
from parity.synthetic import fresh_keys, request_column, stable_hash
from parity.values import Undecodable, decode_online, to_json


def test_hash_is_the_same_in_every_process() -> None:
    assert stable_hash(0, (12347,)) == 10538648863465519168


def test_hash_tells_types_and_positions_apart() -> None:
    hashes = {stable_hash(1, "2"), stable_hash("1", 2), stable_hash("12"), stable_hash(12)}
    assert len(hashes) == 4


@pytest.mark.parametrize("dtype", [dtype for dtype in Dtype if dtype in ENTITY_KEY_DTYPES])
def test_fresh_keys_are_distinct_and_valid_keys_of_their_type(dtype: Dtype) -> None:
    key = Field("key", dtype)
    made = list(itertools.islice(fresh_keys([key], seed=1), 50))
    assert len(set(made)) == 50
    for row_idx, (value,) in enumerate(made):
        assert check_key_value(value, key, row_idx=row_idx) == value


def test_fresh_keys_begin_with_the_extremes_of_the_type() -> None:
    made = list(itertools.islice(fresh_keys([Field("key", Dtype.INT64)], seed=1), 4))
    assert made == [(2**63 - 1,), (-(2**63),), (-1,), (0,)]


def test_fresh_keys_depend_on_the_seed() -> None:
    first, other = (
        list(itertools.islice(fresh_keys([Field("key", Dtype.STRING)], seed), 20))
        for seed in (1, 2)
    )
    assert first != other


@pytest.mark.parametrize("dtype", list(Dtype))
def test_request_values_are_of_their_type_and_repeatable(dtype: Dtype) -> None:
    field = Field("amount", dtype)
    made = request_column(field, 40, seed=3)
    assert made == request_column(field, 40, seed=3)
    assert len(set(made)) > 1
    sent = json.loads(json.dumps([to_json(value) for value in made]))
    decoded = decode_online(dtype, sent, [Status.PRESENT] * 40)
    assert decoded == made
    assert not any(isinstance(value, Undecodable) for value in decoded)


def test_request_floats_are_exact_in_float32() -> None:
    made = request_column(Field("amount", Dtype.FLOAT32), 40, seed=3)
    assert pa.array(made, pa.float32()).to_pylist() == made
