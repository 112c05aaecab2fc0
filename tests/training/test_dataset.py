from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evenstore.errors import ConfigurationError, FormatVersionError, TrainingError
from tests.training.samples import (
    DAY_US,
    SPEC,
    START_US,
    make_dataset,
    make_entity_rows,
    make_features,
    make_request,
)
from training.dataset import TrainingDataset, assemble_dataset
from training.manifest import Manifest


def _later(table: pa.Table, name: str, row_idx: int, instant_us: int) -> pa.Table:
    values = table[name].cast(pa.int64()).to_pylist()
    values[row_idx] = instant_us
    column = pa.array(values, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return table.set_column(table.column_names.index(name), name, column)


def test_feature_of_the_future_is_a_leak() -> None:
    rows = make_entity_rows(4)
    as_of_us = START_US + DAY_US
    name = "activity__orders__event_timestamp"
    at_the_instant = _later(make_features(rows), name, 2, as_of_us)
    assert assemble_dataset(at_the_instant, rows, make_request(), SPEC).table.num_rows == 4
    joined = _later(make_features(rows), name, 2, as_of_us + 1)
    with pytest.raises(TrainingError, match=r"leak: `activity__orders` in row 2 is of .*000001Z"):
        assemble_dataset(joined, rows, make_request(), SPEC)


def test_label_known_at_the_entity_rows_instant_is_a_leak() -> None:
    rows = _later(make_entity_rows(4), "label_timestamp", 3, START_US + 3 * DAY_US // 2)
    with pytest.raises(TrainingError, match="leak: label `buys_again` in row 3"):
        assemble_dataset(make_features(rows), rows, make_request(), SPEC)


def test_label_time_is_not_checked_where_it_is_not_stated() -> None:
    rows = _later(make_entity_rows(4), "label_timestamp", 3, START_US)
    spec = dataclasses.replace(SPEC, label_timestamp_column=None)
    assert assemble_dataset(make_features(rows), rows, make_request(), spec).features


def test_join_that_loses_a_row_or_a_column_is_refused() -> None:
    rows = make_entity_rows(4)
    joined = make_features(rows)
    with pytest.raises(TrainingError, match="gave 3 rows for 4 entity rows"):
        assemble_dataset(joined.slice(1), rows, make_request(), SPEC)
    lacking = joined.drop_columns(["activity__spend__status"])
    with pytest.raises(TrainingError, match="activity__spend__status"):
        assemble_dataset(lacking, rows, make_request(), SPEC)


def test_manifest_names_what_the_dataset_is_made_from() -> None:
    manifest = make_dataset(20).manifest
    assert manifest.n_rows == 20
    assert manifest.join_keys == ("customer_id",)
    assert manifest.schema_fingerprint == make_request().fingerprint
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert {"evenstore", "pyarrow"} <= set(manifest.versions)
    assert make_dataset(20).manifest == manifest
    assert make_dataset(20, seed=1).manifest.result_hash != manifest.result_hash


def test_written_dataset_is_read_back_equal(tmp_path: Path) -> None:
    dataset = make_dataset(20)
    dataset.to_parquet(tmp_path / "new" / "dataset.parquet")
    again = TrainingDataset.from_parquet(tmp_path / "new" / "dataset.parquet")
    assert again.table.equals(dataset.table)
    assert again.manifest == dataset.manifest
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dataset.parquet"]


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_dataset(50).to_parquet(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_changed_dataset_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dataset.parquet"
    make_dataset(20).to_parquet(path)
    table = pq.read_table(path)
    flipped = pc.invert(table["buys_again"])
    pq.write_table(table.set_column(3, "buys_again", flipped), path)
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


def test_manifest_of_another_version_or_form_is_refused() -> None:
    text = make_dataset(20).manifest.to_json()
    with pytest.raises(FormatVersionError, match="version 2"):
        Manifest.from_json(text.replace('"manifest_version": 1', '"manifest_version": 2'))
    with pytest.raises(TrainingError, match="cannot be read"):
        Manifest.from_json(text.replace('"knowledge": "as_known"', '"knowledge": "guessed"'))
    with pytest.raises(TrainingError, match="cannot be read"):
        Manifest.from_json("[]")


def test_path_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigurationError, match="cannot write"):
        make_dataset(20).to_parquet(tmp_path / "file" / "dataset.parquet")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot write"):
        make_dataset(20).to_parquet(tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
