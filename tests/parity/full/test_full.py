"""Every entity in both directions, in either layout: clean, and with each fault planted."""

from __future__ import annotations

import json
import math
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evenstore.clock import FrozenClock, SystemClock, datetime_to_us
from evenstore.codec.cells import cells_of
from evenstore.compute.pace import PaceLimits
from evenstore.errors import ConfigurationError, UnknownFeatureError
from evenstore.online.store import RedisOnlineStore
from evenstore.schema.model import Layout
from evenstore.semantics import Origin, Status
from parity.cli import main
from parity.compare import Outcome
from parity.full.online import StoredReader
from parity.full.result import run_full
from parity.full.settings import FullSettings
from parity.full.subject import open_subject
from parity.report import Mode, ParityReport, Verdict
from tests.parity.full.taxis import EXPIRED, N_TAXIS, NOW, NULL, Taxis, taxi_row

MINUTE = timedelta(minutes=1)
US = timedelta(microseconds=1)
ORPHAN = 999
READS = ("scan", "mget", "hmget", "hget", "hgetall", "ping", "select", "client", "hello")


def differing(report: ParityReport) -> dict[int, dict[str, Outcome]]:
    """Return the outcomes of differing cells, by taxi and feature."""
    found: dict[int, dict[str, Outcome]] = {}
    for difference in report.differences:
        taxi_id = difference.entity_key["taxi_id"]
        assert isinstance(taxi_id, int)
        found.setdefault(taxi_id, {})[difference.feature] = difference.outcome
    return found


def section(report: ParityReport) -> dict[str, object]:
    found = report.sections["full"]
    assert isinstance(found, dict)
    return found


def test_clean_stores_are_equal_and_stay_as_they_are(taxis: Taxis) -> None:
    before = stored_bytes(taxis)
    taxis.redis.execute_command("CONFIG", "RESETSTAT")
    report = taxis.compare()
    assert taxis.commands() <= {*READS, "config|resetstat", "config", "info"}
    assert report.verdict is Verdict.PASSED, report.violations
    assert (report.mode, report.subject, report.gateway) == (Mode.FULL, "stats", None)
    assert report.n_rows == N_TAXIS
    assert report.total.n_compared == N_TAXIS * 10
    # The one that was too old to be loaded.
    assert report.total.by_outcome[Outcome.EXPIRED_ABSENT] == 10
    assert report.total.statuses[Status.OUTSIDE_MAX_AGE, Status.OUTSIDE_MAX_AGE] == 10
    assert report.total.n_both_null == 30
    assert section(report)["n_orphans"] == 0
    assert section(report)["n_sampled"] == N_TAXIS
    assert stored_bytes(taxis) == before


def test_each_planted_fault_is_found_where_it_is(taxis: Taxis) -> None:
    row = taxi_row
    taxis.redis.execute_command("DEL", taxis.key(110))
    taxis.replace(111, {"trips": row(111)["trips"] + 1})
    taxis.replace(112, {"score": math.nextafter(row(112)["score"], 9e9)})
    taxis.replace(113, {"share": None})
    taxis.replace(114, {"stops": ["S114"]})
    taxis.replace(115, {"vector": [115 / 3, 0.0, math.nan]})
    taxis.replace(116, {"extra": [("colour", "other")]})
    taxis.replace(117, {"active": False, "name": "taxi e\u0301 117", "token": b""})
    taxis.replace(118, {"since": row(118)["since"] + timedelta(seconds=1)})
    taxis.replace(119, {}, row(119)["event_timestamp"] - US)
    taxis.replace(120, {}, row(120)["event_timestamp"] + US)
    taxis.replace(NULL, {"score": math.nan})
    taxis.store(ORPHAN, row(121), row(121)["event_timestamp"])
    store = taxis.repo.store()
    deleted = [{"taxi_id": 122}]
    RedisOnlineStore().delete_entity(store.config, store.get_feature_view("stats"), deleted)
    taxis.replace(EXPIRED, {}, NOW - MINUTE)
    report = taxis.compare()
    one = {
        111: {"trips": Outcome.MISMATCH},
        112: {"score": Outcome.MISMATCH},
        113: {"share": Outcome.MISSING},
        114: {"stops": Outcome.MISMATCH},
        115: {"vector": Outcome.MISMATCH},
        116: {"extra": Outcome.MISMATCH},
        117: dict.fromkeys(("name", "token"), Outcome.MISMATCH),
        118: {"since": Outcome.MISMATCH},
        NULL: {"score": Outcome.EXTRA},
    }
    everywhere = {
        110: Outcome.MISSING,
        119: Outcome.STALE,
        120: Outcome.TIMESTAMP_DIFFERS,
        122: Outcome.MISSING,
        ORPHAN: Outcome.EXTRA,
        EXPIRED: Outcome.EXTRA,
    }
    names = [field.name for field in taxis.view.features]
    expected = one | {taxi: dict.fromkeys(names, what) for taxi, what in everywhere.items()}
    assert differing(report) == expected
    assert report.verdict is Verdict.VIOLATED
    assert report.total.n_differing == len(report.differences)
    assert report.n_rows == N_TAXIS + 1
    told = section(report)
    assert (told["n_missing"], told["n_deleted"], told["n_orphans"]) == (2, 1, 1)
    assert told["n_landed"] == 0
    assert all(difference.finding is not None for difference in report.differences)


