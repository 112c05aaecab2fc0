from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.answers import describe_difference, digest_answer
from evenstore.errors import OfflineStoreError

_COLUMNS = ("x", "n")


def _answer(**changes: pa.Array) -> pa.Table:
    columns = {
        "row_id": pa.array([0, 1, 2]),
        "x": pa.array([1.5, math.nan, None]),
        "n": pa.array([2**53 + 1, None, 0]),
    }
    return pa.table(columns | changes)


def test_answers_are_equal_whatever_the_order_of_rows_columns_and_chunks(tmp_path: Path) -> None:
    answer = _answer()
    other = pa.concat_tables([answer.slice(2), answer.slice(0, 2)]).select(["n", "x", "row_id"])
    path = tmp_path / "answer.parquet"
    pq.write_table(other, path)
    digests = [digest_answer(one, _COLUMNS) for one in (answer, other, path)]
    assert len({digest.value_hash for digest in digests}) == 1
    assert [digest.is_in_order for digest in digests] == [True, False, False]
    assert describe_difference(answer, other, _COLUMNS) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": pa.array([1.5, None, None])}, "1 of 3 rows differ; row 1: x is None, not nan"),
        ({"x": pa.array([1.5, math.nan, math.nan])}, "row 2: x is nan, not None"),
        ({"x": pa.array([1.5, math.nan, 0.0])}, "row 2: x is 0.0, not None"),
        ({"n": pa.array([2**53, None, 0])}, "row 0: n is 9007199254740992, not 9007199254740993"),
        ({"n": pa.array([2.0**53, None, 0])}, "n is double instead of int64"),
        ({"n": pa.array([2**53 + 1, None, None])}, "row 2: n is None, not 0"),
    ],
)
def test_a_difference_is_found_and_located(changes: dict[str, pa.Array], said: str) -> None:
    answer, other = _answer(), _answer(**changes)
    assert digest_answer(answer, _COLUMNS) != digest_answer(other, _COLUMNS)
    assert said in str(describe_difference(answer, other, _COLUMNS))


def test_a_lost_row_is_found() -> None:
    assert describe_difference(_answer(), _answer().slice(0, 2), _COLUMNS) == "2 rows instead of 3"


def test_a_missing_column_is_named() -> None:
    with pytest.raises(OfflineStoreError, match="'n' not exactly once"):
        digest_answer(_answer().drop_columns("n"), _COLUMNS)
