"""Source rows that are due with the next run are no cause of what differs up to the watermark."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evenstore.clock import FrozenClock, datetime_to_us
from parity.causes.finding import Cause
from parity.cli import main
from parity.full.result import run_full
from parity.full.settings import FullSettings
from parity.full.subject import open_subject
from parity.live.explanation import explain_differences
from parity.report import ParityReport
from tests.parity.full.taxis import HOUR, N_TAXIS, NOW, Taxis, taxi_row

MINUTE = timedelta(minutes=1)
TAXI, ORPHAN = 135, 999
WAIVER = """[[waiver]]
feature = "stats:trips"
causes = ["not-materialized"]
reason = "due"
owner = "a@b.c"
expires = {:%Y-%m-%d}
"""


def add_due_rows(taxis: Taxis, taxi_id: int, n_rows: int = 1) -> None:
    """Publish newer rows of a taxi, all after the watermark."""
    row = taxi_row(taxi_id)
    events = [NOW + MINUTE + i * timedelta(seconds=1) for i in range(n_rows)]
    taxis.append(*(row | {"event_timestamp": event, "created": event} for event in events))


def compare(taxis: Taxis, **changes: bool) -> ParityReport:
    """Compare an hour after the watermark."""
    settings = FullSettings(taxis.repo.path, "stats", **changes)
    return run_full(settings, FrozenClock(datetime_to_us(NOW + HOUR)))


def causes(report: ParityReport) -> set[Cause | None]:
    findings = [difference.finding for difference in report.differences]
    return {None if finding is None else finding.cause for finding in findings}


@pytest.mark.parametrize("n_due", [1, 30])
def test_wrong_value_passes_by_no_waiver_of_due_rows(
    taxis: Taxis,
    n_due: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", (NOW + HOUR).isoformat())
    waivers = tmp_path / "waivers.toml"
    # Waivers go by the machine's day, whatever the clock of the comparison says.
    waivers.write_text(WAIVER.format(datetime.now(UTC) + timedelta(days=30)))
    taxis.replace(TAXI, {"trips": 7})
    add_due_rows(taxis, TAXI, n_due)
    words = ["full", "--repo", str(taxis.repo.path), "--view", "stats", "--waivers", str(waivers)]
    assert main(words) == 3
    out = capsys.readouterr().out
    assert "(a@b.c: due): 0 within tolerance, 0 waived" in out
    assert "expire" not in out.partition("violated")[2]
    report = compare(taxis)
    assert causes(report) == {Cause.UNKNOWN}
    (difference,) = report.differences
    assert difference.finding is not None
    order = difference.finding.evidence.offline_order
    assert order is not None
    assert order.event_us == difference.offline.event_us
    # The command looks at the same rows, and says the same.
    assert main([*shlex.split(difference.finding.command)[1:], "--json"]) == 3
    (feature,) = json.loads(capsys.readouterr().out)["features"]
    assert feature["finding"]["cause"] == "unknown"


def test_live_differences_have_the_same_cause(taxis: Taxis) -> None:
    taxis.replace(TAXI, {"trips": 7})
    add_due_rows(taxis, TAXI)
    report = compare(taxis, finds_causes=False)
    subject = open_subject(taxis.repo.path, "stats")
    until_us = {"stats": [datetime_to_us(NOW)] * N_TAXIS}
    explained = explain_differences(
        report, subject.request, subject.store, taxis.repo.path, until_us=until_us
    )
    assert causes(explained) == {Cause.UNKNOWN}


def test_orphan_with_a_due_row_is_no_row_that_waits_for_a_run(taxis: Taxis) -> None:
    taxis.store(ORPHAN, taxi_row(120), NOW - HOUR)
    add_due_rows(taxis, ORPHAN)
    assert causes(compare(taxis)) == {Cause.DELETED_ROW}


def test_row_that_waits_for_a_run_is_named_where_it_is_compared(taxis: Taxis) -> None:
    taxis.replace(TAXI, {"trips": 7})
    add_due_rows(taxis, TAXI)
    assert causes(compare(taxis, until_watermark=False)) == {Cause.NOT_MATERIALIZED}


def test_many_due_rows_do_not_hide_the_row_that_was_lost(taxis: Taxis) -> None:
    taxis.redis.execute_command("DEL", taxis.key(TAXI))
    add_due_rows(taxis, TAXI, 30)
    assert causes(compare(taxis)) == {Cause.KEY_EXPIRED}
