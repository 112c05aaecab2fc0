from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from evenstore.errors import FormatVersionError, TrainingError, UnknownFeatureError
from tests.training.samples import DAY_US, make_dataset
from training.dataset import TrainingDataset
from training.fit import fit_model
from training.frame import feature_frame, instants_of
from training.options import FitOptions, ModelKind
from training.record import ModelRecord

_OPTIONS = FitOptions(
    purge_us=2 * DAY_US,
    baseline_feature="activity__spend",
    kind=ModelKind.LOGISTIC_REGRESSION,
)


@pytest.mark.parametrize("kind", list(ModelKind))
def test_planted_signal_beats_both_baselines(kind: ModelKind) -> None:
    fit = fit_model(make_dataset(1_500), dataclasses.replace(_OPTIONS, kind=kind))
    evaluation = fit.record.evaluation
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
    evaluation = fit_model(TrainingDataset(table, dataset.manifest), _OPTIONS).record.evaluation
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
    train, test = record.evaluation.train, record.evaluation.test
    assert test.n_rows == 100
    assert record.split.n_purged == 3
    assert train.n_rows + test.n_rows + record.split.n_purged == 400
    assert train.incomplete_share == pytest.approx(0.1, abs=0.01)
    assert record.split.train_end < record.split.cut < record.split.test_end


def test_join_keys_and_label_are_not_inputs_of_the_model() -> None:
    pipeline = fit_model(make_dataset(400), _OPTIONS).pipeline
    assert list(pipeline.feature_names_in_) == [field.name for field in make_dataset(10).features]


def test_record_survives_json() -> None:
    record = fit_model(make_dataset(400), _OPTIONS).record
    text = json.dumps(record.to_document())
    assert ModelRecord.from_json(text) == record
    with pytest.raises(FormatVersionError, match="version 9"):
        ModelRecord.from_json(text.replace('"record_version": 1', '"record_version": 9'))
    for broken in ("", "[]", "{}", text.replace('"seed"', '"sead"')):
        with pytest.raises(TrainingError, match="cannot be read"):
            ModelRecord.from_json(broken)


def test_unknown_baseline_feature_is_refused_with_near_names() -> None:
    options = dataclasses.replace(_OPTIONS, baseline_feature="activity__spent")
    with pytest.raises(UnknownFeatureError, match="did you mean `activity__spend`"):
        fit_model(make_dataset(20), options)


def test_one_class_in_a_part_is_refused() -> None:
    dataset = make_dataset(400)
    for kept, part in ((slice(0, 300), "training"), (slice(300, 400), "test")):
        labels = dataset.table["buys_again"].to_numpy().copy()
        labels[kept] = True
        table = dataset.table.set_column(3, "buys_again", pa.array(labels))
        with pytest.raises(TrainingError, match=f"rows of the {part} part have one label: True"):
            fit_model(TrainingDataset(table, dataset.manifest), _OPTIONS)
