"""What makes two answers equal: a hash of the values, and a comparison that says where they differ.

The hash is the same whatever wrote the answer: rows are taken by `row_id`, columns by name, all
NaN are one, 0.0 and -0.0 are two, and a null is neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.rows import ROW_ID
from evenstore.errors import OfflineStoreError

__all__ = ["Answer", "AnswerDigest", "describe_difference", "digest_answer", "load_answer"]

Answer: TypeAlias = "pa.Table | Path"
"""A table, or the Parquet file it was written to."""

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class AnswerDigest:
    """What is kept of an answer.

    Attributes:
        n_rows: Its rows.
        value_hash: Equal for equal values.
        is_in_order: Whether the rows came in the order of the entity rows.
    """

    n_rows: int
    value_hash: str
    is_in_order: bool


def load_answer(answer: Answer, columns: Sequence[str]) -> pa.Table:
    """Return an answer as a table of `row_id` and the features, ordered by `row_id`.

    Raises:
        OfflineStoreError: A column is missing or is there twice.
    """
    table = pq.read_table(answer) if isinstance(answer, Path) else answer
    wanted = [ROW_ID, *columns]
    wrong = [name for name in wanted if table.schema.names.count(name) != 1]
    if wrong:
        msg = f"the answer has {', '.join(map(repr, wrong[:3]))} not exactly once"
        raise OfflineStoreError(msg, hint=f"its columns: {', '.join(table.schema.names)}")
    table = table.select(wanted)
    return table if _is_in_order(table) else table.sort_by(ROW_ID)


def digest_answer(answer: Answer, columns: Sequence[str]) -> AnswerDigest:
    """Hash an answer.

    Raises:
        OfflineStoreError: A column is missing or is there twice.
    """
    table = pq.read_table(answer) if isinstance(answer, Path) else answer
    ordered = load_answer(table, columns)
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name in sorted(ordered.schema.names):
        digest.update(f"{name}:{ordered.schema.field(name).type};".encode())
        values, nulls = _canonical(ordered[name])
        digest.update(values.tobytes())
        digest.update(nulls.tobytes())
    return AnswerDigest(ordered.num_rows, digest.hexdigest(), _is_in_order(table))


def describe_difference(reference: pa.Table, other: pa.Table, columns: Sequence[str]) -> str | None:
    """Say where an answer differs from the reference, None where it does not.

    Raises:
        OfflineStoreError: A column is missing or is there twice.
    """
    expected, found = load_answer(reference, columns), load_answer(other, columns)
    if expected.num_rows != found.num_rows:
        return f"{found.num_rows:,} rows instead of {expected.num_rows:,}"
    for name in (ROW_ID, *columns):
        types = found.schema.field(name).type, expected.schema.field(name).type
        if types[0] != types[1]:
            return f"{name} is {types[0]} instead of {types[1]}"
    differing = {name: _differing_rows(expected[name], found[name]) for name in columns}
    rows = np.unique(np.concatenate(list(differing.values())))
    if not len(rows):
        return None
    name = next(name for name, indices in differing.items() if len(indices))
    row = int(differing[name][0])
    was, is_ = expected[name][row].as_py(), found[name][row].as_py()
    return f"{len(rows):,} of {found.num_rows:,} rows differ; row {row}: {name} is {is_}, not {was}"


def _is_in_order(table: pa.Table) -> bool:
    row_ids = table[ROW_ID].to_numpy()
    return bool(np.array_equal(row_ids, np.arange(len(row_ids))))


def _canonical(column: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the values as bits that are equal iff the values are, and where they are null."""
    nulls = column.is_null().to_numpy()
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        filled = column.cast(pa.string()).fill_null("")
        return np.array(filled.to_pylist(), dtype=object).astype(str), nulls
    values = pc.fill_null(column, 0).to_numpy()
    if pa.types.is_floating(column.type):
        values = np.where(np.isnan(values), np.nan, values)
    return np.ascontiguousarray(values), nulls


def _differing_rows(expected: pa.ChunkedArray, found: pa.ChunkedArray) -> NDArray[np.intp]:
    (old, old_nulls), (new, new_nulls) = _canonical(expected), _canonical(found)
    same = old.view(f"V{old.itemsize}") == new.view(f"V{new.itemsize}")
    return np.flatnonzero(~same | (old_nulls != new_nulls))
