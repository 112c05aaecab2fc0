"""From a real Feast repo and Parquet files to a model that scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from evenstore.errors import UnknownFeatureServiceError
from evenstore.schema.compile import compile_store
from evenstore.schema.request import resolve_service
from evenstore.semantics import Knowledge, Status
from tests.training.samples import DAY_US
from training.artefact import check_schema, load_artefact, save_artefact
from training.dataset import TrainingDataset
from training.fit import fit_model
from training.frame import instants_of
from training.options import FitOptions


def _build(
    repo: Path | FeatureStore,
    rows: Path,
    *,
    service: str = "checkout_v1",
    knowledge: Knowledge = Knowledge.AS_KNOWN,
) -> TrainingDataset:
    return TrainingDataset.build(
        service,
        rows,
        repo=repo,
        knowledge=knowledge,
        label="buys_again_60d",
        label_timestamp_column="label_timestamp",
    )


def test_dataset_holds_what_was_known_at_each_row(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    dataset = _build(feature_repo, entity_rows_path)
    rows = pq.read_table(entity_rows_path)
    assert dataset.table.select(rows.column_names).equals(rows)
    is_known = rows["customer_id"].to_numpy() < 40
    status = dataset.table["activity__spend__status"].to_numpy()
    assert (status[is_known] == Status.PRESENT).all()
    assert (status[~is_known] == Status.NOT_FOUND).all()
    spend = dataset.table["activity__spend"].drop_null().to_numpy()
    assert spend.max() < 1_000.0
    event_us = instants_of(dataset.table.filter(is_known), "activity__spend__event_timestamp")
    as_of_us = instants_of(rows.filter(is_known), "event_timestamp")
    assert (as_of_us - event_us == 3_600_000_000).all()


def test_latest_truth_differs_and_both_name_their_mode(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    as_known = _build(feature_repo, entity_rows_path)
    truth = _build(feature_repo, entity_rows_path, knowledge=Knowledge.LATEST_TRUTH)
    assert truth.table["activity__spend"].drop_null().to_numpy().min() >= 1_000.0
    assert truth.manifest.spec.knowledge is Knowledge.LATEST_TRUTH
    assert truth.manifest.entity_rows_hash == as_known.manifest.entity_rows_hash
    assert truth.manifest.result_hash != as_known.manifest.result_hash


def test_path_frame_table_and_store_give_the_same_dataset(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    manifest = _build(feature_repo, entity_rows_path).manifest
    store = FeatureStore(repo_path=str(feature_repo))
    frame = pq.read_table(entity_rows_path).to_pandas()
    for rows in (frame, pq.read_table(entity_rows_path)):
        assert _build(store, rows).manifest == manifest


def test_model_from_a_repo_learns_and_passes_the_schema_check(
    feature_repo: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    dataset = _build(feature_repo, entity_rows_path)
    fit = fit_model(
        dataset,
        FitOptions(purge_us=10 * DAY_US, baseline_features=("activity__first_order",)),
    )
    evaluation = fit.record.last_fold.evaluation
    assert evaluation.model.roc_auc > 0.85
    for baseline in evaluation.baselines:
        assert evaluation.model.log_loss < baseline.metrics.log_loss
    assert 0.0 < evaluation.test.incomplete_share < 0.1
    save_artefact(fit, tmp_path / "model")
    artefact = load_artefact(tmp_path / "model")
    registry = compile_store(FeatureStore(repo_path=str(feature_repo)))
    check_schema(artefact, resolve_service(registry, "checkout_v1"))
    scores = artefact.score(dataset.table, as_of_us=instants_of(dataset.table, "event_timestamp"))
    assert np.isfinite(scores).all()


def test_unknown_service_is_refused_with_near_names(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    with pytest.raises(UnknownFeatureServiceError, match="did you mean `checkout_v1`"):
        _build(feature_repo, entity_rows_path, service="checkout_v2")


def test_list_features_are_fitted_by_their_length(
    feature_repo: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    built = _build(feature_repo, entity_rows_path, service="with_list_v1")
    built.to_parquet(tmp_path / "dataset.parquet")
    dataset = TrainingDataset.from_parquet(tmp_path / "dataset.parquet")
    assert dataset.table["activity__favourites"].drop_null()[0].as_py() == ["a", "b"]
    fit = fit_model(dataset, FitOptions(purge_us=10 * DAY_US))
    assert "activity__favourites" in fit.pipeline.feature_names_in_
    assert {item.feature for item in fit.record.importance} == {
        field.name for field in dataset.features
    }
