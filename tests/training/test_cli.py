from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.samples import make_dataset
from training.cli import main


def _source(feature_repo: Path, entity_rows_path: Path, service: str = "checkout_v1") -> list[str]:
    return [
        *("--repo", str(feature_repo), "--feature-service", service),
        *("--entity-rows", str(entity_rows_path), "--label", "buys_again_60d"),
        *("--label-timestamp", "label_timestamp", "--knowledge", "as_known"),
    ]


def test_dataset_then_fit_gives_the_model_of_fit_alone(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _source(feature_repo, entity_rows_path)
    dataset, fit_options = tmp_path / "dataset.parquet", ["--purge-days", "10", "--json"]
    assert main(["dataset", *source, "--out", str(dataset)]) == 0
    assert "rows:            800" in capsys.readouterr().out
    assert main(["fit", "--dataset", str(dataset), "--out", str(tmp_path / "a"), *fit_options]) == 0
    from_dataset = json.loads(capsys.readouterr().out)
    assert main(["fit", *source, "--out", str(tmp_path / "b"), *fit_options]) == 0
    from_rows = json.loads(capsys.readouterr().out)
    assert from_dataset == from_rows
    assert from_rows["evaluation"]["test"]["n_rows"] > 0
    assert json.loads((tmp_path / "a" / "model.json").read_text()).items() >= from_rows.items()


def test_fit_prints_model_beside_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_dataset(400).to_parquet(tmp_path / "dataset")
    arguments = ["fit", "--dataset", str(tmp_path / "dataset"), "--out", str(tmp_path / "model")]
    options = ["--purge-days", "2", "--baseline-feature", "activity__spend"]
    options += ["--model", "logistic_regression", "--test-share", "0.5"]
    assert main([*arguments, *options]) == 0
    out, err = capsys.readouterr()
    assert "test:   200 rows, 2011-06-" in out
    for text in ("train:", "purged: 3 rows", "ROC AUC", "\nmodel ", "base rate of", "`activity__"):
        assert text in out
    assert err == ""


def test_dataset_json_is_the_manifest(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _source(feature_repo, entity_rows_path)
    assert main(["dataset", *source, "--out", str(tmp_path / "d"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["feature_service"] == "checkout_v1"


@pytest.mark.parametrize("command", ["dataset", "fit"])
def test_failure_prints_error_and_hint_and_writes_nothing(
    command: str,
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _source(feature_repo, entity_rows_path, service="checkout_v9")
    assert main([command, *source, "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: unknown feature service: `checkout_v9`\n\nhint: did you mean")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["dataset", "--out", "x"], "--knowledge"),
        (["fit", "--out", "x"], "give --dataset, or also --repo"),
        (["fit", "--out", "x", "--dataset", "d", "--label", "y"], "--dataset already says --label"),
        (["fit", "--out", "x", "--dataset", "d", "--purge-days", "nan"], "not a number of days"),
        (["fit", "--out", "x", "--dataset", "d", "--seed", "-1"], "not a whole number"),
    ],
)
def test_wrong_usage_exits_with_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["dataset", "fit"])
def test_help_teaches_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"evenstore-train {command} --" in capsys.readouterr().out


def test_help_loads_neither_feast_nor_a_model_library() -> None:
    code = (
        "import sys, training.cli\n"
        "heavy = {'feast', 'sklearn', 'pandas', 'polars', 'duckdb'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
