from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.duckdb_session import SessionLimits
from evenstore.errors import TransformError
from evenstore.transform.day_files import read_day_metadata
from tests.demo.lines import line, write_lines
from tests.evenstore.transform.runs import COUNT_SQL, HOURLY_SQL, Table, write_sql
from tests.support.scale import scaled

LINES = [
    line("1", "2011-03-07T10:00"),
    line("1", "2011-03-07T10:00", customer=2),
    line("2", "2011-03-08T12:30"),
    line("3", "2011-03-08T23:59", customer=2),
    line("4", "2011-03-10T06:00"),
]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    lines = write_lines(tmp_path / "lines.parquet", LINES)
    return Table(tmp_path, write_sql(tmp_path / "daily_lines.sql", COUNT_SQL), lines)


def test_each_day_is_one_file_named_after_it_a_day_without_rows_too(table: Table) -> None:
    report = table.run("2011-03-07", "2011-03-10")
    assert [name[:10] for name in table.contents()] == [f"2011-03-{day:02}" for day in range(7, 11)]
    assert (report.n_days, report.n_rows, report.files_written) == (4, 5, 4)
    assert (report.n_days_skipped, report.n_days_incomplete, report.files_removed) == (0, 0, 0)


def test_files_have_exactly_the_columns_of_the_table_and_are_sorted(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    instant = pa.timestamp("us", tz="UTC")
    for path in table.folder.iterdir():
        rows = pq.read_table(path, partitioning=None)
        assert rows.schema.remove_metadata() == pa.schema(
            {
                "customer_id": pa.int64(),
                "event_timestamp": instant,
                "created": instant,
                "n_lines": pa.int64(),
            }
        )
        assert rows["customer_id"].to_pylist() == sorted(rows["customer_id"].to_pylist())


def test_every_file_says_who_made_it_from_what(table: Table) -> None:
    table.run("2011-03-07", "2011-03-07")
    (path,) = table.folder.iterdir()
    metadata = dict(read_day_metadata(path))
    assert len(metadata.pop("inputs")) == 16
    assert metadata.pop("version")
    assert metadata == {
        "sql_name": "daily_lines",
        "sql_version": "1",
        "sql_fingerprint": table.sql.fingerprint,
        "day": "2011-03-07",
    }


def test_a_rerun_on_the_same_lines_changes_nothing(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    before = table.contents()
    report = table.run("2011-03-07", "2011-03-10", days_per_query=1)
    assert table.contents() == before
    assert (report.n_days, report.files_written, report.files_removed) == (4, 0, 0)


def test_a_changed_line_replaces_exactly_the_file_of_its_day(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    before = table.contents()
    write_lines(table.lines, [*LINES, line("9", "2011-03-08T09:00", customer=7)])
    report = table.run("2011-03-07", "2011-03-10")
    after = table.contents()
    assert (report.files_written, report.files_removed) == (1, 1)
    (gone,), (new,) = before.keys() - after.keys(), after.keys() - before.keys()
    assert gone[:10] == new[:10] == "2011-03-08"
    assert all(after[name] == before[name] for name in before.keys() & after.keys())


def test_a_line_that_changes_no_row_publishes_nothing(table: Table) -> None:
    text = COUNT_SQL.replace("group by", "and CustomerID < 9 group by")
    table.sql = write_sql(table.lines.with_suffix(".sql"), text)
    table.run("2011-03-07", "2011-03-10")
    before = table.contents()
    write_lines(table.lines, [*LINES, line("9", "2011-03-08T09:00", customer=9)])
    report = table.run("2011-03-07", "2011-03-10")
    assert (report.files_written, report.files_removed) == (0, 0)
    assert table.contents() == before


def test_only_missing_computes_days_whose_lines_changed_in_the_look_back(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    report = table.run("2011-03-07", "2011-03-10", only_missing=True)
    assert (report.n_days, report.n_days_skipped) == (0, 4)
    write_lines(table.lines, [*LINES, line("9", "2011-03-08T09:00")])
    report = table.run("2011-03-07", "2011-03-10", only_missing=True)
    # The look back of one day reaches from the 9th to the 8th; the file of the 9th stays.
    assert (report.n_days, report.n_days_skipped) == (2, 2)
    assert (report.files_written, report.files_removed) == (1, 1)


def test_only_missing_sees_an_added_duplicate_and_a_removed_line(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    write_lines(table.lines, [*LINES, LINES[4]])
    assert table.run("2011-03-07", "2011-03-10", only_missing=True).files_written == 1
    write_lines(table.lines, LINES[:4])
    report = table.run("2011-03-07", "2011-03-10", only_missing=True)
    assert (report.files_written, report.n_rows) == (1, 0)


def test_only_missing_ignores_the_order_of_lines(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    write_lines(table.lines, list(reversed(LINES)))
    assert table.run("2011-03-07", "2011-03-10", only_missing=True).n_days == 0


def test_an_edited_sql_replaces_every_file_even_where_rows_stay_equal(table: Table) -> None:
    table.run("2011-03-07", "2011-03-10")
    table.sql = write_sql(table.lines.with_suffix(".sql"), COUNT_SQL + "-- edited\n")
    report = table.run("2011-03-07", "2011-03-10", only_missing=True)
    assert (report.files_written, report.files_removed) == (4, 4)


@pytest.mark.parametrize(
    ("now", "n_days", "n_incomplete"),
    [
        ("2011-03-09T01:59:59.999999", 1, 3),
        ("2011-03-09T02:00", 2, 2),
        ("2011-03-10T12:00", 3, 1),
    ],
)
def test_a_day_is_published_when_its_delay_is_over(
    table: Table, now: str, n_days: int, n_incomplete: int
) -> None:
    report = table.run("2011-03-07", "2011-03-10", now=now)
    assert (report.n_days, report.n_days_incomplete) == (n_days, n_incomplete)
    assert len(table.contents()) == n_days


def test_hourly_windows_fill_the_running_day_as_they_end(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines.parquet", LINES)
    table = Table(tmp_path, write_sql(tmp_path / "hourly.sql", HOURLY_SQL), lines)
    table.run("2011-03-08", "2011-03-08", now="2011-03-08T14:59")
    assert table.rows() == []
    table.run("2011-03-08", "2011-03-08", now="2011-03-08T15:00", only_missing=True)
    assert [row["event_timestamp"].hour for row in table.rows()] == [15]
    report = table.run("2011-03-08", "2011-03-08", now="2011-03-09T02:00", only_missing=True)
    assert (report.files_written, report.files_removed) == (1, 1)
    assert [row["event_timestamp"].hour for row in table.rows()] == [15, 2]


def test_the_sql_sees_no_event_after_its_days_and_none_before_its_look_back(
    tmp_path: Path,
) -> None:
    text = COUNT_SQL.replace("where cast(InvoiceDate as date) between $first_day and $last_day", "")
    text = text.replace(
        "cast(cast(InvoiceDate as date) + 1 as timestamp) as window_end",
        "cast(cast($first_day as date) + 1 as timestamp) as window_end, "
        "min(InvoiceDate) as first, max(InvoiceDate) as last",
    )
    text = text.replace("from shop_lines", "from shop_lines where $last_day is not null")
    lines = [line("1", f"2011-03-{day:02}T{hour}") for day in range(5, 12) for hour in ("00", "23")]
    table = Table(
        tmp_path,
        write_sql(tmp_path / "a.sql", text),
        write_lines(tmp_path / "lines.parquet", lines),
    )
    table.run("2011-03-08", "2011-03-08")
    (row,) = table.rows()
    assert row["first"].isoformat() == "2011-03-07T00:00:00+00:00"
    assert row["last"].isoformat() == "2011-03-08T23:00:00+00:00"


def test_a_folder_of_files_with_odd_names_is_one_source(table: Table, tmp_path: Path) -> None:
    folder = tmp_path / "it's [1] of *"
    folder.mkdir()
    write_lines(folder / "a '1'.parquet", LINES[:2])
    write_lines(folder / "b [x].parquet", LINES[2:])
    table.lines = folder
    assert table.run("2011-03-07", "2011-03-10").n_rows == 5


def test_progress_is_told_of_every_day_once(table: Table) -> None:
    class Counter:
        n_done = 0

        def advance(self, n_done: int = 1) -> None:
            self.n_done += n_done

    table.run("2011-03-08", "2011-03-08")
    counter = Counter()
    table.run("2011-03-07", "2011-03-10", only_missing=True, progress=counter)
    assert counter.n_done == 4


def test_limits_are_passed_to_duckdb(table: Table) -> None:
    with pytest.raises(TransformError, match="memory"):
        table.run("2011-03-07", "2011-03-10", limits=SessionLimits(memory_limit="1kB", threads=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count(*)": "count(nothing)"}, "DuckDB refused"),
        ({"group by all": "group by all; select 1"}, "exactly one SELECT"),
        ({"select\n": "create table t as select\n"}, "exactly one SELECT"),
        ({"by InvoiceDate": "by Sold"}, "shop_lines: no column `Sold`"),
        ({"shop_lines by": "visits by", "from shop_lines": "from nowhere"}, "nowhere"),
    ],
)
def test_sql_that_cannot_run_is_refused_and_publishes_nothing(
    table: Table, changes: dict[str, str], message: str
) -> None:
    text = COUNT_SQL
    for old, new in changes.items():
        text = text.replace(old, new, 1)
    table.sql = write_sql(table.lines.with_suffix(".sql"), text)
    with pytest.raises(TransformError) as raised:
        table.run("2011-03-07", "2011-03-10")
    assert message in raised.value.message
    assert table.contents() == {}


def test_a_missing_source_and_lines_without_time_are_refused(table: Table) -> None:
    write_lines(table.lines, LINES)
    rows = pq.read_table(table.lines)
    loose = pa.schema([field.with_nullable(True) for field in rows.schema])
    index = rows.column_names.index("InvoiceDate")
    times = pa.array([None, *rows["InvoiceDate"].to_pylist()[1:]], pa.timestamp("us"))
    pq.write_table(rows.cast(loose).set_column(index, "InvoiceDate", times), table.lines)
    with pytest.raises(TransformError, match="1 rows have no `InvoiceDate`"):
        table.run("2011-03-07", "2011-03-10")
    table.lines.unlink()
    with pytest.raises(TransformError, match="no Parquet file at"):
        table.run("2011-03-07", "2011-03-10")


def test_a_destination_below_a_file_is_refused(table: Table, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    table.folder = tmp_path / "file" / "features"
    with pytest.raises(TransformError, match="cannot write to"):
        table.run("2011-03-07", "2011-03-10")


def _leave_two_files(table: Table) -> str:
    """Stand where a run was killed between publishing a file and removing the old one."""
    table.run("2011-03-07", "2011-03-10")
    (path,) = table.folder.glob("2011-03-08-*.parquet")
    old = path.with_name("2011-03-08-0123456789abcdef.parquet")
    old.write_bytes(path.read_bytes())
    return old.name


@pytest.mark.parametrize("only_missing", [False, True])
def test_the_old_file_of_a_killed_run_is_removed_by_the_next(
    table: Table, *, only_missing: bool
) -> None:
    old = _leave_two_files(table)
    report = table.run("2011-03-07", "2011-03-10", only_missing=only_missing)
    assert (report.files_written, report.files_removed) == (0, 1)
    assert old not in table.contents()
    assert len(table.contents()) == 4


@pytest.mark.parametrize("only_missing", [False, True])
def test_a_damaged_file_is_written_again(table: Table, *, only_missing: bool) -> None:
    table.run("2011-03-07", "2011-03-10")
    before = table.contents()
    (path,) = table.folder.glob("2011-03-08-*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    table.run("2011-03-07", "2011-03-10", only_missing=only_missing)
    assert table.contents() == before


def test_half_written_files_are_cleared_and_other_files_left_alone(table: Table) -> None:
    table.run("2011-03-07", "2011-03-07")
    (table.folder / ".2011-03-07-0123456789abcdef.parquet.1.tmp").touch()
    (table.folder / "pushed.parquet").write_bytes(b"not ours")
    table.run("2011-03-07", "2011-03-07")
    names = sorted(table.contents())
    assert len(names) == 2
    assert names[1] == "pushed.parquet"


_RUN = """
import sys
from datetime import date
from pathlib import Path
from evenstore.clock import SystemClock
from evenstore.transform.feature_sql import load_feature_sql
from evenstore.transform.run import run_transform

class Tell:
    def advance(self, n_done=1):
        print(n_done, flush=True)

run_transform(
    load_feature_sql(Path(sys.argv[1])), sources={"shop_lines": Path(sys.argv[2])},
    destination=Path(sys.argv[3]), first_day=date(2011, 1, 1), last_day=date(2011, 3, 11),
    clock=SystemClock(), progress=Tell(), days_per_query=7,
)
"""


def _start(table: Table) -> subprocess.Popen[str]:
    sql = table.lines.with_suffix(".sql")
    sql.write_text(table.sql.text, encoding="utf-8")
    arguments = [sys.executable, "-c", _RUN, str(sql), str(table.lines), str(table.folder)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def _readable_days(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.parquet")):
        found[path.name] = pq.read_table(path, partitioning=None)
    return found


def test_a_run_killed_anywhere_leaves_whole_files_and_the_next_repairs_the_rest(
    table: Table, tmp_path: Path
) -> None:
    clean = Table(tmp_path / "clean", table.sql, table.lines)
    clean.run("2011-01-01", "2011-03-11")
    for kill in range(scaled(2, 50)):
        with _start(table) as process:
            assert process.stdout is not None
            # The first line tells of days skipped, each other one of a published day.
            for _ in range(2 + kill * 7 % 60):
                process.stdout.readline()
            time.sleep(kill * 0.0007)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert _readable_days(table.folder)
        if kill % 3 == 2:
            for path in sorted(table.folder.glob("*.parquet"))[::5]:
                path.unlink()
    table.run("2011-01-01", "2011-03-11", only_missing=True)
    assert table.contents() == clean.contents()


def test_two_runs_at_once_end_as_one(table: Table, tmp_path: Path) -> None:
    clean = Table(tmp_path / "clean", table.sql, table.lines)
    clean.run("2011-01-01", "2011-03-11")
    processes = [_start(table) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=600)
    assert [process.returncode for process in processes] == [0, 0]
    assert table.contents() == clean.contents()


def test_a_file_name_stands_for_one_content(table: Table) -> None:
    table.run("2011-03-07", "2011-03-07")
    (one,) = table.contents()
    write_lines(table.lines, LINES[:1])
    table.run("2011-03-07", "2011-03-07")
    (other,) = table.contents()
    assert one != other
    write_lines(table.lines, LINES)
    table.run("2011-03-07", "2011-03-07")
    assert list(table.contents()) == [one]
