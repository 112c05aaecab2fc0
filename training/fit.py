"""One fit: a dataset is split by time, a pipeline fitted on each past, and measured after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.clock import format_us
from evenstore.dtypes import Dtype
from evenstore.errors import TrainingError, UnknownFeatureError
from evenstore.progress import NullProgress, Progress
from evenstore.schema.model import Field
from training.dataset import TrainingDataset
from training.evaluation.calibration import calibrate
from training.evaluation.evaluate import (
    Evaluation,
    Part,
    compare_with_baselines,
    incomplete_rows,
    summarise_part,
)
from training.evaluation.importance import permutation_importance
from training.evaluation.metrics import Probabilities, measure
from training.evaluation.segments import SegmentTable, measure_segments
from training.frame import Labels, feature_frame, labels_of
from training.knowledge import KnowledgeComparison
from training.model import build_pipeline
from training.options import FitOptions
from training.record import FoldRecord, ModelRecord, SplitRecord
from training.splits.row_indexes import Instants
from training.splits.time_split import TimeSplit
from training.splits.walk_forward import describe_fold, walk_forward
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
    dataset: TrainingDataset,
    options: FitOptions,
    *,
    knowledge_comparison: KnowledgeComparison | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Split, fit and measure; the same dataset, options and versions give the same model.

    Every fold has a model of its own; the last one is returned. It is not fitted again on all rows:
    nobody has measured a model that has seen every row.

    Args:
        dataset: With a label of two classes.
        options: How to fit.
        knowledge_comparison: Goes into the record.
        progress: Told of two steps per fold (the model fitted, the baselines measured), and of one
            more when importance and segments are measured.

    Raises:
        UnknownFeatureError: A baseline's or segment's feature is not in the dataset.
        TrainingError: The rows cannot be split, a part has one class only, or a feature has a type
            or value that a model cannot take.
    """
    steps = NullProgress() if progress is None else progress
    run = _Run(dataset, options)
    scores = np.full(dataset.table.num_rows, np.nan)
    folds: list[FoldRecord] = []
    pipeline: Any = None
    for split, parts in zip(run.splits, run.parts, strict=True):
        pipeline, scores[split.test] = run.fit(split)
        steps.advance()
        folds.append(run.measure(split, parts, scores[split.test]))
        steps.advance()
    with limit_threads(0):
        importance = permutation_importance(
            pipeline, run.frame, run.labels, run.splits[-1].test, seed=options.seed
        )
    segments = run.measure_segments(scores)
    steps.advance()
    manifest = dataset.manifest
    record = ModelRecord(
        feature_service=manifest.spec.feature_service,
        schema_fingerprint=manifest.schema_fingerprint,
        knowledge=manifest.spec.knowledge,
        label=run.label,
        features=dataset.features,
        dataset_hash=manifest.result_hash,
        n_rows=manifest.n_rows,
        kind=options.kind,
        seed=options.seed,
        baseline_features=tuple(field.name for field in run.baseline_features),
        folds=tuple(folds),
        segments=segments,
        importance=importance,
        knowledge_comparison=knowledge_comparison,
        versions=installed_versions(*_LIBRARIES),
    )
    return Fit(pipeline, record)


