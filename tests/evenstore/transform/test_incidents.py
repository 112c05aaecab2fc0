"""Outages and late events: what the rows of a backfill say was known when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.clock import datetime_to_us
from evenstore.errors import TransformError
from evenstore.transform.day_files import read_day_metadata
from evenstore.transform.incidents import NO_INCIDENTS, Incidents, LateEvents, load_incidents
from evenstore.transform.window import WindowGrain
from tests.demo.lines import line, write_lines
from tests.evenstore.transform.runs import COUNT_SQL, HOURLY_SQL, Table, write_sql

LINES = [
    line("1", "2011-03-07T10:00"),
    line("2", "2011-03-08T09:00"),
    line("2", "2011-03-08T09:00", code="10002"),
    line("3", "2011-03-08T16:00"),
    line("4", "2011-03-08T16:30", customer=2),
    line("5", "2011-03-09T08:00"),
    line("6", "2011-03-09T15:00"),
]


def _write(path: Path, *, outages: Any = (), events: Any = ()) -> Path:
    document = {"outages": list(outages), "late_events": list(events)}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _incidents(folder: Path, **parts: Any) -> Incidents:
    return load_incidents(_write(folder / "incidents.json", **parts))


def _table(folder: Path, text: str = COUNT_SQL) -> Table:
    lines = write_lines(folder / "lines.parquet", LINES)
    return Table(folder, write_sql(folder / "table.sql", text), lines)


def _known(table: Table) -> list[tuple[int, str, str, int]]:
    rows = [
        (
            row["customer_id"],
            row["event_timestamp"].strftime("%dT%H"),
            row["created"].strftime("%dT%H"),
            row["n_lines"],
        )
        for row in table.rows()
    ]
    return sorted(rows)


BROKEN_UPLOAD = {
    "since": "2011-03-08T14:00:00Z",
    "until": "2011-03-09T00:00:00Z",
    "arrived": "2011-03-09T13:00:00Z",
}


OUTAGE = {"since": "2011-03-09T02:00:00Z", "until": "2011-03-09T11:00:00Z"}


def test_an_outage_changes_when_its_rows_were_created_and_nothing_else(tmp_path: Path) -> None:
    table = _table(tmp_path)
    table.run("2011-03-07", "2011-03-09")
    on_time = table.rows()
    outage = _incidents(tmp_path, outages=[OUTAGE])
    table.run("2011-03-07", "2011-03-09", incidents=outage)
    for before, after in zip(on_time, table.rows(), strict=True):
        is_late = before["event_timestamp"].day == 9
        created = datetime(2011, 3, 9, 11, tzinfo=UTC) if is_late else before["created"]
        assert after == before | {"created": created}


def test_late_events_are_missing_first_and_corrected_when_they_arrive(tmp_path: Path) -> None:
    table = _table(tmp_path)
    report = table.run(
        "2011-03-07", "2011-03-09", incidents=_incidents(tmp_path, events=[BROKEN_UPLOAD])
    )
    assert _known(table) == [
        (1, "08T02", "08T02", 1),
        (1, "09T02", "09T02", 2),
        (1, "09T02", "09T13", 3),
        (1, "10T02", "10T02", 2),
        (2, "09T02", "09T13", 1),
    ]
    assert (report.files_written, report.n_rows) == (4, 5)


def test_hourly_windows_after_the_gap_do_not_know_it_before_it_arrives(tmp_path: Path) -> None:
    # A running count of the customer's lines, for every hour of trade: late lines of the 8th
    # belong into the hours of the 9th too, and those before 13:00 did not have them.
    text = HOURLY_SQL.replace("look back: 1 day", "look back: 5 days").replace(
        "count(*) as n_lines",
        "cast(sum(count(*)) over (partition by CustomerID order by "
        "date_trunc('hour', InvoiceDate) + interval 1 hour) as bigint) as n_lines",
    )
    text = text.replace("group by all", "group by CustomerID, date_trunc('hour', InvoiceDate)")
    text = text.replace(
        "where cast(InvoiceDate as date) between $first_day and $last_day", "where true"
    )
    text = (
        text
        + "qualify cast(window_end - interval 1 second as date) between $first_day and $last_day\n"
    )
    table = _table(tmp_path, text)
    table.run("2011-03-08", "2011-03-09", incidents=_incidents(tmp_path, events=[BROKEN_UPLOAD]))
    assert _known(table) == [
        (1, "08T12", "08T12", 3),
        (1, "08T19", "09T13", 4),
        (1, "09T11", "09T11", 4),
        (1, "09T11", "09T13", 5),
        (1, "09T18", "09T18", 6),
        (2, "08T19", "09T13", 1),
    ]


def test_what_was_known_equals_a_backfill_made_at_that_moment_without_the_late_lines(
    tmp_path: Path,
) -> None:
    table = _table(tmp_path)
    table.run("2011-03-07", "2011-03-09", incidents=_incidents(tmp_path, events=[BROKEN_UPLOAD]))
    known = [row for row in table.rows() if row["created"] < datetime(2011, 3, 9, 13, tzinfo=UTC)]
    (tmp_path / "then").mkdir()
    arrived = [row for row in LINES if row["InvoiceDate"].hour < 14 or row["InvoiceDate"].day != 8]
    then = Table(
        tmp_path / "then", table.sql, write_lines(tmp_path / "then" / "lines.parquet", arrived)
    )
    then.run("2011-03-07", "2011-03-09", now="2011-03-09T12:59")
    assert known == then.rows()


@pytest.mark.parametrize(
    ("now", "n_files"), [("2011-03-09T12:59:59", 1), ("2011-03-09T13:00:00", 2)]
)
def test_a_correction_that_has_not_arrived_is_not_there(
    tmp_path: Path, now: str, n_files: int
) -> None:
    table = _table(tmp_path)
    incidents = _incidents(tmp_path, events=[BROKEN_UPLOAD])
    table.run("2011-03-08", "2011-03-08", now=now, incidents=incidents)
    files = sorted(table.folder.iterdir())
    assert len(files) == n_files
    corrections = [read_day_metadata(file).get("correction") for file in files]
    assert sorted(filter(None, corrections)) == ["1"][: n_files - 1]


def test_an_outage_delays_only_the_hours_that_were_due_in_it(tmp_path: Path) -> None:
    table = _table(tmp_path, HOURLY_SQL)
    table.run("2011-03-07", "2011-03-09", incidents=_incidents(tmp_path, outages=[OUTAGE]))
    late = {known[:3] for known in _known(table) if known[1] != known[2]}
    # Only the window that ends at 09:00 on the 9th is due, two hours later, at the outage's end:
    # that is on time. Those of the 8th were published long before.
    assert late == set()
    morning = OUTAGE | {"until": "2011-03-09T12:00:00Z"}
    table.run("2011-03-07", "2011-03-09", incidents=_incidents(tmp_path, outages=[morning]))
    assert {known[:3] for known in _known(table) if known[1] != known[2]} == {(1, "09T11", "09T12")}


def test_rows_due_in_an_outage_are_not_there_before_its_end(tmp_path: Path) -> None:
    table = _table(tmp_path)
    outage = _incidents(tmp_path, outages=[OUTAGE])
    table.run("2011-03-08", "2011-03-08", now="2011-03-09T10:59", incidents=outage)
    assert table.rows() == []
    table.run(
        "2011-03-08", "2011-03-08", now="2011-03-09T11:00", incidents=outage, only_missing=True
    )
    assert len(table.rows()) == 2


def test_only_missing_adds_the_correction_and_keeps_the_first_file(tmp_path: Path) -> None:
    table = _table(tmp_path)
    incidents = _incidents(tmp_path, events=[BROKEN_UPLOAD])
    table.run("2011-03-07", "2011-03-08", now="2011-03-09T12:00", incidents=incidents)
    before = set(table.contents())
    again = table.run(
        "2011-03-07", "2011-03-08", now="2011-03-09T14:00", incidents=incidents, only_missing=True
    )
    assert before < set(table.contents())
    assert (again.n_days, again.files_written, again.files_removed) == (1, 1, 0)
    idle = table.run(
        "2011-03-07", "2011-03-08", now="2011-03-09T15:00", incidents=incidents, only_missing=True
    )
    assert (idle.n_days, idle.n_days_skipped) == (0, 2)


def test_a_rerun_without_incidents_leaves_the_plain_files(tmp_path: Path) -> None:
    table = _table(tmp_path)
    table.run("2011-03-07", "2011-03-09")
    plain = table.contents()
    table.run("2011-03-07", "2011-03-09", incidents=_incidents(tmp_path, events=[BROKEN_UPLOAD]))
    assert table.contents() != plain
    table.run("2011-03-07", "2011-03-09", incidents=NO_INCIDENTS)
    assert set(table.contents()) == set(plain)


@given(st.integers(0, 60), st.integers(1, 40), st.integers(0, 60), st.sampled_from(WindowGrain))
@settings(max_examples=200, deadline=None)
def test_late_events_touch_exactly_the_days_with_a_run_that_should_have_seen_them(
    since_h: int, length_h: int, wait_h: int, grain: WindowGrain
) -> None:
    origin = datetime(2011, 3, 7, tzinfo=UTC)
    since = origin + timedelta(hours=since_h)
    until = since + timedelta(hours=length_h)
    arrived = until + timedelta(hours=wait_h)
    delay = timedelta(hours=2)
    hour_us = 3_600_000_000
    incidents = Incidents((), (_late(since, until, arrived),))
    for day in (date(2011, 3, 5) + timedelta(days=i) for i in range(10)):
        ends = list(_window_ends(day, grain))
        touched = [end for end in ends if end > since and end + delay < arrived]
        found = incidents.late_events_of(day, grain, delay_us=2 * hour_us)
        # A day may be computed again without need; it must never be left out.
        assert found is not None if touched else True
        if found is not None:
            assert min(ends) + delay < arrived
            assert max(ends) > since


def _late(since: datetime, until: datetime, arrived: datetime) -> LateEvents:
    return LateEvents(*map(datetime_to_us, (since, until, arrived)))


def _window_ends(day: date, grain: WindowGrain) -> Iterable[datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if grain is WindowGrain.DAY:
        return [start + timedelta(days=1)]
    return [start + timedelta(hours=i + 1) for i in range(24)]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"events": [BROKEN_UPLOAD | {"until": "2011-03-08T14:00:00Z"}]}, "out of order"),
        ({"events": [BROKEN_UPLOAD | {"arrived": "2011-03-08T23:00:00Z"}]}, "out of order"),
        ({"events": [BROKEN_UPLOAD, BROKEN_UPLOAD]}, "out of order"),
        (
            {
                "events": [
                    BROKEN_UPLOAD,
                    {
                        "since": "2011-03-09T14:00:00Z",
                        "until": "2011-03-09T15:00:00Z",
                        "arrived": "2011-03-09T20:00:00Z",
                    },
                ]
            },
            "out of order",
        ),
        ({"events": [BROKEN_UPLOAD | {"since": "2011-03-08T14:00:00"}]}, "without a time zone"),
        ({"events": [{"since": "2011-03-08T14:00:00Z"}]}, "until"),
        ({"outages": [OUTAGE | {"until": "noon"}]}, "noon"),
        ({"outages": [OUTAGE | {"until": OUTAGE["since"]}]}, "touches"),
        ({"outages": [OUTAGE, OUTAGE]}, "touches"),
        (
            {
                "outages": [OUTAGE],
                "events": [BROKEN_UPLOAD],
            },
            "touches",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_path(
    tmp_path: Path, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(TransformError, match=message) as caught:
        _incidents(tmp_path, **parts)
    assert "incidents.json" in str(caught.value)


def test_a_file_that_is_not_there_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransformError, match="cannot read"):
        load_incidents(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("late", encoding="utf-8")
    with pytest.raises(TransformError, match="cannot read"):
        load_incidents(tmp_path / "text.json")


def test_an_unknown_entry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"outages": [], "late_events": [], "outage": []}')
    with pytest.raises(TransformError, match="unknown entries outage"):
        load_incidents(tmp_path / "x.json")
