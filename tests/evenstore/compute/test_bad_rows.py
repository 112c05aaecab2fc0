from __future__ import annotations

import pyarrow as pa
import pytest

from evenstore.compute.bad_rows import BadRowPolicy, GoodRows
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError
from evenstore.schema.model import FeatureViewSchema, Field

_VIEW = FeatureViewSchema(
    "stats",
    (Field("k", Dtype.INT64), Field("city", Dtype.STRING)),
    (Field("x", Dtype.INT64),),
    ttl_us=None,
)


def _batch(n_rows: int) -> pa.RecordBatch:
    numbers = pa.array(range(n_rows), pa.int64())
    return pa.record_batch({"k": numbers, "city": pa.array(["é"] * n_rows), "x": numbers})


def _refuse(*bad: int) -> _Encoder:
    class Encoder(_Encoder):
        refused = frozenset(bad)

    return Encoder()


class _Encoder:
    refused: frozenset[int] = frozenset()

    def __call__(self, batch: pa.RecordBatch) -> list[int]:
        values: list[int] = batch.column("x").to_pylist()
        for value in values:
            if value in self.refused:
                msg = f"stats:x: {value} is bad"
                raise CodecError(msg, hint="make it good")
        return values


def test_good_batch_is_encoded_once() -> None:
    rows = GoodRows(_VIEW, BadRowPolicy.FAIL)

    assert [encoded for _, encoded in rows.encode(_batch(5), _Encoder())] == [[0, 1, 2, 3, 4]]
    assert rows.n_refused == 0


def test_bad_row_is_named_by_its_key() -> None:
    rows = GoodRows(_VIEW, BadRowPolicy.FAIL)

    with pytest.raises(CodecError) as error:
        list(rows.encode(_batch(9), _refuse(6)))

    assert error.value.message == "stats:x: 6 is bad (entity key k=6, city='é')"
    assert error.value.hint is not None
    assert error.value.hint.startswith("make it good; `on_bad_row: skip`")


@pytest.mark.parametrize("bad", [(0,), (8,), (3, 4, 7), tuple(range(9))])
def test_skipped_rows_are_counted_and_all_others_encoded_in_order(bad: tuple[int, ...]) -> None:
    said: list[str] = []
    rows = GoodRows(_VIEW, BadRowPolicy.SKIP, tell=said.append)

    parts = list(rows.encode(_batch(9), _refuse(*bad)))

    assert [x for _, encoded in parts for x in encoded] == [x for x in range(9) if x not in bad]
    assert [x for batch, _ in parts for x in batch.column("x").to_pylist()] == [
        x for _, encoded in parts for x in encoded
    ]
    assert rows.n_refused == len(bad)
    named = f"stats:x: {bad[0]} is bad (entity key k={bad[0]}, city='é')"
    assert said[0] == f"stats: row skipped: {named}\n"
    assert len(said) == min(len(bad), 6)


def test_key_that_no_datetime_can_hold_is_named_too() -> None:
    key = pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))
    view = FeatureViewSchema("stats", (Field("at", Dtype.UNIX_TIMESTAMP),), (), ttl_us=None)
    said: list[str] = []

    def refuse(batch: pa.RecordBatch) -> None:
        batch.column("at").to_pylist()

    rows = GoodRows(view, BadRowPolicy.SKIP, tell=said.append)

    assert list(rows.encode(pa.record_batch({"at": key}), refuse)) == []
    assert f"entity key at={2**62} us since 1970" in said[0]
