from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from evenstore.errors import FormatVersionError, TrainingError, UnknownFeatureError
from tests.training.samples import DAY_US, make_dataset
from training.dataset import TrainingDataset
from training.evaluation.metrics import measure
from training.fit import fit_model
from training.frame import feature_frame, instants_of, labels_of
from training.knowledge import KnowledgeComparison, ViewDifference
from training.options import FitOptions, ModelKind
from training.record import ModelRecord
from training.splits.walk_forward import walk_forward

_OPTIONS = FitOptions(
    purge_us=2 * DAY_US,
    baseline_features=("activity__spend",),
    kind=ModelKind.LOGISTIC_REGRESSION,
)


@pytest.mark.parametrize("kind", list(ModelKind))
def test_planted_signal_beats_both_baselines(kind: ModelKind) -> None:
    fit = fit_model(make_dataset(1_500), dataclasses.replace(_OPTIONS, kind=kind))
    evaluation = fit.record.last_fold.evaluation
    base_rate, one_feature = (baseline.metrics for baseline in evaluation.baselines)
    assert base_rate.roc_auc == 0.5
    assert one_feature.roc_auc > 0.65
    assert evaluation.model.roc_auc > one_feature.roc_auc
    assert evaluation.model.log_loss < min(one_feature.log_loss, base_rate.log_loss)
    assert evaluation.model.brier < min(one_feature.brier, base_rate.brier)


def test_labels_without_a_signal_do_not_beat_the_base_rate() -> None:
    dataset = make_dataset(1_500)
    random = np.random.default_rng(7)
    shuffled = pa.array(random.permutation(dataset.table["buys_again"].to_numpy()))
    table = dataset.table.set_column(3, "buys_again", shuffled)
    evaluation = fit_model(
        TrainingDataset(table=table, manifest=dataset.manifest), _OPTIONS
    ).record.last_fold.evaluation
    assert 0.4 < evaluation.model.roc_auc < 0.6
    assert evaluation.model.log_loss > evaluation.baselines[0].metrics.log_loss


def test_same_seed_gives_the_same_model() -> None:
    dataset = make_dataset(400)
    options = dataclasses.replace(_OPTIONS, kind=ModelKind.GRADIENT_BOOSTING)
    one, other = fit_model(dataset, options), fit_model(dataset, options)
    assert one.record == other.record
    frame = feature_frame(
        dataset.table, dataset.features, as_of_us=instants_of(dataset.table, "event_timestamp")
    )
    scores = [fit.pipeline.predict_proba(frame) for fit in (one, other)]
    np.testing.assert_array_equal(*scores)


def test_record_tells_split_counts_and_origin() -> None:
    dataset = make_dataset(400)
    record = fit_model(dataset, _OPTIONS).record
    assert record.schema_fingerprint == dataset.manifest.schema_fingerprint
    assert record.dataset_hash == dataset.manifest.result_hash
    train, test = record.last_fold.evaluation.train, record.last_fold.evaluation.test
    assert test.n_rows == 100
    assert record.last_fold.split.n_purged == 3
    assert train.n_rows + test.n_rows + record.last_fold.split.n_purged == 400
    assert train.incomplete_share == pytest.approx(0.1, abs=0.01)
    split = record.last_fold.split
    assert split.train_end < split.cut < split.test_end


def test_join_keys_and_label_are_not_inputs_of_the_model() -> None:
    pipeline = fit_model(make_dataset(400), _OPTIONS).pipeline
    assert list(pipeline.feature_names_in_) == [field.name for field in make_dataset(10).features]


def test_record_survives_json() -> None:
    comparison = KnowledgeComparison(400, 7, (ViewDifference("activity", 7, 9),))
    options = dataclasses.replace(_OPTIONS, n_folds=2, segment_features=("activity__country",))
    record = fit_model(make_dataset(400), options, knowledge_comparison=comparison).record
    text = json.dumps(record.to_document())
    assert ModelRecord.from_json(text) == record
    assert ModelRecord.from_json(text).knowledge_comparison == comparison
    with pytest.raises(FormatVersionError, match="version 9"):
        ModelRecord.from_json(text.replace('"record_version": 2', '"record_version": 9'))
    for broken in ("", "[]", "{}", text.replace('"seed"', '"sead"')):
        with pytest.raises(TrainingError, match="cannot be read"):
            ModelRecord.from_json(broken)


def test_unknown_baseline_feature_is_refused_with_near_names() -> None:
    options = dataclasses.replace(_OPTIONS, baseline_features=("activity__spent",))
    with pytest.raises(UnknownFeatureError, match="did you mean `activity__spend`"):
        fit_model(make_dataset(20), options)


def test_one_class_in_a_part_is_refused() -> None:
    dataset = make_dataset(400)
    for kept, part in ((slice(0, 300), "training"), (slice(300, 400), "test")):
        labels = dataset.table["buys_again"].to_numpy().copy()
        labels[kept] = True
        table = dataset.table.set_column(3, "buys_again", pa.array(labels))
        with pytest.raises(TrainingError, match=f"rows of the {part} part have one label: True"):
            fit_model(TrainingDataset(table=table, manifest=dataset.manifest), _OPTIONS)


