from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from evenstore.errors import SchemaDriftError
from evenstore.semantics import Knowledge
from training.dataset import TrainingDataset
from training.knowledge import ViewDifference, compare_knowledge, differing_cells


def _build(repo: Path, rows: Path, knowledge: Knowledge) -> TrainingDataset:
    return TrainingDataset.build(
        "checkout_v1",
        rows,
        repo=repo,
        knowledge=knowledge,
        label="buys_again_60d",
        label_timestamp_column="label_timestamp",
    )


@pytest.mark.parametrize("knowledge", list(Knowledge))
def test_corrections_made_later_are_counted_view_by_view(
    knowledge: Knowledge, feature_repo: Path, entity_rows_path: Path
) -> None:
    dataset = _build(feature_repo, entity_rows_path, knowledge)
    # Every row's spend was corrected three days later; 40 of 41 customers have rows.
    n_known = sum(key < 40 for key in dataset.table["customer_id"].to_pylist())
    comparison = compare_knowledge(dataset, repo=feature_repo)
    assert comparison.n_rows == 800
    assert comparison.n_rows_differing == n_known
    activity, basket = comparison.views
    assert activity == ViewDifference("activity", n_known, n_known)
    # An on-demand output follows its input.
    assert basket == ViewDifference("basket", n_known, n_known)


def test_other_schema_than_the_datasets_is_refused(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    dataset = _build(feature_repo, entity_rows_path, Knowledge.AS_KNOWN)
    manifest = dataset.manifest
    other = type(manifest)(
        **{
            **{name: getattr(manifest, name) for name in manifest.__slots__},
            "schema_fingerprint": "0" * 16,
        }
    )
    with pytest.raises(SchemaDriftError, match="changed while its rows were compared"):
        compare_knowledge(TrainingDataset(table=dataset.table, manifest=other), repo=feature_repo)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (pa.array([1, None, 3, None]), pa.array([1, None, None, 4]), [0, 0, 1, 1]),
        (
            pa.array([float("nan"), float("nan"), None, 0.0]),
            pa.array([float("nan"), None, float("nan"), -0.0]),
            [0, 1, 1, 0],
        ),
        (pa.array(["a", "b", None]), pa.array(["a", "c", ""]), [0, 1, 1]),
        (
            pa.array([[float("nan")], [1.0], None, []]),
            pa.array([[float("nan")], [2.0], [], []]),
            [0, 1, 1, 0],
        ),
    ],
)
def test_null_and_nan_equal_themselves_and_not_each_other(
    one: pa.Array, other: pa.Array, expected: list[int]
) -> None:
    flags = differing_cells(pa.chunked_array([one]), pa.chunked_array([other]))
    assert flags.tolist() == [bool(flag) for flag in expected]
