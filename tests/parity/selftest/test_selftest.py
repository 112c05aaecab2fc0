"""The self-test itself: it finds every planted fault, and it is red where a check is missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from parity.causes.finding import Cause
from parity.cli import main
from parity.compare import are_values_equal
from parity.report import Difference
from parity.selftest.command import print_result
from parity.selftest.plant import Plant
from parity.selftest.result import SelftestResult, format_table
from parity.selftest.rows import NAN, PLAIN
from parity.selftest.run import PLANTS, run_selftest, see
from parity.selftest.world import World, open_world
from tests.support.scale import full_only

# One process sets it up for all of them.
pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.xdist_group("parity-selftest")]


N_CLEAN_RUNS = 10


@pytest.fixture(scope="module")
def result() -> SelftestResult:
    return run_selftest(n_clean_runs=N_CLEAN_RUNS)


def test_every_fault_is_found_with_its_cause_and_nothing_else(result: SelftestResult) -> None:
    assert [plant.name for plant in result.plants if not plant.is_detected] == []
    assert {plant.name: plant.causes for plant in result.plants if not plant.is_cause_right} == {}
    assert [plant.name for plant in result.plants if plant.n_false_alarms] == []
    assert [clean for clean in result.clean_runs if clean.differences] == []
    assert len(result.clean_runs) == N_CLEAN_RUNS
    assert result.has_passed


def test_document_and_table_say_the_same(
    result: SelftestResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_result(result, is_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert print_result(result, is_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    n_plants = len(PLANTS)
    assert document["passed"] is True
    assert (document["n_planted"], document["n_detected"]) == (n_plants, n_plants)
    assert (document["n_clean_runs"], document["n_false_alarms"]) == (N_CLEAN_RUNS, 0)
    for plant in document["plants"]:
        (line,) = [line for line in lines if line.startswith(f"{plant['name']} ")]
        assert line.split()[-2:] == ["yes", plant["expected_cause"]]
        assert plant["causes"].keys() == {plant["expected_cause"]}
    assert f"detected: {n_plants} of {n_plants}" in lines
    assert lines[-1] == "self-test passed"


def test_faults_are_many_and_of_every_cause() -> None:
    assert len(PLANTS) >= 40
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
    assert {plant.cause for plant in PLANTS} == {*Cause} - {Cause.UNKNOWN}
    # Of the catalogue's classes, those that can be planted here.
    assert len({name for plant in PLANTS for name in plant.classes}) >= 25


def without_event_timestamps(plant: Plant, world: World) -> Sequence[Difference]:
    """Compare values and statuses only."""
    return [
        difference
        for difference in see(plant, world)
        if not are_values_equal(difference.offline.value, difference.online.value)
        or difference.offline.status is not difference.online.status
    ]


def test_comparison_that_lacks_a_check_is_found_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = ("event-timestamp-in-seconds", "float32-narrowing")
    plants = [plant for plant in PLANTS if plant.name in chosen]
    found = run_selftest(n_clean_runs=0, plants=plants, see=without_event_timestamps)
    assert {plant.name: plant.is_detected for plant in found.plants} == {
        "event-timestamp-in-seconds": False,
        "float32-narrowing": True,
    }
    assert print_result(found, is_json=False) == 3
    printed = capsys.readouterr().out
    assert printed.endswith("self-test FAILED\n")
    assert " NO " in printed


def test_store_that_stays_damaged_is_a_false_alarm() -> None:
    (removal,) = [plant for plant in PLANTS if plant.name == "removed-entity"]

    def damage_two(world: World) -> set[int | str]:
        removal.damage(world)
        world.remove(NAN)
        return {PLAIN}

    found = run_selftest(n_clean_runs=1, plants=[replace(removal, damage=damage_two)])
    assert found.n_detected == 1
    assert found.n_false_alarms == 10
    assert not found.has_passed
    # Put back, though.
    assert found.clean_runs[0].differences == ()


def test_wrong_causes_fail_above_one_in_twenty(result: SelftestResult) -> None:
    unknown = replace(result.plants[0], causes=Counter({Cause.UNKNOWN: 1}))
    two = (replace(unknown), replace(unknown), *result.plants[2:])
    assert replace(result, plants=two).has_passed
    three = (replace(unknown), *two[:2], *result.plants[3:])
    assert not replace(result, plants=three).has_passed
    assert "(should be ttl-boundary)" in "".join(format_table(replace(result, plants=three)))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_world(seed=3) as world:
        assert world.path.is_relative_to(tmp_path)
        client = world.redis
        assert client.ping()
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(RedisConnectionError):
        client.ping()


def test_frozen_clock_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", "2011-12-10T00:00:00Z")
    assert main(["selftest"]) == 1
    assert "EVENSTORE_FROZEN_TIME" in capsys.readouterr().err


@full_only
def test_hundred_clean_runs_have_no_false_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["selftest", "--clean-runs", "100", "--seed", "1000", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (code, document["n_clean_runs"]) == (0, 100)
    assert document["false_alarms"] == []
    assert document["n_right_causes"] == len(PLANTS)