def test_bytes_that_cannot_be_read_are_unanswered(taxis: Taxis) -> None:
    taxis.damage(130)
    report = taxis.compare(finds_causes=False)
    assert {*differing(report)[130].values()} == {Outcome.UNANSWERED}
    assert section(report)["n_unreadable"] == 1
    assert report.total.statuses[Status.PRESENT, None] == 10


def test_row_of_an_older_schema_lacks_the_new_feature(taxis: Taxis) -> None:
    older = replace(taxis.view, features=tuple(f for f in taxis.view.features if f.name != "score"))
    taxis.redis.execute_command("DEL", taxis.key(131))
    taxis.store(131, taxi_row(131), taxi_row(131)["event_timestamp"], view=older)
    report = taxis.compare()
    assert differing(report) == {131: {"score": Outcome.MISSING}}
    assert report.total.statuses[Status.PRESENT, Status.NOT_FOUND] == 1


def test_row_written_after_the_comparison_began_is_left_out(taxis: Taxis) -> None:
    soon_us = SystemClock().now_us() + 30_000_000
    later = NOW - MINUTE
    taxis.store(132, taxi_row(1), later, sequence_us=soon_us, origin=Origin.PUSH)
    taxis.store(ORPHAN, taxi_row(1), later, sequence_us=soon_us, origin=Origin.PUSH)
    report = taxis.compare()
    assert report.verdict is Verdict.PASSED
    assert section(report)["n_landed"] == 2
    assert report.n_rows == N_TAXIS - 1
    # From much later: no clock is so wrong, so it is a fault.
    taxis.store(133, taxi_row(1), later, sequence_us=soon_us + 3_600_000_000)
    assert differing(taxis.compare(finds_causes=False)).keys() == {133}


def test_row_pushed_before_is_no_late_write(taxis: Taxis) -> None:
    before_us = SystemClock().now_us() - 1_000_000
    taxis.store(132, taxi_row(1), NOW - MINUTE, sequence_us=before_us, origin=Origin.PUSH)
    report = taxis.compare()
    assert differing(report).keys() == {132}
    assert section(report)["n_landed"] == 0


def test_writes_under_way_are_no_faults(taxis: Taxis) -> None:
    ended = threading.Event()

    def push() -> None:
        for n, taxi_id in enumerate(cycle_taxis()):
            if ended.is_set():
                return
            event = NOW - MINUTE + timedelta(milliseconds=n)
            now_us = SystemClock().now_us()
            taxis.store(taxi_id, taxi_row(n), event, sequence_us=now_us, origin=Origin.PUSH)

    pushing = threading.Thread(target=push)
    listed = threading.Timer(0.2, pushing.start)
    listed.start()
    try:
        # As slowly as it takes to be overtaken.
        report = taxis.compare(max_keys_per_s=60, min_coverage=0.0)
    finally:
        ended.set()
        listed.join()
        pushing.join()
    n_landed = section(report)["n_landed"]
    assert isinstance(n_landed, int)
    assert n_landed > 0
    assert report.verdict is Verdict.PASSED, differing(report)
    assert report.n_rows + n_landed >= N_TAXIS


def cycle_taxis() -> Iterator[int]:
    while True:
        yield from range(104, 140)
        yield from range(2_000, 2_020)


def test_source_rows_after_the_watermark_are_due_with_the_next_run(taxis: Taxis) -> None:
    later = taxi_row(134) | {"event_timestamp": NOW + MINUTE, "trips": 1}
    taxis.append(later, taxi_row(500) | {"event_timestamp": NOW + MINUTE})
    an_hour_on = datetime_to_us(NOW) + 3_600_000_000
    settings = FullSettings(repo=taxis.repo.path, view="stats", finds_causes=False)
    clock = FrozenClock(an_hour_on)
    report = run_full(settings, clock)
    assert report.verdict is Verdict.PASSED
    assert report.view_facts[0].lag_us == 3_600_000_000
    report = run_full(replace(settings, until_watermark=False), clock)
    found = differing(report)
    assert {*found[134].values()} == {Outcome.STALE}
    assert {*found[500].values()} == {Outcome.MISSING}
    # Pushed online as well as published offline: both have it, although no run has loaded it.
    before_us = SystemClock().now_us() - 1_000_000
    taxis.store(134, later, NOW + MINUTE, sequence_us=before_us, origin=Origin.PUSH)
    report = run_full(settings, clock)
    assert report.verdict is Verdict.PASSED
    assert section(report)["n_settled"] == 1


