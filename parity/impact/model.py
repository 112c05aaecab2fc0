"""Loads a model to measure by.

Loading one runs whatever code is in it, so nothing is loaded unless the caller says that the files
are trusted.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evenstore.errors import ConfigurationError, ParityError

__all__ = ["ImpactModel", "Scores", "load_models"]

Scores = npt.NDArray[np.float64]

_RECORD = "model.json"
_MODEL = "model.joblib"
_HASH = "model_sha256"


@dataclass(frozen=True, slots=True, eq=False)
class ImpactModel:
    """A model that gives a probability.

    Attributes:
        name: For people.
        features: Its inputs, in order: `view__feature`, or `feature` alone.
        estimator: Has `predict_proba`.
    """

    name: str
    features: tuple[str, ...]
    estimator: Any

    def score(self, frame: Any) -> Scores:
        """Return the probability of yes for each row of a frame with the model's columns.

        Raises:
            ParityError: The model does not take the frame.
        """
        threadpoolctl = importlib.import_module("threadpoolctl")
        try:
            # Threads that wait for each other make small scores slower.
            with threadpoolctl.threadpool_limits(1):
                scores: Scores = np.asarray(self.estimator.predict_proba(frame))[:, 1]
        except Exception as exc:  # Whatever somebody's model raises.
            reason = str(exc).strip().partition("\n")[0]
            msg = f"model `{self.name}` cannot score: {reason}"
            raise ParityError(msg, hint="was it trained on this feature service?") from exc
        return scores


def load_models(paths: Sequence[Path], *, is_trusted: bool) -> list[ImpactModel]:
    """Load models.

    Args:
        paths: Folders that `evenstore-train fit` wrote, or `.joblib` or `.skops` files of
            scikit-learn classifiers that know their feature names.
        is_trusted: Whether the caller knows who made them.

    Raises:
        ConfigurationError: They are not trusted.
        ParityError: A model cannot be read, or does not say what its features are.
    """
    if paths and not is_trusted:
        msg = "a model file can run any code when it is loaded"
        raise ConfigurationError(msg, hint="add --trust-models if you know who made it")
    return [_load_folder(path) if path.is_dir() else _load_file(path) for path in paths]


def _load_folder(path: Path) -> ImpactModel:
    try:
        record = json.loads((path / _RECORD).read_text(encoding="utf-8"))
        data = (path / _MODEL).read_bytes()
        features = tuple(name for name, _dtype in record["features"])
        digest = record[_HASH]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"`{path}` is not a model folder: {exc!r}"
        raise ParityError(msg, hint="name a folder that `evenstore-train fit` wrote") from exc
    if hashlib.sha256(data).hexdigest() != digest:
        msg = f"`{path / _MODEL}` is not the file that `{_RECORD}` describes"
        raise ParityError(msg, hint="it was damaged or replaced: fit the model again")
    return ImpactModel(path.name, features, _unpickle(path / _MODEL, data))


def _load_file(path: Path) -> ImpactModel:
    try:
        data = path.read_bytes()
    except OSError as exc:
        msg = f"`{path}` cannot be read: {exc}"
        raise ParityError(msg, hint="name a model folder or file") from exc
    estimator = _load_skops(path, data) if path.suffix == ".skops" else _unpickle(path, data)
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or not hasattr(estimator, "predict_proba"):
        msg = f"`{path}` holds no classifier that knows its feature names"
        hint = "fit it on a frame whose columns are named as the features"
        raise ParityError(msg, hint=hint)
    return ImpactModel(path.stem, tuple(str(name) for name in names), estimator)


def _unpickle(path: Path, data: bytes) -> Any:
    joblib = importlib.import_module("joblib")
    try:
        return joblib.load(io.BytesIO(data))
    except Exception as exc:  # Whatever an unpickled class raises.
        msg = f"`{path}` cannot be loaded: {exc}"
        raise ParityError(msg, hint="install what it was fitted with") from exc


def _load_skops(path: Path, data: bytes) -> Any:
    try:
        skops = importlib.import_module("skops.io")
    except ModuleNotFoundError as exc:
        msg = f"`{path}` needs the package skops"
        raise ParityError(msg, hint="pip install skops") from exc
    return skops.loads(data, trusted=skops.get_untrusted_types(data=data))
