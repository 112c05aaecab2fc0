"""`evenstore index` and `evenstore compact`, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, ValueType
from feast.types import Int64

from evenstore.cli import main
from tests.support.feast_repo import FeastRepo
from tests.support.plain_source import plain_rows

_DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
_SCHEMA = {"driver_id": Int64, "trips": Int64}


@pytest.fixture
def repo(tmp_path: Path) -> FeastRepo:
    """Two views over one folder of three files, and one whose folder is empty."""
    made = FeastRepo(tmp_path)
    for number in range(3):
        made.write_rows("stats", plain_rows(number * 10, 10), file=f"{number}.parquet")
    source = made.source("stats")
    made.apply(
        _DRIVER,
        made.view("stats", [_DRIVER], _SCHEMA, source=source),
        made.view("twin", [_DRIVER], _SCHEMA, source=source),
        made.view("empty", [_DRIVER], _SCHEMA),
    )
    return made


def _run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    assert main(words) == code
    shown = capsys.readouterr()
    return shown.out.strip(), shown.err.strip()


def _run_json(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = json.loads(_run(capsys, *words, "--json")[0])
    return reports


def test_index_is_built_for_every_view_that_has_files(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--repo", str(repo.path))
    out, err = _run(capsys, "index", *where)
    assert err.startswith("skipped: data source `empty_source` has no Parquet files")
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["stats", "twin"]
    assert "30 rows, 3 of 3 files read; index of kind table" in lines[0]

    repo.write_rows("stats", plain_rows(30, 10), file="3.parquet")
    (report,) = _run_json(capsys, "index", "stats", *where)
    assert (report["n_rows"], report["n_files_added"], report["n_segments"]) == (40, 1, 2)
    assert "4 files, none new" in _run(capsys, "index", "stats", *where)[0]

    (report,) = _run_json(capsys, "index", "stats", "--kind", "positions", *where)
    assert (report["kind"], report["n_segments"]) == ("positions", 1)
    assert _run(capsys, "index", "stats", "--remove", *where)[0] == "stats: removed"
    assert _run(capsys, "index", "stats", "--remove", *where)[0] == "stats: there is no index"


def test_named_view_without_files_and_unknown_view_are_errors(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--repo", str(repo.path))
    for command in ("index", "compact"):
        _, err = _run(capsys, command, "empty", *where, code=1)
        assert err.startswith("error: data source `empty_source` ")
        _, err = _run(capsys, command, "stat", *where, code=1)
        assert "did you mean `stats`?" in err


def test_folder_of_two_views_is_compacted_once(
    repo: FeastRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--repo", str(repo.path), "--target-rows", "100")
    out, _ = _run(capsys, "compact", "stats", "--dry-run", *where)
    head, *files = out.splitlines()
    assert head == "stats: 3 of 3 files (3 not known to be sorted) would be rewritten, 30 rows"
    assert len(files) == 3
    assert len(list((repo.data / "stats").glob("*.parquet"))) == 3

    (report,) = _run_json(capsys, "compact", *where)
    assert (report["view"], report["n_files"], report["n_files_written"]) == ("stats", 3, 1)
    assert len(report["rewritten"]) == 3
    assert len(list((repo.data / "stats").glob("*.parquet"))) == 1
    out, _ = _run(capsys, "compact", "twin", *where)
    assert out == "twin: nothing to compact in 1 file"


def test_wrong_numbers_are_wrong_usage(repo: FeastRepo) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compact", "--repo", str(repo.path), "--target-rows", "0"])
    assert caught.value.code == 2


def test_other_commands_do_without_feast() -> None:
    code = "import sys, evenstore.cli; sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
