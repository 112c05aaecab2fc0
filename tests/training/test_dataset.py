from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.errors import (
    ConfigurationError,
    EntityRowsError,
    SourceChangedError,
    TrainingError,
)
from evenstore.semantics import Knowledge
from tests.support.scale import full_only
from tests.training.samples import (
    DAY_US,
    JoinedRows,
    make_dataset,
    make_entity_rows,
    make_features,
    make_join,
)
from training.dataset import TrainingDataset
from training.dataset_file import DatasetFile
from training.fit import fit_model
from training.options import FitOptions

_BUILD = """\
import sys
from pathlib import Path
from typing import Any
from evenstore.semantics import Knowledge
from training.dataset import TrainingDataset
dataset = TrainingDataset.build(
    "checkout_v1", sys.argv[2], repo=sys.argv[1], knowledge=Knowledge.AS_KNOWN,
    label="buys_again_60d", label_timestamp_column="label_timestamp",
)
dataset.to_parquet(sys.argv[3])
"""


def _build(repo: Path, rows: Path | pa.Table, **options: str) -> TrainingDataset:
    return TrainingDataset.build(
        "checkout_v1", rows, repo=repo, knowledge=Knowledge.AS_KNOWN, **options
    )


def _labelled(repo: Path, rows: Path | pa.Table) -> TrainingDataset:
    return _build(repo, rows, label="buys_again_60d", label_timestamp_column="label_timestamp")


def test_nothing_is_joined_until_the_result_is_asked_for() -> None:
    opened: list[int] = []

    class CountedRows(JoinedRows):
        def to_reader(self, batch_rows: int = 0) -> pa.RecordBatchReader:
            opened.append(batch_rows)
            return super().to_reader(batch_rows)

    rows = make_entity_rows(40)
    dataset = TrainingDataset(make_join(CountedRows(make_features(rows)), rows))
    assert dataset.n_rows == 40
    assert dataset.spec.label == "buys_again"
    assert len(dataset.features) == 6
    assert dataset.entity_table.equals(rows)
    assert len(dataset.split_by_time(test_share=0.5)) == 1
    assert dataset.explain() == "joined already"
    assert opened == []
    manifest = dataset.manifest
    assert dataset.table.num_rows == manifest.n_rows == 40
    # What one use joined, the next ones take.
    assert len(opened) == 1


def test_streamed_file_and_kept_table_are_the_same_bytes(
    feature_repo: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    streamed, kept = (_labelled(feature_repo, entity_rows_path) for _ in range(2))
    streamed.to_parquet(tmp_path / "streamed")
    assert kept.table.num_rows == 800
    kept.to_parquet(tmp_path / "kept")
    assert (tmp_path / "streamed").read_bytes() == (tmp_path / "kept").read_bytes()
    assert streamed.manifest == kept.manifest == DatasetFile(tmp_path / "kept").manifest


@full_only
@pytest.mark.slow
def test_another_process_writes_the_same_bytes(
    feature_repo: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    _labelled(feature_repo, entity_rows_path).to_parquet(tmp_path / "here.parquet")
    there = tmp_path / "there.parquet"
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(feature_repo), str(entity_rows_path), str(there)],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "America/New_York"},
        timeout=600,
    )
    assert there.read_bytes() == (tmp_path / "here.parquet").read_bytes()


