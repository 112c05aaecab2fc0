"""Data sets of the online cases on disk: rows, changes, a sample of entities and its right answers.

```text
<folder>/case.json             what it is; written last
<folder>/rows/<view>.parquet   loaded first
<folder>/<step>/<view>.parquet the file that comes before the step `changed` or `incremental`
<folder>/sample.parquet        keys to ask for, the last ones unknown
<folder>/right/<step>-<view>.parquet  newest row of each key of the sample after a step
<folder>/warm-up/...           the same with next to no data
```
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.online.cases import OnlineCase, Step
from benchmarks.online.rows import (
    CREATED,
    EVENT,
    Times,
    changed_times,
    feature_rows,
    feature_types,
    key_array,
    loaded_times,
    unknown_keys,
)
from evenstore.errors import ConfigurationError

__all__ = ["OnlineDataset", "build_online_dataset", "open_online_dataset"]

_VERSION = 1
_PART_ROWS = 1 << 20
_ROW_BYTES = {"numeric": 100, "mixed": 240}
_SPARE_BYTES = 1 << 30
_SAMPLE = 1_000
_UNKNOWN = 10
_CHANGES: tuple[Step, ...] = ("changed", "incremental")


@dataclass(frozen=True, slots=True)
class OnlineDataset:
    """One data set on disk.

    Attributes:
        folder: Its folder.
        case: Its shape, resized.
    """

    folder: Path
    case: OnlineCase

    @property
    def features(self) -> dict[str, pa.DataType]:
        """The features of each view with their types."""
        return feature_types(self.case.kind)

    @property
    def refs(self) -> list[str]:
        """All features of all views, as Feast refers to them."""
        return [f"{view}:{feature}" for view in self.case.views for feature in self.features]

    def file(self, step: Step, view: str) -> Path | None:
        """The file that a step finds new in the source of a view, None for `again`."""
        if step == "again":
            return None
        return self.folder / ("rows" if step == "load" else step) / f"{view}.parquet"

    def files_until(self, step: Step, view: str) -> list[Path]:
        """All files of a view that are there when a step runs."""
        steps = self.case.steps[: self.case.steps.index(step) + 1]
        return [path for one in steps if (path := self.file(one, view)) is not None]

    def sample_keys(self) -> list[Any]:
        """The keys to ask for; the last of them have no row."""
        keys: list[Any] = pq.read_table(self.folder / "sample.parquet").column(0).to_pylist()
        return keys

    def known_keys(self) -> list[Any]:
        """Those keys of the sample that have a row."""
        return self.sample_keys()[:-_UNKNOWN]

    def right_rows(self, step: Step, view: str) -> pa.Table:
        """Newest rows after a step, one per key of the sample; all null where there is none."""
        return pq.read_table(self.right_path(step, view))

    def right_path(self, step: Step, view: str) -> Path:
        """Where the newest rows after a step are."""
        return self.folder / "right" / f"{step}-{view}.parquet"

    def work_folder(self, contender: str) -> Path:
        """Where a contender's repos and sources are while it is measured."""
        return self.folder / "work" / contender

    def warm_up(self) -> OnlineDataset:
        """Return the tiny data set of the same shape."""
        return OnlineDataset(self.folder / "warm-up", self.case.warm_up())


def build_online_dataset(
    cache: Path,
    case: OnlineCase,
    *,
    seed: int,
    advance: Callable[[int], None] = lambda _n_rows: None,
) -> OnlineDataset:
    """Make a data set unless the cache has it.

    Args:
        cache: The folder of all data sets.
        case: The case, resized.
        seed: Of the random numbers.
        advance: Told how many rows were written.

    Raises:
        ConfigurationError: The disk has not enough room.
    """
    folder = cache.resolve() / f"{case.name}-{case.n_entities}-seed{seed}"
    dataset = OnlineDataset(folder, case)
    # A list and a tuple are the same in JSON.
    document = json.dumps({"version": _VERSION, "seed": seed, "case": case.to_document()}, indent=1)
    done = folder / "case.json"
    if done.exists() and done.read_text(encoding="utf-8") == document:
        return dataset
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _check_room(folder, case)
    for one in (dataset.warm_up(), dataset):
        _write(one, seed, advance)
    done.write_text(document, encoding="utf-8")
    return dataset


