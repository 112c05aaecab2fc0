"""One fit: a training dataset is split by time, a pipeline fitted on the past, measured after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evenstore.clock import format_us
from evenstore.errors import UnknownFeatureError
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import Field
from training.dataset import TrainingDataset
from training.evaluate import Evaluation, compare_with_baselines, measure, summarise_part
from training.frame import feature_frame, instants_of, labels_of
from training.model import build_pipeline
from training.options import FitOptions
from training.record import ModelRecord, SplitRecord
from training.split import Instants, TimeSplit, split_by_time
from training.threads import limit_threads
from training.versions import installed_versions

__all__ = ["Fit", "fit_model"]

_US_PER_DAY = 86_400_000_000
_LIBRARIES = ("evenstore", "scikit-learn", "numpy", "pandas", "joblib")


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted scikit-learn pipeline and its record."""

    pipeline: Any
    record: ModelRecord


def fit_model(
    dataset: TrainingDataset, options: FitOptions, *, progress: Progress | None = None
) -> Fit:
    """Split, fit and measure; the same dataset, options and versions give the same model.

    Args:
        dataset: With a label of two classes.
        options: How to fit.
        progress: Told of two steps: the model fitted, the baselines measured.

    Raises:
        UnknownFeatureError: The baseline's feature is not in the dataset.
        TrainingError: The rows cannot be split, a part has one class only, or a feature has a type
            or value that a model cannot take.
    """
    baseline_feature = _baseline_feature(dataset, options)
    spec = dataset.manifest.spec
    times_us = instants_of(dataset.table, spec.event_timestamp_column)
    labels = labels_of(dataset.table, spec.label)
    frame = feature_frame(dataset.table, dataset.features, as_of_us=times_us)
    split = split_by_time(
        times_us,
        test_share=options.test_share,
        purge_us=options.purge_us,
        label_times_us=_label_times_us(dataset),
    )
    train = summarise_part("training", dataset.table, dataset.features, labels, split.train)
    test = summarise_part("test", dataset.table, dataset.features, labels, split.test)
    steps = NullProgress() if progress is None else progress
    pipeline = build_pipeline(dataset.features, kind=options.kind, seed=options.seed)
    with limit_threads(len(split.train)):
        pipeline.fit(frame.iloc[split.train], labels[split.train])
        metrics = measure(labels[split.test], pipeline.predict_proba(frame.iloc[split.test])[:, 1])
        steps.advance()
        baselines = compare_with_baselines(
            frame, labels, split, baseline_feature=baseline_feature, seed=options.seed
        )
        steps.advance()
    evaluation = Evaluation(train, test, metrics, baselines)
    split_record = _split_record(split, times_us, options)
    return Fit(pipeline, _record(dataset, options, split_record, evaluation))


def _baseline_feature(dataset: TrainingDataset, options: FitOptions) -> Field | None:
    if options.baseline_feature is None:
        return None
    known = {field.name: field for field in dataset.features}
    if options.baseline_feature not in known:
        raise UnknownFeatureError([options.baseline_feature], known)
    return known[options.baseline_feature]


def _label_times_us(dataset: TrainingDataset) -> Instants | None:
    column = dataset.manifest.spec.label_timestamp_column
    return None if column is None else instants_of(dataset.table, column)


def _split_record(split: TimeSplit, times_us: Instants, options: FitOptions) -> SplitRecord:
    return SplitRecord(
        train_start=format_us(int(times_us[split.train].min())),
        train_end=format_us(int(times_us[split.train].max())),
        cut=format_us(split.cut_us),
        test_end=format_us(int(times_us[split.test].max())),
        purge_days=options.purge_us / _US_PER_DAY,
        n_purged=len(split.purged),
    )


def _record(
    dataset: TrainingDataset, options: FitOptions, split: SplitRecord, evaluation: Evaluation
) -> ModelRecord:
    manifest = dataset.manifest
    return ModelRecord(
        feature_service=manifest.spec.feature_service,
        schema_fingerprint=manifest.schema_fingerprint,
        knowledge=manifest.spec.knowledge,
        label=manifest.spec.label,
        features=dataset.features,
        dataset_hash=manifest.result_hash,
        kind=options.kind,
        seed=options.seed,
        split=split,
        evaluation=evaluation,
        versions=installed_versions(*_LIBRARIES),
    )