def test_rows_without_a_label_can_be_scored_but_not_learned_from(
    feature_repo: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    rows = pq.read_table(entity_rows_path).drop_columns(["buys_again_60d", "label_timestamp"])
    dataset = _build(feature_repo, rows)
    dataset.to_parquet(tmp_path / "dataset.parquet")
    assert TrainingDataset.from_parquet(tmp_path / "dataset.parquet").spec.label is None
    with pytest.raises(TrainingError, match="has no label"):
        fit_model(dataset, FitOptions())
    with pytest.raises(EntityRowsError, match="no label is named"):
        _build(feature_repo, entity_rows_path, label_timestamp_column="label_timestamp")


def test_join_that_loses_rows_or_a_column_is_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    rows = make_entity_rows(4)
    joined = make_features(rows)
    for wrong in (joined.slice(1), pa.concat_tables([joined, joined])):
        with pytest.raises(TrainingError, match=f"gave {wrong.num_rows} rows for 4 entity rows"):
            TrainingDataset(make_join(wrong, rows)).to_parquet(tmp_path / "dataset.parquet")
    lacking = joined.drop_columns(["activity__spend__status"])
    with pytest.raises(TrainingError, match="activity__spend__status"):
        TrainingDataset(make_join(lacking, rows)).to_parquet(tmp_path / "dataset.parquet")
    assert not list(tmp_path.iterdir())


def test_source_that_changes_during_the_join_makes_no_dataset(
    feature_repo_copy: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    dataset = _labelled(feature_repo_copy, entity_rows_path)
    source = feature_repo_copy / "data" / "activity.parquet"
    pq.write_table(pq.read_table(source).slice(1), source)
    with pytest.raises(SourceChangedError, match="replaced or removed while it was read"):
        dataset.to_parquet(tmp_path / "dataset.parquet")
    assert not (tmp_path / "dataset.parquet").exists()


def test_written_dataset_is_read_back_equal(tmp_path: Path) -> None:
    dataset = make_dataset(20)
    dataset.to_parquet(tmp_path / "new" / "dataset.parquet")
    again = TrainingDataset.from_parquet(str(tmp_path / "new" / "dataset.parquet"))
    assert again.table.equals(dataset.table)
    assert again.manifest == dataset.manifest
    assert again.entity_table.equals(dataset.entity_table)
    assert (again.n_rows, again.spec) == (dataset.n_rows, dataset.spec)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["dataset.parquet"]
    with pytest.raises(TrainingError, match="has no join"):
        again.explain()


def test_dataset_of_some_rows_is_the_one_built_from_them(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    dataset = _labelled(feature_repo, entity_rows_path)
    (split,) = dataset.split_by_time(test_share=0.3, purge=timedelta(days=2))
    for rows in (split.train, split.test):
        part = dataset.take(rows)
        alone = _labelled(feature_repo, pq.read_table(entity_rows_path).take(pa.array(rows)))
        assert part.table.equals(alone.table)
        assert part.manifest == alone.manifest


def test_splits_of_a_dataset_know_its_instants_and_labels() -> None:
    dataset = make_dataset(40)
    assert dataset.label_times_us is not None
    np.testing.assert_array_equal(dataset.label_times_us - dataset.instants_us, 2 * DAY_US)
    splits = dataset.split_by_time(test_share=0.5, n_windows=2)
    assert [len(split.test) for split in splits] == [10, 10]
    # Labels are known after two days, a row comes every half day; the second window begins between
    # two rows, and the row two days before it is no help.
    assert [len(split.purged) for split in splits] == [3, 4]
    (purged,) = dataset.split_by_time(test_share=0.5, purge=timedelta(days=5))
    assert len(purged.purged) == 9
    split = dataset.split_by_group("customer_id", test_share=0.5, seed=3)
    customers = dataset.entity_table["customer_id"].to_numpy()
    assert not set(customers[split.train]) & set(customers[split.test])
    folds = dataset.fold_by_group("customer_id", n_folds=3)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(40))
    with pytest.raises(TrainingError, match="no column `shop` to group by"):
        dataset.split_by_group("shop", test_share=0.5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([9999], "there is no row 9999: the dataset has 4 rows"),
        (np.array([1, -1]), "there is no row -1"),
        ([True, False, True, True], "by their indexes, not by bool"),
        ([0.0, 1.0], "by their indexes, not by float64"),
        ([[0, 1]], "by their indexes"),
    ],
)
def test_rows_that_a_dataset_does_not_have_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        make_dataset(4).take(rows)


def test_no_rows_may_be_taken() -> None:
    assert make_dataset(4).take(np.array([], dtype=np.int64)).n_rows == 0


def test_purge_that_is_no_timedelta_is_refused() -> None:
    purge: Any = 10
    with pytest.raises(TrainingError, match="the purge is a timedelta, not 10"):
        make_dataset(4).split_by_time(test_share=0.5, purge=purge)


def test_empty_dataset_object_says_how_to_make_one() -> None:
    with pytest.raises(TrainingError, match="has no join"):
        _ = TrainingDataset().manifest


@pytest.mark.parametrize("form", ["as_known", Knowledge.AS_KNOWN])
def test_knowledge_may_be_named_by_its_value(
    feature_repo_copy: Path, entity_rows_path: Path, form: Knowledge | str
) -> None:
    dataset = TrainingDataset.build(
        "checkout_v1", entity_rows_path, repo=feature_repo_copy, knowledge=form
    )
    assert dataset.spec.knowledge is Knowledge.AS_KNOWN


def test_knowledge_of_no_known_mode_is_refused(
    feature_repo_copy: Path, entity_rows_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="no knowledge mode 'later'") as caught:
        TrainingDataset.build(
            "checkout_v1", entity_rows_path, repo=feature_repo_copy, knowledge="later"
        )
    assert "`as_known`" in (caught.value.hint or "")
