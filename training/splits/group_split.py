"""Grouped splits: all rows of one group, such as a customer, are on one side.

A group's side is decided by a hash of its value and the seed, and by nothing else: neither the
order of the rows nor other groups move it, so that a customer who tests today tests also next
month, when there are more rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.errors import TrainingError
from training.splits.row_indexes import RowIndexes, rows_where

__all__ = ["GroupSplit", "fold_by_group", "split_by_group"]

_HASH_BYTES = 8
_SEED_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class GroupSplit:
    """Row indexes of one split, each ascending; every row is in one of the two.

    Attributes:
        train: Rows of the groups that train.
        test: Rows of the groups that test.
    """

    train: RowIndexes
    test: RowIndexes


def split_by_group(
    groups: Sequence[pa.ChunkedArray], *, test_share: float, seed: int = 0
) -> GroupSplit:
    """Put a share of the groups on the test side.

    Args:
        groups: One column, or several whose values together name a group; integers, strings, bytes,
            flags, dates or timestamps. The width of an integer does not matter, the unit of a
            timestamp does.
        test_share: Share of groups to test on, between 0 and 1, both excluded. The share of rows is
            as near to it as the number and sizes of the groups allow.
        seed: Another one draws other groups; 0 to 2^64 - 1.

    Raises:
        TrainingError: The share or the seed is out of range, a group is null or of another type, or
            a side has no rows.
    """
    if not 0.0 < test_share < 1.0:
        msg = f"the test share must lie between 0 and 1: {test_share!r}"
        raise TrainingError(msg, hint="for example 0.25")
    hashes, n_groups = _hash_groups(groups, seed)
    # The top 53 bits, as many as a float64 holds, so that the comparison is exact everywhere.
    return _split((hashes >> np.uint64(11)) < np.uint64(test_share * 2**53), n_groups)


def fold_by_group(
    groups: Sequence[pa.ChunkedArray], *, n_folds: int, seed: int = 0
) -> tuple[GroupSplit, ...]:
    """Cut the groups into folds; each fold tests once, on a model of all others.

    Args:
        groups: As in `split_by_group`.
        n_folds: From 2.
        seed: As in `split_by_group`.

    Guarantees:
        The test sides are disjoint and together hold every row.

    Raises:
        TrainingError: As `split_by_group`; or there are fewer than two folds.
    """
    if n_folds <= 1:
        msg = f"the number of folds must be 2 or more: {n_folds}"
        raise TrainingError(msg, hint="for example 5")
    hashes, n_groups = _hash_groups(groups, seed)
    fold_of = hashes % np.uint64(n_folds)
    return tuple(_split(fold_of == np.uint64(i), n_groups) for i in range(n_folds))


def _split(is_test: npt.NDArray[np.bool_], n_groups: int) -> GroupSplit:
    split = GroupSplit(train=rows_where(~is_test), test=rows_where(is_test))
    for side, rows in (("train", split.train), ("test", split.test)):
        if len(rows) == 0:
            msg = f"{n_groups:,} groups leave no row to {side} on"
            raise TrainingError(
                msg, hint="give more groups, fewer folds, another share or another seed"
            )
    return split


def _hash_groups(
    groups: Sequence[pa.ChunkedArray], seed: int
) -> tuple[npt.NDArray[np.uint64], int]:
    """Hash each row's group; returns the hashes and the number of groups."""
    if not groups:
        msg = "no column names the groups"
        raise TrainingError(msg, hint="name one, such as a join key")
    if not 0 <= seed < 2 ** (8 * _SEED_BYTES):
        msg = f"the seed must lie between 0 and 2^64 - 1: {seed}"
        raise TrainingError(msg, hint="for example 0")
    codes, texts = zip(*(_codes(column) for column in groups), strict=True)
    unique, group_of = np.unique(np.column_stack(codes), axis=0, return_inverse=True)
    key = seed.to_bytes(_SEED_BYTES, "little")
    hashes = np.empty(len(unique), dtype=np.uint64)
    for i, row in enumerate(unique.tolist()):
        digest = hashlib.blake2b(digest_size=_HASH_BYTES, key=key)
        for column_idx, code in enumerate(row):
            text = texts[column_idx][code]
            # With its length first, or ("ab", "c") would be ("a", "bc").
            digest.update(f"{len(text)}:".encode() + text)
        hashes[i] = int.from_bytes(digest.digest(), "little")
    return hashes[group_of.reshape(-1)], len(unique)


def _codes(column: Any) -> tuple[npt.NDArray[np.int64], list[bytes]]:
    """Number the values of a column; returns each row's number, and each number's value as text."""
    if column.null_count:
        msg = "a row's group is null"
        raise TrainingError(msg, hint="leave these rows out, or give them a group of their own")
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date64(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    encoded = column.combine_chunks().dictionary_encode()
    values = encoded.dictionary
    kind = values.type
    if pa.types.is_integer(kind):
        texts = [str(value).encode() for value in values.to_pylist()]
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = [value.encode() for value in values.to_pylist()]
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = values.to_pylist()
    else:
        msg = f"groups cannot be told by values of type {column.type}"
        raise TrainingError(msg, hint="take integers, strings, dates or timestamps")
    return encoded.indices.to_numpy().astype(np.int64), texts