def open_online_dataset(folder: Path) -> OnlineDataset:
    """Open a data set that was made before.

    Raises:
        ConfigurationError: The folder is none, or was not finished.
    """
    try:
        document = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        msg = f"`{folder}` is not a data set of the online benchmark"
        raise ConfigurationError(msg, hint="`python -m benchmarks online` makes them") from exc
    return OnlineDataset(folder, OnlineCase.from_document(document["case"]))


def _write(dataset: OnlineDataset, seed: int, advance: Callable[[int], None]) -> None:
    case = dataset.case
    keys = key_array(case, seed=seed)
    for number in range(case.n_views):
        times = loaded_times(case, number, seed=seed)
        _write_file(dataset, number, "load", times, keys, seed=seed, advance=advance)
        for step in _CHANGES:
            if step in case.steps:
                times = changed_times(case, number, step, seed=seed)
                _write_file(dataset, number, step, times, keys, seed=seed, advance=advance)
    sample = _draw_sample(dataset, keys, seed=seed)
    pq.write_table(pa.table({case.key_column: sample}), dataset.folder / "sample.parquet")
    (dataset.folder / "right").mkdir()
    for step in case.steps:
        for view in case.views:
            pq.write_table(
                _newest_rows(dataset, step, view, sample), dataset.right_path(step, view)
            )


def _write_file(
    dataset: OnlineDataset,
    number: int,
    step: Step,
    times: Times,
    keys: pa.Array,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> None:
    path = dataset.file(step, dataset.case.views[number])
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    for part, start in enumerate(range(0, len(times.entities), _PART_ROWS)):
        rows = times.part(start, start + _PART_ROWS)
        table = feature_rows(dataset.case, number, rows, keys, step=step, part=part, seed=seed)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=_PART_ROWS)
        advance(table.num_rows)
    if writer is not None:
        writer.close()


def _draw_sample(dataset: OnlineDataset, keys: pa.Array, *, seed: int) -> pa.Array:
    """Draw entities, half of them from those that change, and add unknown ones."""
    case = dataset.case
    rng = np.random.default_rng((seed, 77))
    drawn = [rng.choice(case.n_entities, min(_SAMPLE, case.n_entities), replace=False)]
    for step in _CHANGES:
        if step in case.steps:
            drawn.insert(0, changed_times(case, 0, step, seed=seed).entities[: _SAMPLE // 4])
    entities = list(dict.fromkeys(np.concatenate(drawn).tolist()))[:_SAMPLE]
    unknown = unknown_keys(case, _UNKNOWN, seed=seed)
    return pa.concat_arrays([keys.take(pa.array(entities)), unknown])


def _newest_rows(dataset: OnlineDataset, step: Step, view: str, sample: pa.Array) -> pa.Table:
    key = dataset.case.key_column
    is_asked_for = pc.field(key).isin(sample)
    files = dataset.files_until(step, view)
    rows = pa.concat_tables([pq.read_table(path, filters=is_asked_for) for path in files])
    rows = rows.sort_by([(key, "ascending"), (EVENT, "ascending"), (CREATED, "ascending")])
    keys = rows[key].combine_chunks()
    is_last = np.ones(len(keys), dtype=bool)
    is_last[:-1] = pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False)
    newest = rows.filter(pa.array(is_last))
    return newest.take(pc.index_in(sample, value_set=newest[key].combine_chunks()))


def _check_room(folder: Path, case: OnlineCase) -> None:
    needed = case.n_views * case.n_rows * _ROW_BYTES[case.kind] + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        msg = f"case {case.name} needs {needed / 1e9:.0f} GB of disk, there are {free / 1e9:.0f}"
        raise ConfigurationError(msg, hint="name another folder with --cache, or lower --scale")
