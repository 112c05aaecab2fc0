"""The floor: features sorted by (entity, time) in a memory-mapped Arrow file, binary search.

What a join costs when nothing has to be decoded or sorted any more. Preparing it is not timed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.answers import Answer
from benchmarks.contenders.contender import Join
from benchmarks.contenders.late_fetch import finish, take_features
from benchmarks.data import Dataset
from benchmarks.rows import FEATURES
from evenstore.errors import ConfigurationError

__all__ = ["open_join", "prepare"]

Int64s = NDArray[np.int64]

_NAME = "mapped"
_ORDER = "order_key"
_MAX_KEY = 2**62


@dataclass(frozen=True, slots=True)
class _KeySpace:
    """How an entity key and a time become one int64.

    Attributes:
        codes: Per join key the smallest and the largest int, or the strings in use.
        start_us: The earliest time.
        span_us: Distance between two entities; longer than all times plus the ttl.
    """

    codes: list[Any]
    start_us: int
    span_us: int

    def order_keys(self, table: pa.Table, keys: tuple[str, ...]) -> tuple[Int64s, NDArray[Any]]:
        """Return the order keys and which rows have an entity that is known."""
        entities = np.zeros(table.num_rows, dtype=np.int64)
        is_known = np.ones(table.num_rows, dtype=np.bool_)
        for key, codes in zip(keys, self.codes, strict=True):
            if isinstance(codes[0], str):
                values = pc.index_in(table[key], value_set=pa.array(codes))
                numbers, size = values.fill_null(-1).to_numpy(), len(codes)
            else:
                numbers, size = table[key].to_numpy() - codes[0], codes[1] - codes[0] + 1
            is_known &= (numbers >= 0) & (numbers < size)
            entities = entities * size + numbers
        times = table["event_timestamp"].cast(pa.int64()).to_numpy() - self.start_us
        return entities * self.span_us + times, is_known


def prepare(dataset: Dataset) -> None:
    """Write the sorted copies.

    Raises:
        ConfigurationError: Entities times time does not fit into 63 bits.
    """
    folder = dataset.prepared_folder(_NAME)
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for view in dataset.case.views:
        _write_view(dataset, view, folder)
    (folder / "done").touch()


def open_join(dataset: Dataset) -> Join:
    """Open the join; the files are mapped in the timed call, their pages are in memory by then."""
    entities = dataset.read_entity_rows()
    folder = dataset.prepared_folder(_NAME)
    spaces = {
        view: _KeySpace(**json.loads((folder / f"{view}.json").read_text(encoding="utf-8")))
        for view in dataset.case.views
    }

    def features_of(view: str) -> pa.Table:
        with pa.memory_map(str(folder / f"{view}.arrow")) as mapped:
            table = pa.ipc.open_file(mapped).read_all()
        space = spaces[view]
        wanted, is_known = space.order_keys(entities, dataset.key_columns)
        order = table[_ORDER].to_numpy()
        # Sorted needles find the same pages again.
        by_key = np.argsort(wanted)
        positions = np.empty(len(wanted), dtype=np.int64)
        positions[by_key] = np.searchsorted(order, wanted[by_key], side="right") - 1
        ttl_us = dataset.case.ttl_us
        first = wanted // space.span_us * space.span_us if ttl_us is None else wanted - ttl_us
        found = is_known & (positions >= 0) & (order[positions] >= first)
        return take_features(table.select(list(FEATURES)), np.where(found, positions, -1))

    def join() -> Answer:
        return finish(dataset, entities, [features_of(view) for view in dataset.case.views])

    return join


def _write_view(dataset: Dataset, view: str, folder: Path) -> None:
    import pyarrow.parquet as pq

    keys = dataset.key_columns
    table = pq.read_table(dataset.view_path(view))
    space = _key_space(dataset, table)
    order_keys, _ = space.order_keys(table, keys)
    created = table["created"].cast(pa.int64()).to_numpy()
    by_order = np.lexsort((created, order_keys))
    sorted_table = table.select(list(FEATURES)).take(pa.array(by_order)).combine_chunks()
    sorted_table = sorted_table.append_column(_ORDER, pa.array(order_keys[by_order]))
    with pa.ipc.new_file(folder / f"{view}.arrow", sorted_table.schema) as writer:
        writer.write_table(sorted_table)
    document = {"codes": space.codes, "start_us": space.start_us, "span_us": space.span_us}
    (folder / f"{view}.json").write_text(json.dumps(document), encoding="utf-8")


def _key_space(dataset: Dataset, table: pa.Table) -> _KeySpace:
    codes: list[Any] = []
    n_entities = 1
    for key in dataset.key_columns:
        if pa.types.is_string(table.schema.field(key).type):
            codes.append(sorted(pc.unique(table[key]).to_pylist()))
            n_entities *= len(codes[-1])
        else:
            ends = pc.min_max(table[key]).as_py()
            codes.append([ends["min"], ends["max"]])
            n_entities *= ends["max"] - ends["min"] + 1
    entities = dataset.read_entity_rows()
    times = [
        pc.min_max(rows["event_timestamp"].cast(pa.int64())).as_py() for rows in (table, entities)
    ]
    start_us = min(ends["min"] for ends in times)
    span_us = max(ends["max"] for ends in times) - start_us + (dataset.case.ttl_us or 0) + 1
    if n_entities * span_us >= _MAX_KEY:
        msg = f"{n_entities:,} entities are too many for one int64 with the time"
        raise ConfigurationError(msg, hint="leave the contender out: --contenders")
    return _KeySpace(codes, start_us, span_us)