class _Run:
    """A dataset as arrays, split into folds; everything that can be refused is refused here."""

    def __init__(self, dataset: TrainingDataset, options: FitOptions) -> None:
        self._table = dataset.table
        self._features = dataset.features
        self._options = options
        self.baseline_features = _named(dataset.features, options.baseline_features)
        self._segment_features = _named(dataset.features, options.segment_features)
        _refuse_other_than_strings(self._segment_features)
        spec = dataset.manifest.spec
        if spec.label is None:
            msg = "the dataset has no label: there is nothing to learn"
            raise TrainingError(msg, hint="build it with the column to predict named as its label")
        self.label = spec.label
        self._times_us = dataset.instants_us
        self.labels: Labels = labels_of(dataset.table, spec.label)
        self.frame = feature_frame(dataset.table, dataset.features, as_of_us=self._times_us)
        self.splits = walk_forward(
            self._times_us,
            test_share=options.test_share,
            n_folds=options.n_folds,
            purge_us=options.purge_us,
            label_times_us=dataset.label_times_us,
        )
        is_incomplete = incomplete_rows(dataset.table, dataset.features)
        self.parts = [
            self._summarise(fold_idx, is_incomplete) for fold_idx in range(len(self.splits))
        ]

    def _summarise(self, fold_idx: int, is_incomplete: npt.NDArray[np.bool_]) -> tuple[Part, Part]:
        split = self.splits[fold_idx]
        fold = describe_fold(self.splits, fold_idx)
        train = summarise_part("training", self.labels, is_incomplete, split.train, fold=fold)
        test = summarise_part("test", self.labels, is_incomplete, split.test, fold=fold)
        if not any(column.iloc[split.train].notna().any() for _, column in self.frame.items()):
            msg = f"{fold}every feature is null in all {train.n_rows:,} training rows"
            raise TrainingError(
                msg,
                hint="the join found nothing: are the join keys those of the sources, and the "
                "event timestamps within their rows and ttl?",
            )
        return train, test

    def fit(self, split: TimeSplit) -> tuple[Any, Probabilities]:
        """Fit a pipeline on the training part and score the test part."""
        options = self._options
        pipeline = build_pipeline(self._features, kind=options.kind, seed=options.seed)
        with limit_threads(len(split.train)):
            pipeline.fit(self.frame.iloc[split.train], self.labels[split.train])
            probabilities = pipeline.predict_proba(self.frame.iloc[split.test])[:, 1]
        return pipeline, probabilities

    def measure(
        self, split: TimeSplit, parts: tuple[Part, Part], probabilities: Probabilities
    ) -> FoldRecord:
        """Measure the test part's scores beside the baselines."""
        labels = self.labels[split.test]
        with limit_threads(len(split.train)):
            baselines = compare_with_baselines(
                self.frame,
                self.labels,
                split,
                baseline_features=self.baseline_features,
                seed=self._options.seed,
            )
        evaluation = Evaluation(
            train=parts[0],
            test=parts[1],
            model=measure(labels, probabilities),
            calibration=calibrate(labels, probabilities),
            baselines=baselines,
        )
        return FoldRecord(_split_record(split, self._times_us, self._options), evaluation)

    def measure_segments(self, scores: Probabilities) -> tuple[SegmentTable, ...]:
        """Measure the scores of all folds' test rows by the values of each segment feature."""
        tested = np.concatenate([split.test for split in self.splits])
        return tuple(
            measure_segments(
                field.name, self._table.column(field.name), self.labels, scores, tested
            )
            for field in self._segment_features
        )


def _named(features: tuple[Field, ...], names: tuple[str, ...]) -> tuple[Field, ...]:
    known = {field.name: field for field in features}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownFeatureError(unknown, known)
    return tuple(known[name] for name in dict.fromkeys(names))


def _refuse_other_than_strings(segment_features: tuple[Field, ...]) -> None:
    for field in segment_features:
        if field.dtype is not Dtype.STRING:
            msg = f"segments need a String feature, `{field.name}` is {field.dtype.value}"
            raise TrainingError(
                msg, hint="derive a string from it in an on-demand view, such as a band of amounts"
            )


def _split_record(split: TimeSplit, times_us: Instants, options: FitOptions) -> SplitRecord:
    return SplitRecord(
        train_start=format_us(int(times_us[split.train].min())),
        train_end=format_us(int(times_us[split.train].max())),
        cut=format_us(split.cut_us),
        test_end=format_us(int(times_us[split.test].max())),
        purge_days=options.purge_us / _US_PER_DAY,
        n_purged=len(split.purged),
    )
