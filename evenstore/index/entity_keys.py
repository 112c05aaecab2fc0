"""From entity keys to the numbers of entities, without an object per row.

Each join key has its distinct values, ascending; a key of several columns is numbered column by
column: the number of what came before times the number of this column's values, plus the place of
this one's, looked up among the combinations that there are. Numbers follow the order of the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.index.arrow_columns import whole_column
from evenstore.index.bisection import Bools, Int64s, blocks_of
from evenstore.schema.model import Field

__all__ = ["EntityKeys", "number_keys"]

# The large types: all distinct texts together may be longer than 2 GiB.
_TEXTS = {Dtype.STRING: pa.large_string(), Dtype.BYTES: pa.large_binary()}
# A table over the whole range of the values is made where most of its places are used.
_MAX_SPARSENESS = 8
# Hashing all distinct texts costs what so many binary searches cost.
_TEXTS_PER_SEARCH = 32


@dataclass(frozen=True, slots=True)
class EntityKeys:
    """The entities of one segment.

    Attributes:
        join_keys: The view's.
        values: Per join key its distinct values, ascending: int64, or text of a large type.
        pairs: Per join key after the first the combinations that there are, ascending.
    """

    join_keys: tuple[Field, ...]
    values: tuple[pa.ChunkedArray, ...]
    pairs: tuple[pa.ChunkedArray, ...]

    def number(self, keys: pa.Table) -> Int64s:
        """Look up entity keys.

        Args:
            keys: One column for each join key, of its declared Arrow type.

        Returns:
            The number of each entity; -1 where there is none, or a part of the key is null.
        """
        numbers = np.zeros(keys.num_rows, dtype=np.int64)
        for i, (key, values) in enumerate(zip(self.join_keys, self.values, strict=True)):
            places = _find(key, values, keys[key.name])
            if i == 0:
                numbers = places
                continue
            pairs = numbers * len(values) + places
            is_known = (numbers >= 0) & (places >= 0)
            numbers = _find_integers(self.pairs[i - 1], pairs, is_known)
        return numbers


def number_keys(join_keys: Sequence[Field], entities: pa.Table) -> EntityKeys:
    """Make the lookup of entities that are distinct and ordered by their keys.

    Args:
        join_keys: The view's.
        entities: A column for each, the entity's number is the row's.

    Raises:
        ValueError: They are not ordered as Arrow orders them.
    """
    values, pairs = [], []
    numbers: Int64s | None = None
    for key in join_keys:
        column = _plain(key, entities[key.name])
        distinct = pc.unique(column)
        distinct = pa.chunked_array([distinct.take(pc.sort_indices(distinct))])
        values.append(distinct)
        places = _find(key, distinct, entities[key.name])
        if numbers is None:
            # Rows of equal first keys follow one another.
            numbers = places
            continue
        combined = numbers * len(distinct) + places
        found, numbers = np.unique(combined, return_inverse=True)
        pairs.append(pa.chunked_array([pa.array(found)]))
    if numbers is not None and not np.array_equal(numbers, np.arange(entities.num_rows)):
        msg = "entities are not in the order of their keys"
        raise ValueError(msg)
    return EntityKeys(tuple(join_keys), tuple(values), tuple(pairs))


def _find(key: Field, values: pa.ChunkedArray, column: pa.ChunkedArray) -> Int64s:
    """Find the place of each key among the distinct values of its column, -1 for none."""
    plain = _plain(key, column)
    if key.dtype in _TEXTS:
        return _find_texts(values, plain)
    is_known = np.ones(len(plain), dtype=np.bool_)
    if plain.null_count:
        is_known = plain.is_valid().to_numpy()
        plain = pc.fill_null(plain, 0)
    return _find_integers(values, plain.to_numpy(), is_known)


def _plain(key: Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give a column the type that it is looked up in."""
    return column.cast(_TEXTS.get(key.dtype, pa.int64()))


def _find_integers(values: pa.ChunkedArray, wanted: Int64s, is_known: Bools) -> Int64s:
    known = whole_column(values)
    if not len(known):
        return np.full(len(wanted), -1, dtype=np.int64)
    first, last = int(known[0]), int(known[-1])
    span = last - first + 1
    if span <= _MAX_SPARSENESS * min(len(known), len(wanted)) or span == len(known):
        return _find_by_offset(known, wanted, is_known)
    is_inside = is_known & (wanted >= first) & (wanted <= last)
    inside = np.where(is_inside, wanted, first)
    order = np.argsort(inside)
    ascending = inside[order]
    places = np.searchsorted(known, ascending)
    found = np.empty(len(wanted), dtype=np.int64)
    found[order] = np.where(known[places] == ascending, places, -1)
    return np.where(is_inside, found, -1)


def _find_by_offset(known: Int64s, wanted: Int64s, is_known: Bools) -> Int64s:
    """Find integers that lie so close together that a table of all of them is small."""
    first, last = int(known[0]), int(known[-1])
    table: Int64s | None = None
    if last - first + 1 > len(known):
        table = np.full(last - first + 1, -1, dtype=np.int64)
        table[known - first] = np.arange(len(known))
    found = np.empty(len(wanted), dtype=np.int64)
    for block in blocks_of(len(wanted)):
        values = wanted[block]
        is_inside = is_known[block] & (values >= first) & (values <= last)
        offsets = np.where(is_inside, values, first) - first
        found[block] = np.where(is_inside, offsets if table is None else table[offsets], -1)
    return found


def _find_texts(values: pa.ChunkedArray, wanted: pa.ChunkedArray) -> Int64s:
    if len(wanted) * _TEXTS_PER_SEARCH >= len(values):
        places = pc.index_in(wanted, value_set=values).cast(pa.int64())
        return np.asarray(pc.fill_null(places, -1).to_numpy())
    # The value at each probed place is compared with the wanted one, all searches at once.
    position = np.zeros(len(wanted), dtype=np.int64)
    step = 1 << (len(values).bit_length() - 1)
    whole = wanted.combine_chunks()
    while step:
        probe = position + (step - 1)
        is_inside = probe < len(values)
        found = values.take(pa.array(np.minimum(probe, len(values) - 1))).combine_chunks()
        is_less = pc.fill_null(pc.less(found, whole), fill_value=False)
        position += (is_less.to_numpy(zero_copy_only=False) & is_inside) * step
        step >>= 1
    nearest = values.take(pa.array(np.minimum(position, len(values) - 1))).combine_chunks()
    is_found = pc.fill_null(pc.equal(nearest, whole), fill_value=False)
    is_found = is_found.to_numpy(zero_copy_only=False) & (position < len(values))
    return np.where(is_found, position, -1)