def test_command_of_a_difference_looks_at_the_same_rows(
    taxis: Taxis, capsys: pytest.CaptureFixture[str]
) -> None:
    taxis.replace(135, {"trips": 7})
    later = taxi_row(135) | {"event_timestamp": NOW + MINUTE, "trips": 1}
    taxis.append(later)
    settings = FullSettings(repo=taxis.repo.path, view="stats")
    report = run_full(settings, FrozenClock(datetime_to_us(NOW) + 3_600_000_000))
    (difference,) = report.differences
    assert difference.outcome is Outcome.MISMATCH
    assert difference.finding is not None
    words = shlex.split(difference.finding.command)
    assert main([*words[1:], "--json"]) == 3
    (feature,) = json.loads(capsys.readouterr().out)["features"]
    assert feature["outcome"] == "mismatch"
    assert feature["offline"]["value"] == taxi_row(135)["trips"]
    # Up to now the next run's row would be looked at.
    assert main([*words[1 : words.index("--until")], "--json"]) == 3
    (feature,) = json.loads(capsys.readouterr().out)["features"]
    assert feature["outcome"] == "stale"


def test_figures_are_of_all_values(taxis: Taxis) -> None:
    trips = taxi_row(136)["trips"]
    taxis.replace(136, {"trips": trips + 1_000_000, "name": "nobody", "stops": ["S136", "S2"]})
    report = taxis.compare(finds_causes=False)
    found = {feature.feature: feature.statistics for feature in report.features}
    assert all(found.values())
    numbers = found["trips"].numbers if found["trips"] else None
    assert numbers is not None
    # One has expired and was never loaded, one is null.
    assert N_TAXIS - 5 < numbers.n_pairs < N_TAXIS
    assert numbers.max_absolute == 1_000_000
    assert numbers.bias == pytest.approx(1_000_000 / numbers.n_pairs)
    assert numbers.online is not None
    assert numbers.online.at(1.0) == trips + 1_000_000
    name, stops = found["name"], found["stops"]
    assert name is not None
    assert [(one.online, one.n_cells) for one in name.confusions] == [("nobody", 1)]
    assert stops is not None
    assert stops.lists is not None
    assert stops.lists.n_pairs == 1


def test_sample_is_the_same_part_on_both_sides(taxis: Taxis) -> None:
    taxis.store(ORPHAN, taxi_row(121), taxi_row(121)["event_timestamp"])
    whole = taxis.compare(finds_causes=False)
    halves = [taxis.compare(finds_causes=False, sample_share=0.5, seed=seed) for seed in (1, 1, 2)]
    assert 0 < halves[0].n_rows < whole.n_rows
    assert halves[0].n_rows == halves[1].n_rows
    assert halves[0].total.by_outcome == halves[1].total.by_outcome
    assert halves[0].seed == 1
    n_orphans = {section(half)["n_orphans"] for half in halves}
    assert n_orphans <= {0, 1}


def test_comparison_stops_where_more_differ_than_it_may_take(taxis: Taxis) -> None:
    taxis.redis.flushall()
    report = taxis.compare(finds_causes=False, max_differing_entities=10)
    assert section(report)["is_complete"] is False
    assert any("were not compared" in violation for violation in report.violations)


def test_store_that_lost_everything_lacks_every_row(taxis: Taxis) -> None:
    taxis.redis.flushall()
    report = taxis.compare(finds_causes=False, max_differences=3)
    assert report.total.by_outcome[Outcome.MISSING] == (N_TAXIS - 3) * 10
    # Of each feature three missing ones, and those of other outcomes.
    assert all(0 < len(feature.differences) <= 6 for feature in report.features)
    assert "no run is recorded" in report.notes[0]
    assert any("--max-differences" in note for note in report.notes)


def test_many_keys_are_asked_for_in_their_order(taxis: Taxis) -> None:
    subject = open_subject(taxis.repo.path, "stats")
    if subject.layout is not Layout.PACKED:
        pytest.skip("hashes are asked for one by one")
    reader = StoredReader(
        subject.client,
        subject.project,
        subject.stored,
        subject.layout,
        as_of_us=0,
        limits=PaceLimits(),
    )
    # Of several commands, and of several lengths.
    keys = [f"key {n}".encode() for n in range(1_300)]
    taxis.redis.mset({key: key + b"!" for key in keys[::3]})
    assert reader.fetch(cells_of(keys)) == taxis.redis.mget(keys)


def test_what_cannot_be_compared_is_refused(taxis: Taxis, tmp_path: Path) -> None:
    with pytest.raises(UnknownFeatureError, match="stat"):
        open_subject(taxis.repo.path, "stat")
    with pytest.raises(ConfigurationError):
        open_subject(tmp_path, "stats")


def stored_bytes(taxis: Taxis) -> dict[bytes, bytes]:
    client = taxis.redis
    return {key: client.execute_command("DUMP", key) for key in client.scan_iter()}
