"""What is known about a fitted model, as plain data: the `model.json` of an artefact.

Like a dataset's manifest it holds no wall clock: the same rows and seed give the same record.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from evenstore.dtypes import Dtype
from evenstore.errors import FormatVersionError, TrainingError
from evenstore.schema.model import Field
from evenstore.semantics import Knowledge
from training.evaluation.calibration import Calibration, CalibrationBin
from training.evaluation.evaluate import Baseline, Evaluation, Part
from training.evaluation.importance import Importance
from training.evaluation.metrics import Metrics, Spread, spread_of
from training.evaluation.segments import Segment, SegmentTable
from training.knowledge import KnowledgeComparison, ViewDifference
from training.options import ModelKind

__all__ = ["RECORD_VERSION", "FoldRecord", "ModelRecord", "SplitRecord"]

RECORD_VERSION = 2


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """The instants of a split, RFC 3339 in UTC, and what was purged.

    Attributes:
        train_start: First instant of the training part.
        train_end: Last instant of the training part.
        cut: First instant of the test period.
        test_end: Last instant of the test part.
        purge_days: The least label window that was kept clear of the cut.
        n_purged: Rows before the cut that were left out for it.
    """

    train_start: str
    train_end: str
    cut: str
    test_end: str
    purge_days: float
    n_purged: int


@dataclass(frozen=True, slots=True)
class FoldRecord:
    """One fold: when its parts lie, and what was measured on its test part."""

    split: SplitRecord
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """How a model was made and how good it is.

    Attributes:
        feature_service: The service whose vectors the model takes.
        schema_fingerprint: Of that service when the dataset was built.
        knowledge: What the training rows were allowed to know.
        label: What is predicted: the probability that it is true.
        features: Input columns with their declared types, in order.
        dataset_hash: Value hash of the training dataset.
        n_rows: Rows of the training dataset.
        kind: The classifier.
        seed: Of the classifier.
        baseline_features: The features that the baseline model has.
        folds: Earliest test window first. The artefact's model is that of the last fold, the one
            that was measured there: it saw none of that fold's test rows.
        segments: Metrics by the values of features, over the test rows of all folds.
        importance: All features, the most important to the last fold's model first.
        knowledge_comparison: What the other knowledge mode would have given, where it was asked.
        versions: Of the libraries that took part.
    """

    feature_service: str
    schema_fingerprint: str
    knowledge: Knowledge
    label: str
    features: tuple[Field, ...]
    dataset_hash: str
    n_rows: int
    kind: ModelKind
    seed: int
    baseline_features: tuple[str, ...]
    folds: tuple[FoldRecord, ...]
    segments: tuple[SegmentTable, ...]
    importance: tuple[Importance, ...]
    knowledge_comparison: KnowledgeComparison | None
    versions: dict[str, str]

    @property
    def last_fold(self) -> FoldRecord:
        """The fold whose model the artefact holds."""
        return self.folds[-1]

    @property
    def overall(self) -> dict[str, dict[str, Spread]]:
        """Mean and extremes over folds of each metric, for the model and each baseline by name."""
        columns = {"model": [fold.evaluation.model for fold in self.folds]}
        for fold in self.folds:
            for baseline in fold.evaluation.baselines:
                columns.setdefault(baseline.name, []).append(baseline.metrics)
        return {name: spread_of(metrics) for name, metrics in columns.items()}

    def to_document(self) -> dict[str, Any]:
        """Return the record as what JSON can hold."""
        document: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=_value))
        document["record_version"] = RECORD_VERSION
        # Derived, so that a reader of the file need not average; it is not read back.
        document["overall"] = {
            name: {metric: dataclasses.asdict(spread) for metric, spread in spreads.items()}
            for name, spreads in self.overall.items()
        }
        document["features"] = [[field.name, field.dtype.value] for field in self.features]
        return document

    @classmethod
    def from_json(cls, text: str) -> ModelRecord:
        """Read a record back; other keys of the document are left alone.

        Raises:
            FormatVersionError: It was written by a version with another form.
            TrainingError: It is not a model record.
        """
        try:
            return cls._from_document(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            msg = f"the model's record cannot be read: {exc!r}"
            raise TrainingError(msg, hint="fit the model again") from exc

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> ModelRecord:
        written = document["record_version"]
        if written != RECORD_VERSION:
            msg = f"the model's record has version {written!r}, this reader knows {RECORD_VERSION}"
            raise FormatVersionError(msg, hint="fit the model again")
        return cls(
            feature_service=document["feature_service"],
            schema_fingerprint=document["schema_fingerprint"],
            knowledge=Knowledge(document["knowledge"]),
            label=document["label"],
            features=tuple(Field(name, Dtype(dtype)) for name, dtype in document["features"]),
            dataset_hash=document["dataset_hash"],
            n_rows=document["n_rows"],
            kind=ModelKind(document["kind"]),
            seed=document["seed"],
            baseline_features=tuple(document["baseline_features"]),
            folds=tuple(
                FoldRecord(SplitRecord(**fold["split"]), _evaluation(fold["evaluation"]))
                for fold in document["folds"]
            ),
            segments=tuple(_segment_table(table) for table in document["segments"]),
            importance=tuple(Importance(**item) for item in document["importance"]),
            knowledge_comparison=_knowledge_comparison(document["knowledge_comparison"]),
            versions=document["versions"],
        )


def _value(member: Any) -> Any:
    return member.value


def _evaluation(document: dict[str, Any]) -> Evaluation:
    calibration = document["calibration"]
    return Evaluation(
        train=Part(**document["train"]),
        test=Part(**document["test"]),
        model=Metrics(**document["model"]),
        calibration=Calibration(
            bins=tuple(CalibrationBin(**bin_) for bin_ in calibration["bins"]),
            expected_error=calibration["expected_error"],
        ),
        baselines=tuple(
            Baseline(baseline["name"], Metrics(**baseline["metrics"]))
            for baseline in document["baselines"]
        ),
    )


def _segment_table(document: dict[str, Any]) -> SegmentTable:
    segments = (
        Segment(**{**segment, "metrics": _metrics(segment["metrics"])})
        for segment in document["segments"]
    )
    return SegmentTable(document["feature"], tuple(segments))


def _metrics(document: dict[str, Any] | None) -> Metrics | None:
    return None if document is None else Metrics(**document)


def _knowledge_comparison(document: dict[str, Any] | None) -> KnowledgeComparison | None:
    if document is None:
        return None
    views = tuple(ViewDifference(**view) for view in document["views"])
    return KnowledgeComparison(**{**document, "views": views})
