from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evenstore.errors import ConfigurationError, TrainingError
from tests.training.samples import make_dataset
from training.dataset import TrainingDataset
from training.dataset_file import ROW_GROUP_ROWS, DatasetFile, write_dataset

_N_ROWS = 2 * ROW_GROUP_ROWS + 17


def _table() -> pa.Table:
    numbers = np.arange(_N_ROWS)
    texts = pa.array(numbers % 1_000).cast(pa.string())
    lists = pa.array([[i] * (i % 3) for i in range(_N_ROWS)], pa.list_(pa.int64()))
    return pa.table({"number": numbers, "text": texts, "list": lists})


@pytest.mark.parametrize("batch_rows", [1_000, 50_001, ROW_GROUP_ROWS, _N_ROWS])
def test_bytes_depend_on_the_values_and_not_on_the_batches(batch_rows: int, tmp_path: Path) -> None:
    table, manifest = _table(), make_dataset(20).manifest
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_dataset(whole, table.schema, table.to_batches(), lambda: manifest)
    batches = table.slice(0, 3).to_batches() + table.slice(3).to_batches(batch_rows)
    assert write_dataset(cut, table.schema, batches, lambda: manifest) == manifest
    assert cut.read_bytes() == whole.read_bytes()
    metadata = pq.ParquetFile(cut).metadata
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 17]


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    table = _table()
    written: list[int] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.to_batches(ROW_GROUP_ROWS):
            # All row groups but the last one given are in the file by now.
            written.append(next(tmp_path.glob(".d.*")).stat().st_size)
            yield batch

    write_dataset(tmp_path / "d", table.schema, batches(), lambda: make_dataset(20).manifest)
    assert written[0] < written[1] < written[2]


def test_changed_dataset_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dataset.parquet"
    make_dataset(20).to_parquet(path)
    assert DatasetFile(path).hash_values() == DatasetFile(path).manifest.result_hash
    table = pq.read_table(path)
    flipped = table.set_column(3, "buys_again", pc.invert(table["buys_again"]))
    pq.write_table(flipped.replace_schema_metadata(pq.read_metadata(path).metadata), path)
    assert DatasetFile(path).hash_values() != DatasetFile(path).manifest.result_hash
    with pytest.raises(TrainingError, match="does not hold the values"):
        TrainingDataset.from_parquet(path)


def test_other_files_are_not_datasets(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no training dataset"):
        TrainingDataset.from_parquet(tmp_path / "none")
    (tmp_path / "text").write_text("no")
    with pytest.raises(ConfigurationError, match="cannot be read as Parquet"):
        TrainingDataset.from_parquet(tmp_path / "text")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "plain")
    with pytest.raises(TrainingError, match="has no manifest"):
        TrainingDataset.from_parquet(tmp_path / "plain")


def test_damaged_page_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dataset.parquet"
    make_dataset(2_000).to_parquet(path)
    damaged = bytearray(path.read_bytes())
    damaged[100:4_000] = bytes(3_900)
    path.write_bytes(damaged)
    file = DatasetFile(path)
    for use in (file.read, file.read_entity_rows, file.hash_values):
        with pytest.raises(ConfigurationError, match=r"dataset.parquet` cannot be read"):
            use()


def test_path_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigurationError, match="cannot write"):
        make_dataset(20).to_parquet(tmp_path / "file" / "dataset.parquet")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot write"):
        make_dataset(20).to_parquet(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
