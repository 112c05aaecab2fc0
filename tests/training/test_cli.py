from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.training.samples import make_dataset
from training.cli import main
from training.dataset_file import DatasetFile
from training.manifest import Manifest

_DATASET = ["dataset", "--repo", "r", "--feature-service", "s", "--entity-rows", "e"]
_DATASET += ["--knowledge", "as_known", "--out", "x"]
_SCORE = ["score", "--repo", "r", "--model", "m", "--entity-rows", "e"]


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
    assert from_rows["folds"][0]["evaluation"]["test"]["n_rows"] > 0
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
    # A slow machine is told how far it is; nothing else is said.
    assert all(line.startswith("model: ") for line in err.splitlines())


def test_fit_in_folds_prints_few_lines_and_writes_model_and_report(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _source(feature_repo, entity_rows_path)
    options = ["--purge-days", "10", "--folds", "4", "--test-share", "0.5", "--compare-knowledge"]
    options += ["--segment", "activity__country", "--note", "Planted labels."]
    for feature in ("activity__first_order", "basket__basket_to_spend"):
        options += ["--baseline-feature", feature]
    out = ["--out", str(tmp_path / "model"), "--report", str(tmp_path / "report")]
    assert main(["fit", *source, *options, *out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 20
    assert [line[:7] for line in lines[1:5]] == [f"fold {i}:" for i in (1, 2, 3, 4)]
    text = "\n".join(lines)
    for part in (
        "saved:  the model of fold 4, which saw none of its test rows",
        "mean of 4 folds (least..greatest)",
        "logistic regression on 2 features alone",
        "expected calibration error of the model: 0.",
        "ROC AUC by activity__country: ",
        "ROC AUC lost when shuffled: activity__spend 0.",
        "as known then and as known now differ in 7",
        "of 800 rows (activity: 7",
    ):
        assert part in text, part
    assert lines[-1] == f"written to {tmp_path / 'model'}, report in {tmp_path / 'report'}"
    record = json.loads((tmp_path / "model" / "model.json").read_text())
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(record["folds"]) == 4
    assert record["knowledge_comparison"]["n_rows"] == 800
    assert report["notes"] == ["Planted labels."]
    assert report["folds"] == record["folds"]


def test_report_that_has_no_place_is_refused_before_the_fit_and_no_model_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.txt").write_text("years of work")
    # There is no such dataset: a message about it would mean that work had begun.
    arguments = ["fit", "--dataset", str(tmp_path / "none"), "--out", str(tmp_path / "model")]
    assert main([*arguments, "--report", str(tmp_path / "report")]) == 1
    assert "holds something that is not a report" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("option", ["--out", "--report"])
@pytest.mark.parametrize("place", ["file/model", "/proc/none/model"])
def test_place_that_cannot_be_written_is_refused_before_the_fit(
    option: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    arguments = ["fit", "--dataset", str(tmp_path / "none"), "--out", str(tmp_path / "model")]
    assert main([*arguments, option, str(tmp_path / place)]) == 1
    assert f"{place}` cannot be written: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_labels_joined_early_are_refused_with_the_row(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = pq.read_table(entity_rows_path)
    # The planted fault: as if each label had been known when its row was asked for.
    early = rows.set_column(
        rows.column_names.index("label_timestamp"), "label_timestamp", rows["event_timestamp"]
    )
    pq.write_table(early, tmp_path / "rows.parquet")
    source = _source(feature_repo, tmp_path / "rows.parquet")
    assert main(["fit", *source, "--folds", "2", "--out", str(tmp_path / "model")]) == 1
    err = capsys.readouterr().err
    assert "error: leak: label `buys_again_60d` in row 0 was known at" in err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_interrupted_fit_leaves_nothing_and_exits_with_130(tmp_path: Path) -> None:
    make_dataset(6_000).to_parquet(tmp_path / "dataset")
    script = Path(sys.executable).parent / "evenstore-train"
    command = [str(script), "fit", "--dataset", str(tmp_path / "dataset"), "--purge-days", "2"]
    # Many fits, so that the signal comes among them: after the first line of progress.
    command += ["--folds", "80", "--test-share", "0.8"]
    command += ["--out", str(tmp_path / "model"), "--report", str(tmp_path / "report")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, text=False
    )
    with process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline().startswith(b"model: ")
        # Python drops an interrupt that comes within a weak reference's callback; a user repeats.
        for _ in range(15):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
                break
        err, out = process.stderr.read(), process.stdout.read()
    assert process.returncode == 130
    assert err.endswith(b"interrupted: no partial file or folder is left\n")
    assert out == b""
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_interrupt_while_libraries_load_is_one_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupt:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "training.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "training.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupt(), *sys.meta_path])
    assert main(_DATASET) == 130
    assert capsys.readouterr().err == "interrupted: no partial file or folder is left\n"


def test_missing_http_library_is_named() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from training.cli import main\n"
        "sys.exit(main(['agree', '--model', 'm', '--repo', 'r', '--entity-rows', 'e',"
        " '--gateway', 'http://h']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 1
    assert "hint: pip install 'evenstore[client]'" in result.stderr


def test_verify_prints_what_changed_and_exits_with_three(
    feature_repo_copy: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset, manifest = tmp_path / "dataset.parquet", tmp_path / "manifest.json"
    source = _source(feature_repo_copy, entity_rows_path, service="two_views_v1")
    assert main(["dataset", *source, "--out", str(dataset), "--manifest", str(manifest)]) == 0
    out = capsys.readouterr().out
    assert "knowledge:       as_known (no created timestamps, so unaffected: profile)\n" in out
    assert "source files:    2 (" in out
    repo = ["--repo", str(feature_repo_copy)]
    assert main(["verify", str(dataset), *repo]) == 0
    assert capsys.readouterr().out == (
        "nothing changed (2 source files compared, with entity rows)\n"
    )
    folder = feature_repo_copy / "data" / "profile"
    shutil.copy(folder / "a.parquet", folder / "b.parquet")
    assert main(["verify", str(manifest), *repo]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "source file added: profile: data/profile/b.parquet"
    assert lines[1] == "  was none"
    assert lines[2].startswith("  now ")
    assert lines[3] == "1 changed (3 source files compared, without entity rows)"
    assert main(["verify", str(dataset), *repo, "--rebuild", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["is_proven"]
    assert document["is_reproduced"]
    assert document["changes"][0]["kind"] == "source file added"
    assert main(["verify", str(dataset), *repo, "--rebuild"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 changed, built again: equal values (3 source files compared, with entity rows)"
    )


def test_verify_of_no_dataset_fails_with_a_hint(
    feature_repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "none"), "--repo", str(feature_repo)]) == 1
    assert "hint: make one with `evenstore-train dataset`" in capsys.readouterr().err


def test_dataset_json_is_the_manifest_that_a_file_gets_too(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _source(feature_repo, entity_rows_path)
    files = ["--out", str(tmp_path / "d"), "--manifest", str(tmp_path / "new" / "m.json")]
    assert main(["dataset", *source, *files, "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["spec"]["feature_service"] == "checkout_v1"
    assert (tmp_path / "new" / "m.json").read_text() == printed
    assert DatasetFile(tmp_path / "d").manifest == Manifest.from_json(printed)


def test_dataset_without_a_label_is_built(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = _source(feature_repo, entity_rows_path)
    i = source.index("--label")
    source = source[:i] + source[i + 4 :]
    assert main(["dataset", *source, "--out", str(tmp_path / "d")]) == 0
    assert "label:           none" in capsys.readouterr().out


def test_progress_counts_rows_on_stderr(
    feature_repo: Path,
    entity_rows_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if the join had taken longer than a second.
    monkeypatch.setattr("evenstore.progress._QUIET_S", 0.0)
    source = _source(feature_repo, entity_rows_path)
    assert main(["dataset", *source, "--out", str(tmp_path / "d")]) == 0
    assert capsys.readouterr().err.startswith("training dataset: 800 of 800 rows (")


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
        ([*_DATASET, "--label-timestamp", "t"], "give also --label"),
        ([*_DATASET, "--manifest", "x"], "must be different files"),
        (["verify", "d"], "required: --repo"),
        (["fit", "--out", "x"], "nothing to fit: give --dataset FILE (made by"),
        (["fit", "--out", "x"], "--repo, --feature-service, --entity-rows, --label, --knowledge"),
        (["fit", "--out", "x", "--repo", "r", "--label", "y"], "give also --feature-service,"),
        (
            ["fit", "--out", "x", "--dataset", "d", "--label", "y", "--compare-knowledge"],
            "leave out --label, --compare-knowledge to fit from that file, or leave out --dataset",
        ),
        (["fit", "--out", "x", "--dataset", "d", "--folds", "0"], "not a whole number from 1"),
        (["fit", "--out", "x", "--dataset", "d", "--note", "n"], "give also --report DIR"),
        (["fit", "--out", "x", "--dataset", "d", "--report", "x/r"], "two folders, neither within"),
        ([*_SCORE, "--out", "o", "--as-of", "2011-12-09"], "not an ISO 8601 instant with a zone"),
        ([*_SCORE, "--out", "e"], "--out would replace the file of --entity-rows"),
        (
            [*_SCORE, "--out", "o", "--as-of", "2011-12-09T00:00Z", "--event-timestamp", "t"],
            "not allowed with",
        ),
        (["agree", *_SCORE[1:], "--gateway", "localhost:1"], "not a URL"),
        (["agree", *_SCORE[1:], "--gateway", "http://h:1", "--batch-rows", "0"], "from 1"),
        (["agree", *_SCORE[1:], "--gateway", "http://h:1", "--min-coverage", "1.1"], "from 0 to 1"),
        (["agree", *_SCORE[1:], "--gateway", "http://h:1", "--min-coverage", "nan"], "from 0 to 1"),
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


@pytest.mark.parametrize("command", ["dataset", "verify", "fit", "score", "agree"])
def test_help_teaches_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"  evenstore-train {command} " in capsys.readouterr().out


def test_help_loads_neither_feast_nor_a_model_library() -> None:
    code = (
        "import sys, training.cli\n"
        "names = {'feast', 'sklearn', 'pandas', 'polars', 'duckdb', 'matplotlib', 'httpx'}\n"
        "heavy = names & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert (result.returncode, result.stderr) == (0, "")
