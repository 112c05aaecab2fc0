from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from demo.shop.incidents import draw_incidents
from evenstore.transform.incidents import Incidents, load_incidents

FIRST = date(2011, 1, 1)
HOUR_US = 3_600_000_000


def _draw(path: Path, *, n_days: int = 4_000, seed: int = 1) -> Incidents:
    last = FIRST + timedelta(days=n_days - 1)
    report = draw_incidents(path, first_day=FIRST, last_day=last, seed=seed)
    incidents = load_incidents(path)
    assert report.n_outages == len(incidents.outages)
    assert report.n_broken_uploads == len(incidents.late_events)
    return incidents


def test_shares_are_those_stated(tmp_path: Path) -> None:
    incidents = _draw(tmp_path / "incidents.json")
    # After an incident two days are free of them: shares of all days are a little smaller.
    assert 0.035 < len(incidents.outages) / 4_000 < 0.055
    assert 0.015 < len(incidents.late_events) / 4_000 < 0.03


def test_outages_begin_at_two_and_are_over_with_the_day(tmp_path: Path) -> None:
    incidents = _draw(tmp_path / "incidents.json")
    assert {outage.since_us % (24 * HOUR_US) for outage in incidents.outages} == {2 * HOUR_US}
    hours = sorted((outage.until_us - outage.since_us) / HOUR_US for outage in incidents.outages)
    assert hours[0] > 0
    assert hours[-1] <= 20
    assert 4.5 < hours[len(hours) // 2] < 7.5


def test_a_broken_upload_arrives_the_next_day_before_its_run(tmp_path: Path) -> None:
    for late in _draw(tmp_path / "incidents.json").late_events:
        day_us = late.until_us - 24 * HOUR_US
        assert 10 * HOUR_US <= late.since_us - day_us <= 16 * HOUR_US
        assert late.until_us + 6 * HOUR_US <= late.arrived_us <= late.until_us + 20 * HOUR_US


def test_the_seed_decides(tmp_path: Path) -> None:
    one = _draw(tmp_path / "a.json", n_days=200)
    assert _draw(tmp_path / "b.json", n_days=200) == one
    assert _draw(tmp_path / "c.json", n_days=200, seed=2) != one