def test_one_class_in_a_fold_is_refused_with_the_folds_dates() -> None:
    dataset = make_dataset(400)
    labels = dataset.table["buys_again"].to_numpy().copy()
    labels[350:] = False
    table = dataset.table.set_column(3, "buys_again", pa.array(labels))
    options = dataclasses.replace(_OPTIONS, n_folds=2)
    with pytest.raises(
        TrainingError, match=r"^fold 2 of 2, test window 2011-.*: all 50 rows of the test part"
    ):
        fit_model(TrainingDataset(table=table, manifest=dataset.manifest), options)


def test_folds_have_models_of_their_own_and_the_last_one_is_kept() -> None:
    dataset = make_dataset(600)
    options = dataclasses.replace(_OPTIONS, n_folds=3, test_share=0.5)
    fit = fit_model(dataset, options)
    record = fit.record
    assert [fold.evaluation.test.n_rows for fold in record.folds] == [100, 100, 100]
    train_rows = [fold.evaluation.train.n_rows for fold in record.folds]
    assert train_rows == sorted(train_rows)
    assert train_rows[0] < train_rows[-1]
    # The kept model is the measured one: it gives the last fold's metrics again.
    times_us = instants_of(dataset.table, "event_timestamp")
    split = walk_forward(
        times_us,
        test_share=0.5,
        n_folds=3,
        purge_us=2 * DAY_US,
        label_times_us=instants_of(dataset.table, "label_timestamp"),
    )[-1]
    frame = feature_frame(dataset.table, dataset.features, as_of_us=times_us).iloc[split.test]
    labels = labels_of(dataset.table, "buys_again")[split.test]
    scores = fit.pipeline.predict_proba(frame)[:, 1]
    assert measure(labels, scores) == record.last_fold.evaluation.model


def test_overall_is_the_mean_and_spread_of_the_folds() -> None:
    options = dataclasses.replace(_OPTIONS, n_folds=3, test_share=0.5)
    record = fit_model(make_dataset(600), options).record
    values = [fold.evaluation.model.roc_auc for fold in record.folds]
    spread = record.overall["model"]["roc_auc"]
    assert spread.mean == pytest.approx(np.mean(values))
    assert (spread.least, spread.greatest) == (min(values), max(values))
    assert set(record.overall) == {
        "model",
        "base rate of the training part",
        "logistic regression on `activity__spend` alone",
    }
    document = record.to_document()["overall"]["model"]["brier"]
    assert document["least"] <= document["mean"] <= document["greatest"]


def test_several_baseline_features_make_one_logistic_regression() -> None:
    names = ("activity__spend", "activity__orders", "activity__spend")
    dataset = make_dataset(600)
    options = dataclasses.replace(_OPTIONS, baseline_features=names)
    record = fit_model(dataset, options).record
    assert record.baseline_features == names[:2]
    _, together = record.last_fold.evaluation.baselines
    assert together.name == "logistic regression on 2 features alone"
    alone = fit_model(dataset, _OPTIONS).record.last_fold.evaluation.baselines[1]
    assert together.metrics != alone.metrics


def test_segments_hold_the_test_rows_of_all_folds() -> None:
    options = dataclasses.replace(
        _OPTIONS, n_folds=2, test_share=0.5, segment_features=("activity__country",)
    )
    record = fit_model(make_dataset(600), options).record
    (table,) = record.segments
    assert {segment.name for segment in table.segments} == {"France", "Spain", "(null)"}
    n_tested = sum(fold.evaluation.test.n_rows for fold in record.folds)
    assert sum(segment.n_rows for segment in table.segments) == n_tested == 300


def test_segment_of_a_number_and_of_an_unknown_feature_are_refused() -> None:
    for name, error, message in (
        ("activity__orders", TrainingError, "`activity__orders` is Int64"),
        ("activity__contry", UnknownFeatureError, "did you mean `activity__country`"),
    ):
        options = dataclasses.replace(_OPTIONS, segment_features=(name,))
        with pytest.raises(error, match=message):
            fit_model(make_dataset(100), options)


def test_planted_signal_is_the_most_important_feature() -> None:
    options = dataclasses.replace(_OPTIONS, kind=ModelKind.GRADIENT_BOOSTING)
    importance = fit_model(make_dataset(1_500), options).record.importance
    assert len(importance) == 6
    assert {item.feature for item in importance[:2]} == {"activity__spend", "activity__country"}
    assert importance[1].mean > 0.05 > abs(importance[-1].mean)


def test_calibration_covers_the_test_part_and_finds_what_is_wrong() -> None:
    record = fit_model(make_dataset(1_500), _OPTIONS).record
    calibration = record.last_fold.evaluation.calibration
    assert sum(bin_.n_rows for bin_ in calibration.bins) == 375
    assert calibration.expected_error < 0.15


@pytest.mark.parametrize("kind", list(ModelKind))
def test_features_that_are_all_null_are_refused_as_a_join_that_found_nothing(
    kind: ModelKind,
) -> None:
    dataset = make_dataset(200)
    table = dataset.table
    for i, field in enumerate(dataset.features):
        nulls = pa.nulls(200, table.column(field.name).type)
        table = table.set_column(table.column_names.index(field.name), field.name, nulls)
        options = dataclasses.replace(_OPTIONS, kind=kind, baseline_features=())
        emptied = TrainingDataset(table=table, manifest=dataset.manifest)
        if i < len(dataset.features) - 1:
            fit_model(emptied, options)
    with pytest.raises(TrainingError, match="every feature is null in all 147 training rows"):
        fit_model(emptied, options)
