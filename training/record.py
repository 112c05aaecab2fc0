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
from training.evaluate import Baseline, Evaluation, Metrics, Part
from training.options import ModelKind

__all__ = ["RECORD_VERSION", "ModelRecord", "SplitRecord"]

RECORD_VERSION = 1


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
class ModelRecord:
    """How a model was made and how good it is.

    Attributes:
        feature_service: The service whose vectors the model takes.
        schema_fingerprint: Of that service when the dataset was built.
        knowledge: What the training rows were allowed to know.
        label: What is predicted: the probability that it is true.
        features: Input columns with their declared types, in order.
        dataset_hash: Value hash of the training dataset.
        kind: The classifier.
        seed: Of the classifier.
        split: When the parts lie.
        evaluation: Metrics of the test part, baselines included.
        versions: Of the libraries that the model needs to be loaded with.
    """

    feature_service: str
    schema_fingerprint: str
    knowledge: Knowledge
    label: str
    features: tuple[Field, ...]
    dataset_hash: str
    kind: ModelKind
    seed: int
    split: SplitRecord
    evaluation: Evaluation
    versions: dict[str, str]

    def to_document(self) -> dict[str, Any]:
        """Return the record as what JSON can hold."""
        document = dataclasses.asdict(self)
        document["record_version"] = RECORD_VERSION
        document["knowledge"] = self.knowledge.value
        document["kind"] = self.kind.value
        document["features"] = [[field.name, field.dtype.value] for field in self.features]
        document["evaluation"]["baselines"] = list(document["evaluation"]["baselines"])
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
            kind=ModelKind(document["kind"]),
            seed=document["seed"],
            split=SplitRecord(**document["split"]),
            evaluation=_evaluation(document["evaluation"]),
            versions=document["versions"],
        )


def _evaluation(document: dict[str, Any]) -> Evaluation:
    return Evaluation(
        train=Part(**document["train"]),
        test=Part(**document["test"]),
        model=Metrics(**document["model"]),
        baselines=tuple(
            Baseline(baseline["name"], Metrics(**baseline["metrics"]))
            for baseline in document["baselines"]
        ),
    )
