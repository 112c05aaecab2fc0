"""The duel's kept result: the README shows it, and a full run gives it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from demo.duel.results import DuelResult, load_result, save_result
from demo.duel.shop import MODELS
from demo.duel.side import EVENSTORE, STOCK
from demo.duel.tables import format_incident, format_summary
from tests.repo.sources import ROOT
from tests.support.scale import full_only

KEPT = ROOT / "docs" / "reports" / "duel.json"


@pytest.fixture(scope="module")
def kept() -> DuelResult:
    return load_result(KEPT)


def test_readme_has_the_kept_table(kept: DuelResult) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\n".join(format_summary(kept)) in readme


def test_result_survives_its_file(kept: DuelResult, tmp_path: Path) -> None:
    save_result(kept, tmp_path / "again.json")
    assert load_result(tmp_path / "again.json") == kept
    assert (tmp_path / "again.json").read_text() == KEPT.read_text()


def test_stock_differs_at_every_incident_and_evenstore_at_none(kept: DuelResult) -> None:
    assert {model.service: model.threshold for model in MODELS} == kept.thresholds
    for incident in kept.incidents:
        stock, ours = incident.sides[STOCK], incident.sides[EVENSTORE]
        assert stock.n_compared == ours.n_compared
        assert stock.n_differing > 0, incident.title
        assert (ours.n_differing, ours.n_others, dict(ours.by_cause)) == (0, 0, {}), incident.title
        assert "unknown" not in stock.by_cause, incident.title
        assert all(score.n_moved == score.n_unscored == 0 for score in ours.scores.values())


def test_incident_table_has_both_columns(kept: DuelResult) -> None:
    for incident in kept.incidents:
        lines = list(format_incident(incident))
        assert lines[1].split("  ")[-1].strip() == EVENSTORE
        assert STOCK in lines[1]
        assert lines[2].split()[-1] == "0"
        assert len({len(line) for line in lines[1:]}) == 1


@full_only
@pytest.mark.e2e
@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_duel_gives_the_kept_result(kept: DuelResult, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.duel", "--json", str(tmp_path / "duel.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1_700,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_result(tmp_path / "duel.json") == kept
    for line in format_summary(kept):
        assert line in done.stdout
