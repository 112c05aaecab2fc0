"""The kept verdicts: the page shows them, they are as expected, and a full run repeats them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.catalogue.mutants import MUTANTS
from tests.mutants.result import Judged, format_page, load_result, save_result
from tests.mutants.verdict import Catcher
from tests.repo.sources import ROOT
from tests.support.scale import full_only

KEPT = ROOT / "docs" / "reports" / "mutants.json"
PAGE = ROOT / "docs" / "reports" / "mutants.md"


@pytest.fixture(scope="module")
def kept() -> list[Judged]:
    return load_result(KEPT, MUTANTS)


def test_page_shows_the_kept_verdicts(kept: list[Judged]) -> None:
    assert PAGE.read_text(encoding="utf-8") == format_page(kept)


def test_verdicts_survive_their_file(kept: list[Judged], tmp_path: Path) -> None:
    save_result(kept, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == KEPT.read_text()


def test_every_verdict_is_the_expected_one(kept: list[Judged]) -> None:
    assert [each.mutant.name for each in kept if not each.is_as_expected] == []


def test_golden_is_red_wherever_no_reason_is_given(kept: list[Judged]) -> None:
    green = {each.mutant.name for each in kept if not each.verdict.is_golden_red}
    assert green == {each.mutant.name for each in kept if each.mutant.why}
    assert len(kept) - len(green) >= 30


def test_what_both_stores_share_needs_more_than_the_live_comparison(kept: list[Judged]) -> None:
    shared = [each for each in kept if each.verdict.is_golden_red and not each.verdict.n_live]
    compared = [each for each in shared if each.verdict.golden_stopped is None]
    assert len(compared) >= 8
    for each in compared:
        assert each.verdict.caught_by == {Catcher.FROZEN, Catcher.ORACLE}, each.mutant.name
        assert each.verdict.n_frozen_offline == each.verdict.n_frozen_online, each.mutant.name


@full_only
@pytest.mark.e2e
@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(10_800)
def test_a_run_gives_the_kept_verdicts(kept: list[Judged], tmp_path: Path) -> None:
    found = tmp_path / "mutants.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "run", "--json", str(found)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10_000,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = load_result(found, MUTANTS)
    assert {each.mutant.name: each.verdict.caught_by for each in again} == {
        each.mutant.name: each.verdict.caught_by for each in kept
    }
