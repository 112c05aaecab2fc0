"""numpy: each feature row is searched in the sorted entity rows, then the winners are carried on.

Only entity rows are sorted. A feature row is a candidate of the first entity row of its entity at
or after it; the greatest candidate of each entity row is kept; an entity row without one inherits
that of the entity row before it. Time and memory do not depend on the length of histories.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from benchmarks.answers import Answer
from benchmarks.contenders.contender import Join
from benchmarks.contenders.late_fetch import finish, take_features
from benchmarks.data import Dataset
from benchmarks.rows import FEATURES

__all__ = ["open_join", "prepare"]

Int64s = NDArray[np.int64]

_LEAST = np.iinfo(np.int64).min


def prepare(_dataset: Dataset) -> None:
    """Do nothing: the files are taken as they come."""


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    entities = dataset.read_entity_rows()

    def join() -> Answer:
        sorted_entities = _SortedEntityRows(entities, dataset)
        features = []
        for view in dataset.case.views:
            source = ds.dataset(dataset.view_files(view), format="parquet")
            winners = sorted_entities.winners(source)
            features.append(take_features(source.to_table(columns=list(FEATURES)), winners))
        return finish(dataset, entities, features)

    return join


class _SortedEntityRows:
    """The entity rows in order of (entity, time), an entity being a rank among those asked for."""

    def __init__(self, entities: pa.Table, dataset: Dataset) -> None:
        self._keys = dataset.key_columns
        self._ttl_us = dataset.case.ttl_us
        self._values = [pc.unique(entities[key]) for key in self._keys]
        times = _times_us(entities["event_timestamp"])
        self._start_us = int(times.min())
        # One more than the longest distance, so that no time reaches into the next entity.
        self._span_us = int(times.max()) - self._start_us + 1
        composite = self._ranks(entities)[0] * self._span_us + (times - self._start_us)
        self._order = np.argsort(composite)
        self._composite = composite[self._order]
        self._times = times[self._order]

    def winners(self, source: ds.Dataset) -> Int64s:
        """Return for each entity row the number of its feature row, -1 where there is none."""
        narrow = source.to_table(columns=[*self._keys, "event_timestamp", "created"])
        ranks, is_known = self._ranks(narrow)
        times = _times_us(narrow["event_timestamp"])
        rows = np.flatnonzero(is_known & (times < self._start_us + self._span_us))
        ranks, times = ranks[rows], times[rows]
        created = _times_us(narrow["created"])[rows]
        # A feature row before all entity rows is a candidate of its entity's first one.
        composite = ranks * self._span_us + np.maximum(times - self._start_us, 0)
        slots = _search(self._composite, composite)
        inside = slots < len(self._composite)
        inside &= self._composite[np.minimum(slots, len(self._composite) - 1)] < (
            (ranks + 1) * self._span_us
        )
        rows, slots, times, created = rows[inside], slots[inside], times[inside], created[inside]
        best_times, winners = self._best(rows, slots, times, created)
        return self._carry_on(best_times, winners)

    def _best(
        self, rows: Int64s, slots: Int64s, times: Int64s, created: Int64s
    ) -> tuple[Int64s, Int64s]:
        """Keep the greatest (event timestamp, created) of each slot."""
        n_slots = len(self._composite)
        best_times = np.full(n_slots, _LEAST)
        np.maximum.at(best_times, slots, times)
        last = np.flatnonzero(times == best_times[slots])
        best_created = np.full(n_slots, _LEAST)
        np.maximum.at(best_created, slots[last], created[last])
        last = last[created[last] == best_created[slots[last]]]
        winners = np.full(n_slots, -1)
        winners[slots[last]] = rows[last]
        return best_times, winners

    def _carry_on(self, best_times: Int64s, winners: Int64s) -> Int64s:
        slots = np.arange(len(winners))
        source = np.maximum.accumulate(np.where(winners >= 0, slots, -1))
        entities = self._composite // self._span_us
        found = (source >= 0) & (entities[source] == entities)
        if self._ttl_us is not None:
            found &= self._times - best_times[source] <= self._ttl_us
        answer = np.empty(len(winners), dtype=np.int64)
        answer[self._order] = np.where(found, winners[source], -1)
        return answer

    def _ranks(self, table: pa.Table) -> tuple[Int64s, NDArray[np.bool_]]:
        ranks = np.zeros(table.num_rows, dtype=np.int64)
        is_known = np.ones(table.num_rows, dtype=np.bool_)
        for key, values in zip(self._keys, self._values, strict=True):
            codes = pc.index_in(table[key], value_set=values).fill_null(-1).to_numpy()
            is_known &= codes >= 0
            ranks = ranks * len(values) + codes
        return ranks, is_known


def _times_us(column: pa.ChunkedArray) -> Int64s:
    times: Int64s = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return times


def _search(haystack: Int64s, needles: Int64s) -> Int64s:
    """Search in threads: numpy lets go of the interpreter meanwhile."""
    with ThreadPoolExecutor() as pool:
        parts = np.array_split(needles, 8)
        return np.concatenate(list(pool.map(lambda part: np.searchsorted(haystack, part), parts)))
