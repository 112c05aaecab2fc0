from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.commands import main
from benchmarks.guard import Limits, run_guarded
from benchmarks.results import read_results
from tests.repo.sources import ROOT
from tests.support.scale import full_only

_WRONG = "tests.benchmarks.off_by_one"


@pytest.mark.slow
@pytest.mark.e2e
def test_a_wrong_answer_is_reported_and_not_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    words = ["offline", "--cases", "S", "--scale", "0.001", "--repeats", "1", "--out", str(out)]
    words += ["--cache", str(tmp_path), "--contenders", f"duckdb-range,{_WRONG},mapped"]
    assert main(words) == 1
    printed = capsys.readouterr()
    said = "wrong: not the answer of duckdb-range: 1 of 100 rows differ; row 3:"
    assert said in printed.err
    assert said in printed.out
    results = read_results(out).cases["S"].contenders
    assert {name: len(result.samples) for name, result in results.items()} == {
        "duckdb-range": 1,
        _WRONG: 0,
        "mapped": 1,
    }
    assert all(sample.peak_rss_bytes > 0 for sample in results["mapped"].samples)
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out == printed.out


@pytest.mark.slow
@pytest.mark.e2e
def test_a_contender_that_takes_too_long_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["offline", "--cases", "P", "--scale", "0.01", "--time-limit", "0.01", "--json"]
    words += ["--cache", str(tmp_path), "--contenders", "numpy"]
    assert main(words) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["cases"]["P"]["contenders"]["numpy"]["status"] == "timeout"


def test_an_unknown_case_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["offline", "--cases", "S,X"]) == 1
    printed = capsys.readouterr().err
    assert "no such case: 'X'" in printed
    assert "S-composite" in printed


def test_help_names_every_case_and_contender(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["offline", "--help"])
    printed = capsys.readouterr().out
    for name in ("BIG100", "S-files", "feast-duckdb", "evenstore-index", "mapped"):
        assert f"  {name} " in printed


def test_a_child_that_takes_too_much_memory_is_killed() -> None:
    script = "import time; block = bytearray(200_000_000); time.sleep(60)"
    ended = run_guarded([sys.executable, "-c", script], limits=Limits(30, 100_000_000))
    assert ended.how == "memory"
    assert ended.exit_code < 0


@full_only
@pytest.mark.slow
@pytest.mark.e2e
def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    words = ["offline", "--cases", "P", "--scale", "0.01", "--repeats", "1000", "--out", str(out)]
    words += ["--cache", str(tmp_path), "--contenders", "numpy", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if " 2 of 1000 " in line:
                break
        run.terminate()
        document = json.loads(run.communicate(timeout=300)[0])
    assert run.returncode == 130
    assert len(document["cases"]["P"]["contenders"]["numpy"]["samples"]) >= 2
    assert not read_results(out).is_complete
