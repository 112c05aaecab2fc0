"""Data sets on disk: one folder per case, scale and seed, made once and then only read.

```text
S-x1-seed7/
  case.json               the case and the seed; written last
  entity_rows.parquet
  views/view_0.parquet    or a folder view_0/ with part-00000.parquet and so on
  warm-up/                the same with next to no rows
  prepared/<contender>/   what a contender keeps of its own: a Feast repo, an index
```
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cases import SPAN_US, Case
from benchmarks.rows import FEATURES, Part, entity_rows, feature_rows, key_columns
from evenstore.errors import ConfigurationError

__all__ = ["Dataset", "build_dataset", "dataset_folder", "open_dataset"]

_VERSION = 1
_PART_ROWS = 1 << 20
"""pyarrow's and pandas' own size of a row group; most feature tables are written by them."""

_ROW_BYTES = 110
_SPARE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set on disk.

    Attributes:
        folder: Its folder.
        case: Its shape, scaled.
    """

    folder: Path
    case: Case

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The join keys."""
        return key_columns(self.case.key)

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The features of the answer, `view__feature`."""
        return tuple(f"{view}__{feature}" for view in self.case.views for feature in FEATURES)

    @property
    def entity_rows_path(self) -> Path:
        """The Parquet file of the entity rows."""
        return self.folder / "entity_rows.parquet"

    def read_entity_rows(self) -> pa.Table:
        """Read the entity rows into memory."""
        return pq.read_table(self.entity_rows_path)

    def view_path(self, view: str) -> Path:
        """The file of a view, or its folder where it has several."""
        plain = self.folder / "views" / f"{view}.parquet"
        return plain if self.case.n_files == 1 else plain.with_suffix("")

    def view_files(self, view: str) -> list[str]:
        """All files of a view, sorted."""
        path = self.view_path(view)
        return [str(path)] if path.is_file() else sorted(map(str, path.iterdir()))

    def prepared_folder(self, contender: str) -> Path:
        """Where a contender keeps what it prepares."""
        return self.folder / "prepared" / contender

    def warm_up(self) -> Dataset:
        """Return the tiny data set of the same shape."""
        return Dataset(self.folder / "warm-up", self.case.warm_up())


def dataset_folder(cache: Path, case: Case, *, scale: float, seed: int) -> Path:
    """Name the folder of a data set in a cache."""
    return cache.resolve() / f"{case.name}-x{scale:g}-seed{seed}"


def build_dataset(
    cache: Path,
    case: Case,
    *,
    scale: float,
    seed: int,
    advance: Callable[[int], None] = lambda _n_rows: None,
) -> Dataset:
    """Make a data set unless the cache has it.

    Args:
        cache: The folder of all data sets.
        case: The case at full size.
        scale: What its counts are multiplied with.
        seed: Of the random numbers.
        advance: Told how many rows were written.

    Raises:
        ConfigurationError: The disk has not enough room.
    """
    folder = dataset_folder(cache, case, scale=scale, seed=seed)
    dataset = Dataset(folder, case.scaled(scale))
    document = _document(dataset.case, seed)
    if _read_document(folder) == document:
        return dataset
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _check_room(folder, dataset.case)
    for part_of in (dataset.warm_up(), dataset):
        _write(part_of, seed, advance)
    (folder / "case.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    return dataset


def open_dataset(folder: Path) -> Dataset:
    """Open a data set that was made before.

    Raises:
        ConfigurationError: The folder is none, or was not finished.
    """
    document = _read_document(folder)
    if document is None:
        msg = f"`{folder}` is not a data set of a benchmark"
        raise ConfigurationError(msg, hint="make it: python -m benchmarks data --cache FOLDER")
    return Dataset(folder, Case(**document["case"]))


def _write(dataset: Dataset, seed: int, advance: Callable[[int], None]) -> None:
    case = dataset.case
    for number, view in enumerate(case.views):
        _write_view(dataset, number, view, seed, advance)
    first_part = next(_parts(case, 0))[1]
    pq.write_table(entity_rows(case, first_part, seed=seed), dataset.entity_rows_path)


def _write_view(
    dataset: Dataset, number: int, view: str, seed: int, advance: Callable[[int], None]
) -> None:
    path = dataset.view_path(view)
    (path.parent if dataset.case.n_files == 1 else path).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        writers: dict[int, pq.ParquetWriter] = {}
        for file_idx, part in _parts(dataset.case, number):
            table = feature_rows(dataset.case, part, seed=seed)
            if file_idx not in writers:
                stack.close()  # The files before this one are complete.
                name = path if dataset.case.n_files == 1 else path / f"part-{file_idx:05}.parquet"
                writers[file_idx] = stack.enter_context(pq.ParquetWriter(name, table.schema))
            writers[file_idx].write_table(table, row_group_size=_PART_ROWS)
            advance(part.n_rows)


def _parts(case: Case, view: int) -> Iterator[tuple[int, Part]]:
    """Yield the parts of a view with the number of the file each goes to."""
    number = 0
    for file_idx in range(case.n_files):
        n_left = _share(case.n_rows, file_idx, case.n_files)
        from_us = SPAN_US * file_idx // case.n_files
        until_us = SPAN_US * (file_idx + 1) // case.n_files
        while n_left:
            n_rows = min(n_left, _PART_ROWS)
            yield file_idx, Part(view, number, n_rows, from_us, until_us)
            n_left -= n_rows
            number += 1


def _share(total: int, idx: int, n_shares: int) -> int:
    return total * (idx + 1) // n_shares - total * idx // n_shares


def _check_room(folder: Path, case: Case) -> None:
    needed = case.n_views * case.n_rows * _ROW_BYTES + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        msg = f"case {case.name} needs {needed / 1e9:.0f} GB of disk, there are {free / 1e9:.0f}"
        raise ConfigurationError(msg, hint="name another folder with --cache, or lower --scale")


def _document(case: Case, seed: int) -> dict[str, Any]:
    return {"version": _VERSION, "seed": seed, "case": case.to_document()}


def _read_document(folder: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document
