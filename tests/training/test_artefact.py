from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import joblib
import numpy as np
import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import ConfigurationError, SchemaDriftError, TrainingError
from evenstore.schema.model import FeatureViewSchema, Field
from tests.training.samples import DAY_US, make_dataset, make_request
from training.artefact import check_schema, load_artefact, save_artefact
from training.fit import Fit, fit_model
from training.frame import instants_of
from training.options import FitOptions


@pytest.fixture(scope="module")
def fit() -> Fit:
    return fit_model(make_dataset(400), FitOptions(purge_us=2 * DAY_US))


def _change_record(path: Path, **changes: object) -> None:
    record_path = path / "model.json"
    record_path.write_text(json.dumps({**json.loads(record_path.read_text()), **changes}))


def test_loaded_model_scores_to_the_last_bit_like_the_fitted_one(fit: Fit, tmp_path: Path) -> None:
    save_artefact(fit, tmp_path / "model")
    artefact = load_artefact(tmp_path / "model")
    assert artefact.record == fit.record
    table = make_dataset(400).table
    as_of_us = instants_of(table, "event_timestamp")
    save_artefact(Fit(artefact.pipeline, artefact.record), tmp_path / "copy")
    again = load_artefact(tmp_path / "copy")
    scores = artefact.score(table, as_of_us=as_of_us)
    np.testing.assert_array_equal(scores, again.score(table, as_of_us=as_of_us))
    one_by_one = artefact.score(table.slice(7, 1), as_of_us=as_of_us[7:8])
    assert one_by_one[0] == scores[7]


def test_planted_payload_is_found_before_it_is_unpickled(fit: Fit, tmp_path: Path) -> None:
    save_artefact(fit, tmp_path / "model")
    marker = tmp_path / "marker"
    # Unpickling this calls os.mkdir(marker), as an attacker's file would run a command.
    payload = f"cos\nmkdir\n(V{marker}\ntR.".encode()
    (tmp_path / "model" / "model.joblib").write_bytes(payload)
    with pytest.raises(TrainingError, match=r"is not the file that `model\.json` describes"):
        load_artefact(tmp_path / "model")
    assert not marker.exists()
    # The payload does fire when it is unpickled: the check above has something to find.
    joblib.load(io.BytesIO(payload))
    assert marker.exists()


def test_damaged_bytes_and_a_record_without_a_hash_are_refused(fit: Fit, tmp_path: Path) -> None:
    save_artefact(fit, tmp_path / "model")
    path = tmp_path / "model" / "model.joblib"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(TrainingError, match="damaged or replaced"):
        load_artefact(tmp_path / "model")
    path.write_bytes(content)
    _change_record(tmp_path / "model", model_sha256=None)
    with pytest.raises(TrainingError, match="damaged or replaced"):
        load_artefact(tmp_path / "model")


def test_other_major_version_is_refused(fit: Fit, tmp_path: Path) -> None:
    save_artefact(fit, tmp_path / "model")
    _change_record(tmp_path / "model", versions={**fit.record.versions, "scikit-learn": "99.1"})
    with pytest.raises(TrainingError, match=r"fitted with scikit-learn 99\.1"):
        load_artefact(tmp_path / "model")
    _change_record(tmp_path / "model", versions={"no-such-library": "1.0"})
    with pytest.raises(TrainingError, match="installed is none"):
        load_artefact(tmp_path / "model")


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not a model artefact"):
        load_artefact(tmp_path)


def test_schema_drift_is_refused(fit: Fit, tmp_path: Path) -> None:
    save_artefact(fit, tmp_path / "model")
    artefact = load_artefact(tmp_path / "model")
    request = make_request()
    check_schema(artefact, request)
    view: FeatureViewSchema = request.reads[0].view
    for drifted in (
        dataclasses.replace(view, ttl_us=DAY_US),
        dataclasses.replace(view, features=(*view.features, Field("extra", Dtype.INT64))),
    ):
        with pytest.raises(SchemaDriftError, match="has fingerprint"):
            check_schema(artefact, make_request(drifted))


def test_model_is_replaced_and_nothing_else_is_left(fit: Fit, tmp_path: Path) -> None:
    path = tmp_path / "models" / "shop"
    save_artefact(fit, path)
    (path / "notes.txt").write_text("of the old model")
    newer = dataclasses.replace(fit.record, seed=5)
    save_artefact(Fit(fit.pipeline, newer), path)
    assert load_artefact(path).record.seed == 5
    assert sorted(item.name for item in path.iterdir()) == ["model.joblib", "model.json"]
    assert [item.name for item in path.parent.iterdir()] == ["shop"]


def test_model_that_cannot_be_pickled_leaves_the_old_one(fit: Fit, tmp_path: Path) -> None:
    save_artefact(fit, tmp_path / "model")
    before = (tmp_path / "model" / "model.joblib").read_bytes()
    iter_once = (row for row in range(3))
    with pytest.raises(TypeError, match="cannot pickle 'generator'"):
        save_artefact(Fit(iter_once, fit.record), tmp_path / "model")
    assert (tmp_path / "model" / "model.joblib").read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["model"]


def test_foreign_folder_and_file_are_left_alone(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds something that is not a model"):
        save_artefact(fit, tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        save_artefact(fit, tmp_path / "thesis.txt")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        save_artefact(fit, tmp_path / "thesis.txt" / "model")
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    save_artefact(fit, tmp_path / "empty")
