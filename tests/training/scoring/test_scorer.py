"""The batch scorer on a real feature repo, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore

from evenstore.clock import format_us
from evenstore.semantics import Knowledge
from tests.training.samples import DAY_US, START_US
from training.artefact import load_artefact
from training.cli import main
from training.dataset import TrainingDataset
from training.frame import instants_of

Capture = pytest.CaptureFixture[str]

_AS_OF_US = START_US + 100 * DAY_US


@pytest.fixture(scope="module")
def model(
    feature_repo: Path, entity_rows_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    source = ["--repo", str(feature_repo), "--feature-service", "checkout_v1"]
    source += ["--entity-rows", str(entity_rows_path), "--label", "buys_again_60d"]
    source += ["--label-timestamp", "label_timestamp", "--knowledge", "as_known"]
    assert main(["fit", *source, "--purge-days", "10", "--out", str(path)]) == 0
    return path


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """Customers to score: 38 and 39 are known, 40 is not."""
    path = tmp_path / "customers.parquet"
    table = pa.table(
        {"customer_id": [38, 39, 40], "basket_value": [5.0, None, 7.0], "note": ["a", None, "c"]}
    )
    pq.write_table(table, path)
    return path


def _score(feature_repo: Path, model: Path, rows: Path, out: Path, *more: str) -> int:
    at = ["--repo", str(feature_repo), "--model", str(model)]
    return main(["score", *at, "--entity-rows", str(rows), "--out", str(out), *more])


def test_rows_get_score_instant_and_missing_features(
    feature_repo: Path, model: Path, customers: Path, tmp_path: Path, capsys: Capture
) -> None:
    capsys.readouterr()
    out = tmp_path / "scores" / "out.parquet"
    instant = format_us(_AS_OF_US)
    assert _score(feature_repo, model, customers, out, "--as-of", instant) == 0
    printed = capsys.readouterr().out
    assert f"as of:       {instant}" in printed
    assert "rows:        3, 2 with a feature without a value" in printed
    table = pq.read_table(out)
    assert table.select(["customer_id", "basket_value", "note"]).equals(pq.read_table(customers))
    assert table.schema.field("score").type == pa.float64()
    assert table.schema.field("as_of").type == pa.timestamp("us", tz="UTC")
    assert instants_of(table, "as_of").tolist() == [_AS_OF_US] * 3
    # Three features of the view and one on-demand output, which lacks an input where one is null.
    assert table["n_missing"].to_pylist() == [0, 1, 4]
    assert f"mean score:  {pc.mean(table['score']).as_py():.4f}" in printed
    assert [path.name for path in out.parent.iterdir()] == ["out.parquet"]


def test_scores_are_those_of_the_model_on_what_is_known_now(
    feature_repo: Path, model: Path, entity_rows_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    at = ["--event-timestamp", "event_timestamp"]
    assert _score(feature_repo, model, entity_rows_path, out, *at) == 0
    truth = TrainingDataset.build(
        "checkout_v1",
        entity_rows_path,
        repo=feature_repo,
        knowledge=Knowledge.LATEST_TRUTH,
        label="buys_again_60d",
    )
    expected = load_artefact(model).score(
        truth.table, as_of_us=instants_of(truth.table, "event_timestamp")
    )
    table = pq.read_table(out)
    np.testing.assert_array_equal(table["score"].to_numpy(), expected)
    assert table["as_of"].equals(table["event_timestamp"])


def test_now_is_the_commands_clock(
    feature_repo: Path,
    model: Path,
    customers: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    out = customers.with_name("out.parquet")
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", format_us(_AS_OF_US))
    capsys.readouterr()
    assert _score(feature_repo, model, customers, out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["first_as_of"] == report["last_as_of"] == format_us(_AS_OF_US)
    assert (report["n_rows"], report["n_rows_missing"]) == (3, 2)
    monkeypatch.delenv("EVENSTORE_TEST_MODE")
    assert _score(feature_repo, model, customers, out) == 1
    assert "outside test mode" in capsys.readouterr().err


def test_unusable_rows_are_refused_and_nothing_is_written(
    feature_repo: Path, model: Path, customers: Path, tmp_path: Path, capsys: Capture
) -> None:
    rows = pq.read_table(customers)
    cases = {
        "no column `basket_value`": rows.drop_columns(["basket_value"]),
        "join key `customer_id` is string": rows.set_column(0, "customer_id", [["a", "b", "c"]]),
        "already have a column `score`, which the result gets": rows.append_column(
            "score", [[1.0, 2.0, 3.0]]
        ),
        "there are no entity rows": rows.slice(0, 0),
    }
    out = tmp_path / "out.parquet"
    for message, table in cases.items():
        pq.write_table(table, tmp_path / "rows.parquet")
        assert _score(feature_repo, model, tmp_path / "rows.parquet", out) == 1
        assert message in capsys.readouterr().err
    assert _score(feature_repo, model, tmp_path / "none.parquet", out) == 1
    assert _score(feature_repo, tmp_path, customers, out) == 1
    assert "is not a model artefact" in capsys.readouterr().err
    assert not out.exists()


def test_feature_service_that_changed_is_refused(
    feature_repo: Path, model: Path, customers: Path, tmp_path: Path, capsys: Capture
) -> None:
    registry = feature_repo / "registry.db"
    before = registry.read_bytes()
    store = FeatureStore(repo_path=str(feature_repo))
    activity = store.get_feature_view("activity")
    store.apply([FeatureService(name="checkout_v1", features=[activity[["spend"]]])])
    try:
        assert _score(feature_repo, model, customers, tmp_path / "out.parquet") == 1
    finally:
        registry.write_bytes(before)
    err = capsys.readouterr().err
    assert "feature service `checkout_v1` has fingerprint" in err
    assert "hint: fit the model again" in err
    assert not (tmp_path / "out.parquet").exists()
