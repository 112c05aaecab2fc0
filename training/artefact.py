"""A model on disk: `model.joblib`, and `model.json` that says what it is and what it hashes to.

The hash is checked before a byte is unpickled, on the very bytes that are then unpickled. It guards
against damage, mixed-up files and a swapped `model.joblib`; whoever can write both files can still
put code into them, so load artefacts only from folders that you trust.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa

from evenstore.errors import SchemaDriftError, TrainingError
from evenstore.schema.request import FeatureRequest
from training.evaluation.metrics import Probabilities
from training.fit import Fit
from training.frame import feature_frame
from training.record import ModelRecord
from training.splits.row_indexes import Instants
from training.threads import limit_threads
from training.versions import installed_versions, major_version
from training.whole_folder import whole_folder

__all__ = [
    "Artefact",
    "check_schema",
    "holds_artefact",
    "load_artefact",
    "save_artefact",
    "saved_artefact",
]

_MODEL_FILE = "model.joblib"
_RECORD_FILE = "model.json"
_HASH_KEY = "model_sha256"


@dataclass(frozen=True, slots=True, eq=False)
class Artefact:
    """A loaded model; safe to share between threads, as scoring changes nothing."""

    pipeline: Any
    record: ModelRecord

    def score(self, table: pa.Table, *, as_of_us: Instants) -> Probabilities:
        """Return the probability of the label for each row.

        Args:
            table: Holds the record's features by name, in their declared types.
            as_of_us: The instant of each row; ages of timestamps are relative to it.

        Guarantees:
            The same table gives the same bits. With gradient boosting a row's score does not depend
            on the other rows either; logistic regression sums in an order that their number
            decides.

        Raises:
            TrainingError: A feature's column is missing or infinite.
        """
        return self.score_frame(feature_frame(table, self.record.features, as_of_us=as_of_us))

    def score_frame(self, frame: Any) -> Probabilities:
        """Score what `training.frame.feature_frame` made of the record's features."""
        with limit_threads(len(frame)):
            probabilities: Probabilities = self.pipeline.predict_proba(frame)[:, 1]
        return probabilities


@contextmanager
def saved_artefact(fit: Fit, path: Path) -> Iterator[None]:
    """Write a model folder that takes its place when the block succeeds, with what else is written.

    Raises:
        ConfigurationError: The path is a file or a folder of something else, or cannot be written.
    """
    with whole_folder(path, is_ours=holds_artefact, kind="model") as folder:
        joblib.dump(fit.pipeline, folder / _MODEL_FILE)
        digest = hashlib.sha256((folder / _MODEL_FILE).read_bytes()).hexdigest()
        document = {**fit.record.to_document(), _HASH_KEY: digest}
        text = json.dumps(document, indent=1, sort_keys=True)
        (folder / _RECORD_FILE).write_text(text + "\n", encoding="utf-8")
        yield


def save_artefact(fit: Fit, path: Path) -> None:
    """Write a model folder; a reader never sees a part of it, nor a mixture of two.

    An artefact that is there already is replaced; any other folder with content is left alone.

    Raises:
        ConfigurationError: The path is a file or a folder of something else, or cannot be written.
    """
    with saved_artefact(fit, path):
        pass


def holds_artefact(path: Path) -> bool:
    """Tell whether a folder holds a model."""
    return (path / _RECORD_FILE).is_file()


def load_artefact(path: Path) -> Artefact:
    """Load a model whose hash and library versions are those that it was saved with.

    Raises:
        TrainingError: A file is missing or is not what `model.json` says, or a library has another
            major version than the model was fitted with. Nothing was unpickled.
    """
    try:
        text = (path / _RECORD_FILE).read_text(encoding="utf-8")
        model_bytes = (path / _MODEL_FILE).read_bytes()
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"`{path}` is not a model artefact: {exc}"
        raise TrainingError(msg, hint="make one with `evenstore-train fit`") from exc
    record = ModelRecord.from_json(text)
    if hashlib.sha256(model_bytes).hexdigest() != json.loads(text).get(_HASH_KEY):
        msg = f"`{path / _MODEL_FILE}` is not the file that `{_RECORD_FILE}` describes"
        raise TrainingError(msg, hint="it was damaged or replaced: fit the model again")
    _refuse_other_versions(record)
    return Artefact(joblib.load(io.BytesIO(model_bytes)), record)


def check_schema(artefact: Artefact, request: FeatureRequest) -> None:
    """Check that a feature service still is what the model was trained on.

    Raises:
        SchemaDriftError: A name, type, order, ttl or on-demand function has changed.
    """
    record = artefact.record
    if request.fingerprint != record.schema_fingerprint:
        msg = (
            f"feature service `{request.name}` has fingerprint {request.fingerprint}, the model "
            f"was trained on `{record.feature_service}` with {record.schema_fingerprint}"
        )
        raise SchemaDriftError(msg, hint="fit the model again, or apply the definitions it had")


def _refuse_other_versions(record: ModelRecord) -> None:
    installed = installed_versions(*record.versions)
    for name, version in record.versions.items():
        present = installed.get(name, "none")
        if major_version(present) != major_version(version):
            msg = f"the model was fitted with {name} {version}, installed is {present}"
            raise TrainingError(msg, hint=f"install {name} {major_version(version)} or fit again")
