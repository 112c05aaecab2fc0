"""Sources that cannot be joined: view, column and file are named, by an error of ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.errors import (
    EvenstoreError,
    SchemaError,
    SourceUnavailableError,
    UnsupportedDtypeError,
)
from evenstore.schema.source import batch_source
from tests.evenstore.offline.small_repo import NOON, STAMP, SmallRepo, drivers, history


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> SmallRepo:
    """A repo whose source each test replaces."""
    return SmallRepo(tmp_path_factory.mktemp("damaged"))


def with_column(name: str, values: pa.Array) -> pa.Table:
    table = history()
    return table.set_column(table.column_names.index(name), name, values)


_THREE_TEXTS = pa.array(["1", "2", "3"])
REFUSED_SOURCES: dict[str, tuple[pa.Table, type[SchemaError], str]] = {
    "no feature": (history().drop_columns(["trips"]), SchemaError, "no column `trips`"),
    "no join key": (history().drop_columns(["driver_id"]), SchemaError, "no column `driver_id`"),
    "no event timestamp": (
        history().drop_columns(["event_timestamp"]),
        SchemaError,
        "no column `event_timestamp`",
    ),
    "no created timestamp": (
        history().drop_columns(["created"]),
        SchemaError,
        "no column `created`",
    ),
    "no columns": (pa.table({}), SchemaError, "no column `event_timestamp`"),
    "float feature": (
        with_column("trips", pa.array([1.0, 2.0, 3.0])),
        UnsupportedDtypeError,
        "`trips` is double",
    ),
    "text key": (with_column("driver_id", _THREE_TEXTS), UnsupportedDtypeError, "is string"),
    "text event": (
        with_column("event_timestamp", _THREE_TEXTS),
        UnsupportedDtypeError,
        "timestamp column `event_timestamp` is string",
    ),
    "text created": (
        with_column("created", _THREE_TEXTS),
        UnsupportedDtypeError,
        "timestamp column `created` is string",
    ),
    "two features": (
        history().append_column("trips", pa.array([7, 8, 9])),
        SchemaError,
        "several columns `trips`",
    ),
    "two keys": (
        history().append_column("driver_id", pa.array([7, 8, 9])),
        SchemaError,
        "several columns `driver_id`",
    ),
    "two cases": (
        history().append_column("Trips", pa.array([7, 8, 9])),
        SchemaError,
        "`Trips` and `trips` differ only in case",
    ),
}


def ways_to_read(damaged: SmallRepo) -> list[Callable[[], Any]]:
    """Ask by entity rows, as a stream, by dates, and as a materialization does."""
    store = damaged.store
    offline = store._get_provider().offline_store
    view = store.get_feature_view("stats")
    columns = (["driver_id"], ["trips"], "event_timestamp", "created")

    def ask() -> Any:
        return store.get_historical_features(entity_df=drivers(), features=["stats:trips"])

    return [
        lambda: ask().to_arrow(),
        lambda: ask().to_arrow_reader().read_all(),
        lambda: store.get_historical_features(features=["stats:trips"], end_date=NOON).to_arrow(),
        lambda: offline.pull_all_from_table_or_query(
            store.config, batch_source(view), *columns
        ).to_arrow(),
    ]


def replace_source(damaged: SmallRepo, table: pa.Table | None = None, **options: Any) -> Path:
    folder = damaged.repo.data / "stats"
    shutil.rmtree(folder)
    folder.mkdir()
    if table is not None:
        pq.write_table(table, folder / "a.parquet", **options)
    return folder / "a.parquet"


@pytest.mark.parametrize("case", REFUSED_SOURCES)
def test_source_that_does_not_fit_names_view_column_and_file(damaged: SmallRepo, case: str) -> None:
    table, error, message = REFUSED_SOURCES[case]
    replace_source(damaged, table)
    with pytest.raises(error, match=message) as caught:
        damaged.ask()
    assert caught.value.message.startswith("stats:")
    assert "a.parquet" in str(caught.value)
    assert caught.value.hint


def test_columns_that_nobody_uses_may_repeat(damaged: SmallRepo) -> None:
    more = pa.array([7, 8, 9])
    replace_source(damaged, history().append_column("more", more).append_column("more", more))
    assert damaged.ask()["trips"].to_pylist() == [0, 1]


def test_rows_without_an_event_timestamp_never_happened(damaged: SmallRepo) -> None:
    instants = pa.array([None, NOON, None], STAMP)
    replace_source(damaged, with_column("event_timestamp", instants))
    assert damaged.ask()["trips"].to_pylist() == [None, 1]


def test_naive_event_timestamps_are_utc(damaged: SmallRepo) -> None:
    naive = history()["event_timestamp"].cast(pa.timestamp("us"))
    replace_source(damaged, with_column("event_timestamp", naive))
    assert damaged.ask()["trips"].to_pylist() == [0, 1]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def behead(path: Path) -> None:
    path.write_bytes(path.read_bytes()[path.stat().st_size // 2 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"x" * 1000)


def damage_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:3000] = b"\xff" * 2900
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [truncate, behead, empty, fill_with_garbage, damage_a_page], ids=lambda f: f.__name__
)
def test_damaged_file_is_named_whatever_reads_it(
    damaged: SmallRepo, damage: Callable[[Path], None]
) -> None:
    path = replace_source(damaged, history(5000), compression="zstd")
    pq.write_table(history(), path.parent / "sound.parquet")
    damage(path)
    for read in ways_to_read(damaged):
        with pytest.raises(SourceUnavailableError, match=r"^stats(_source)?: .*a\.parquet`"):
            read()


def test_source_without_files_is_named_whatever_reads_it(damaged: SmallRepo) -> None:
    path = replace_source(damaged)
    path.mkdir()  # A folder is no file, whatever its name ends in.
    (path.parent / "gone.parquet").symlink_to(path.parent / "nowhere")
    for read in ways_to_read(damaged):
        with pytest.raises(SourceUnavailableError, match="`stats_source` has no Parquet files"):
            read()


@pytest.mark.parametrize("name", ["event_timestamp", "created"])
def test_timestamp_beyond_the_range_of_microseconds_names_view_and_column(
    damaged: SmallRepo, name: str
) -> None:
    stamps = [
        pa.array(raw, pa.int64()).cast(pa.timestamp("ms", "UTC"))
        for raw in ([0, 0, 2**62], [0, 0, 0])
    ]
    path = replace_source(damaged, with_column(name, stamps[0]))
    pq.write_table(with_column(name, stamps[1]), path.parent / "0.parquet")
    for read in ways_to_read(damaged):
        with pytest.raises(EvenstoreError, match=rf"^stats(_source)?: column `{name}` of `.*a\."):
            read()
