"""A compaction that is killed: no row is lost, and the next run carries it through."""

from __future__ import annotations

import fcntl
import random
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from evenstore.compaction.compact import CompactionReport, compact_folder
from evenstore.compaction.journal import Journal, NewFile, publish, write_journal
from evenstore.errors import OfflineStoreError
from tests.repo.sources import ROOT
from tests.support.plain_source import PLAIN_VIEW, open_plain_source, plain_rows
from tests.support.scale import scaled

_N_FILES = 20
_FILE_ROWS = scaled(2_500, 5_000)
# What shows that a compaction reads, has written, has decided, publishes.
_PHASES = (".compaction-*", ".compacted-*", "_compaction.json", "compacted-*")


def _compact(folder: Path) -> CompactionReport:
    return compact_folder(
        folder, partial(open_plain_source, folder), PLAIN_VIEW, target_rows=30_000, listing_s=0
    )


def _trips(folder: Path) -> Counter[int]:
    found: Counter[int] = Counter()
    for path in open_plain_source(folder).paths:
        found.update(pq.read_table(path)["trips"].to_pylist())
    return found


def _write(folder: Path, n_files: int = _N_FILES, n_rows: int = _FILE_ROWS) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(n_files):
        pq.write_table(plain_rows(number * n_rows, n_rows), folder / f"{number}.parquet")


def _only_data(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()} - {".compaction.lock"}
    return all(name.endswith(".parquet") and not name.startswith(".") for name in names)


@pytest.mark.slow
def test_no_kill_loses_or_doubles_a_row(tmp_path: Path) -> None:
    for number in range(scaled(len(_PHASES), 60)):
        folder = tmp_path / str(number)
        _write(folder)
        rows = _trips(folder)
        command = [sys.executable, "-m", f"{__package__}.compacting_process", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"started\n"
            while process.poll() is None and not list(folder.glob(_PHASES[number % len(_PHASES)])):
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.05))
            process.kill()

        found = _trips(folder)
        assert found.keys() == rows.keys()
        assert set(found.values()) <= {1, 2}
        _compact(folder)
        assert _trips(folder) == rows
        assert _only_data(folder)


@pytest.mark.parametrize(("n_published", "n_removed"), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)])
def test_run_killed_after_its_journal_is_carried_through(
    tmp_path: Path, n_published: int, n_removed: int
) -> None:
    _write(tmp_path, 3, 10)
    *replaced, _ = open_plain_source(tmp_path).identities
    new = []
    for number, identity in enumerate(replaced):
        file = NewFile(
            str(tmp_path / f".compacted-{number}.parquet.tmp"),
            str(tmp_path / f"compacted-{number}.parquet"),
        )
        pq.write_table(pq.read_table(identity.path), file.hidden_path)
        new.append(file)
    write_journal(tmp_path, Journal(tuple(new), tuple(replaced)))
    publish(Journal(tuple(new[:n_published]), ()))
    for identity in replaced[:n_removed]:
        Path(identity.path).unlink()

    report = _compact(tmp_path)

    assert report.is_recovered
    assert _trips(tmp_path) == Counter(range(30))
    assert _only_data(tmp_path)
    assert not any(Path(identity.path).exists() for identity in replaced)


def test_run_killed_before_its_journal_has_changed_nothing(tmp_path: Path) -> None:
    _write(tmp_path, 2, 10)
    pq.write_table(plain_rows(0, 10), tmp_path / ".compacted-0.parquet.tmp")
    (tmp_path / ".compaction-scratch").mkdir()
    report = _compact(tmp_path)
    assert not report.is_recovered
    assert _trips(tmp_path) == Counter(range(20))
    assert _only_data(tmp_path)


def test_old_files_stay_where_a_new_one_is_gone(tmp_path: Path) -> None:
    _write(tmp_path, 2, 10)
    source = open_plain_source(tmp_path)
    gone = NewFile(str(tmp_path / ".compacted-0.parquet.tmp"), str(tmp_path / "c.parquet"))
    write_journal(tmp_path, Journal((gone,), source.identities))
    with pytest.raises(OfflineStoreError, match=r"`.*c\.parquet` is gone"):
        _compact(tmp_path)
    assert _trips(tmp_path) == Counter(range(20))


def test_file_that_took_an_old_ones_place_stays(tmp_path: Path) -> None:
    _write(tmp_path, 1, 10)
    source = open_plain_source(tmp_path)
    new = NewFile(str(tmp_path / ".compacted-0.parquet.tmp"), str(tmp_path / "c.parquet"))
    pq.write_table(plain_rows(0, 10), new.hidden_path)
    write_journal(tmp_path, Journal((new,), source.identities))
    pq.write_table(plain_rows(10, 20), source.paths[0])
    _compact(tmp_path)
    assert _trips(tmp_path) == Counter(range(30))


def test_damaged_journal_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    _write(tmp_path, 2, 10)
    (tmp_path / "_compaction.json").write_text("{")
    with pytest.raises(OfflineStoreError, match=r"_compaction\.json` cannot be read") as caught:
        _compact(tmp_path)
    assert caught.value.hint is not None
    assert _trips(tmp_path) == Counter(range(20))


def test_second_compaction_is_refused_and_says_who_works(tmp_path: Path) -> None:
    _write(tmp_path, 2, 10)
    with (tmp_path / ".compaction.lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OfflineStoreError, match="process 4711"):
            _compact(tmp_path)
    # The kernel dropped the lock: what the file says is of no account.
    assert _compact(tmp_path).n_files_written == 1
    assert _trips(tmp_path) == Counter(range(20))


def test_folder_that_was_moved_is_carried_through_too(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    _write(before, 2, 10)
    source = open_plain_source(before)
    new = NewFile(str(before / ".compacted-0.parquet.tmp"), str(before / "compacted-0.parquet"))
    pq.write_table(plain_rows(0, 20), new.hidden_path)
    write_journal(before, Journal((new,), source.identities))
    before.rename(after)
    assert _compact(after).is_recovered
    assert _trips(after) == Counter(range(20))
