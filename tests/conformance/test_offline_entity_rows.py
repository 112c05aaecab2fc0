"""Forms, keys and instants of entity rows, over stock Feast's two local stores and ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from tests.conformance.stores import DUCKDB, FILE, STOCK_WARNINGS, STORE_TYPES, Deviations
from tests.support.feast_repo import FeastRepo

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
BIG = 2**53
pytestmark = STOCK_WARNINGS

_FRAMES = (ValueError, "never, FEAST.md 3.2: dask takes frames of pandas and its own")
_PANDAS = (AttributeError, "upstream, FEAST.md 3.1: anything is taken for a pandas frame")
_ROWS = (AssertionError, "upstream, D31 / FEAST.md 3.2: dask drops and collapses entity rows")
_FLOATS = (AssertionError, "upstream, D10: integers beside a null pass through float64")
DEVIATIONS: Deviations = {
    ("test_entity_rows_can_be_an_arrow_table", FILE): _FRAMES,
    ("test_entity_rows_can_be_an_arrow_table", DUCKDB): _PANDAS,
    ("test_entity_rows_can_be_a_polars_frame", FILE): _FRAMES,
    ("test_entity_rows_can_be_a_polars_frame", DUCKDB): _PANDAS,
    ("test_entity_rows_can_be_a_path", FILE): _FRAMES,
    ("test_entity_rows_can_be_a_path", DUCKDB): _PANDAS,
    ("test_entity_rows_can_be_the_text_of_a_path", FILE): _FRAMES,
    ("test_entity_rows_can_be_the_text_of_a_path", DUCKDB): _PANDAS,
    ("test_nanoseconds_are_floored", FILE): _ROWS,
    ("test_nanoseconds_are_floored", DUCKDB): (
        pa.ArrowInvalid,
        "upstream: Ibis casts no nanoseconds",
    ),
    ("test_entity_row_vanishes_never", FILE): _ROWS,
    ("test_duplicates_collapse_never", FILE): _ROWS,
    ("test_int64_stays_int64_beside_a_null", FILE): _FLOATS,
    ("test_frame_has_integers_beside_a_null", FILE): _FLOATS,
    ("test_frame_has_integers_beside_a_null", DUCKDB): _FLOATS,
}


class Trips:
    """A view of integer keys and one of two text keys, on one store."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.repo = FeastRepo(folder, offline_store=STORE_TYPES[kind])
        at = pa.timestamp("us", "UTC")
        instants = pa.array([NOON - HOUR, NOON, NOON, NOON, NOON], at)
        trips = pa.table(
            {
                "driver_id": pa.array([1, 1, 2, BIG, BIG + 1], pa.int64()),
                "trips": pa.array([10, 11, 20, 30, 31], pa.int64()),
                "event_timestamp": instants,
            }
        )
        cities = pa.table(
            {
                "land": ["ab", "a", "a", "ü", "u\u0308"],
                "city": ["c", "bc", "", "\U0001f600", "\U0001f600"],
                "load": [1.0, 2.0, 3.0, 4.0, 5.0],
                "event_timestamp": instants,
            }
        )
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        land = Entity(name="land", join_keys=["land"], value_type=ValueType.STRING)
        city = Entity(name="city", join_keys=["city"], value_type=ValueType.STRING)
        views = [
            self._view("trips", [driver], {"driver_id": Int64, "trips": Int64}, trips),
            self._view(
                "cities", [land, city], {"land": String, "city": String, "load": Float64}, cities
            ),
        ]
        self.store: FeatureStore = self.repo.apply(driver, land, city, *views)

    def _view(self, name: str, entities: list[Entity], schema: Any, rows: pa.Table) -> Any:
        path = self.repo.write_rows(name, rows)
        source = self.repo.source(name, created=None, path=str(path))
        return self.repo.view(name, entities, schema, source=source)

    def ask(self, entity_df: Any, feature: str = "trips:trips") -> pa.Table:
        return self.store.get_historical_features(
            entity_df=entity_df, features=[feature]
        ).to_arrow()

    def values(self, frame: pd.DataFrame, feature: str = "trips:trips") -> list[Any]:
        """Ask with a label, and return one feature in the labels' order."""
        labelled = frame.assign(label=range(len(frame)))
        table = self.ask(labelled, feature).sort_by("label")
        assert table["label"].to_pylist() == list(range(len(frame)))
        values: list[Any] = table[feature.partition(":")[2]].to_pylist()
        return values


@pytest.fixture(scope="module")
def trips(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Trips:
    return Trips(tmp_path_factory.mktemp(kind), kind)


def drivers(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [NOON, NOON]} | columns)


def ask_in_another_form(trips: Trips, convert: Callable[[pa.Table], Any]) -> None:
    asked = pa.Table.from_pandas(drivers(label=["a", "b"]), preserve_index=False)
    table = trips.ask(convert(asked))
    assert table["label"].to_pylist() == ["a", "b"]
    assert table["trips"].to_pylist() == [11, 20]


def write_to(path: Path) -> Callable[[pa.Table], Path]:
    def write(table: pa.Table) -> Path:
        pq.write_table(table, path)
        return path

    return write


def test_entity_rows_can_be_an_arrow_table(trips: Trips) -> None:
    ask_in_another_form(trips, lambda table: table)


def test_entity_rows_can_be_a_polars_frame(trips: Trips) -> None:
    ask_in_another_form(trips, pl.DataFrame)


def test_entity_rows_can_be_a_path(trips: Trips, tmp_path: Path) -> None:
    ask_in_another_form(trips, write_to(tmp_path / "asked.parquet"))


def test_entity_rows_can_be_the_text_of_a_path(trips: Trips, tmp_path: Path) -> None:
    write = write_to(tmp_path / "asked.parquet")
    ask_in_another_form(trips, lambda table: str(write(table)))


def test_index_of_the_frame_says_nothing(trips: Trips) -> None:
    frame = drivers().set_index(pd.Index([7, 7], name="driver"))
    assert trips.values(frame) == [11, 20]


def test_only_timestamp_column_may_have_any_name(trips: Trips) -> None:
    assert trips.values(drivers().rename(columns={"event_timestamp": "bought"})) == [11, 20]


def test_no_entity_rows_give_no_rows(trips: Trips) -> None:
    table = trips.ask(drivers().head(0))
    assert table.num_rows == 0
    assert {"driver_id", "event_timestamp", "trips"} <= set(table.column_names)


def test_columns_of_the_caller_keep_their_types(trips: Trips) -> None:
    table = trips.ask(drivers(n=pd.array([1, None], "Int64"), is_bought=[True, False]))
    columns = table.sort_by("driver_id").select(["n", "is_bought"]).to_pydict()
    assert columns == {"n": [1, None], "is_bought": [True, False]}


def test_naive_instants_are_utc(trips: Trips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    naive = NOON.replace(tzinfo=None)
    frame = drivers(driver_id=[1, 1], event_timestamp=[naive, naive - MICROSECOND])
    assert trips.values(frame) == [11, 10]


def test_zoned_instants_are_the_same_instants(trips: Trips) -> None:
    frame = drivers(driver_id=[1, 1], event_timestamp=[NOON, NOON - MICROSECOND])
    zoned = frame.assign(event_timestamp=frame["event_timestamp"].dt.tz_convert("Asia/Kolkata"))
    assert trips.values(zoned) == [11, 10]


def test_nanoseconds_are_floored(trips: Trips) -> None:
    instants = pd.to_datetime([NOON, NOON], utc=True) - pd.Timedelta(1, "ns")
    assert trips.values(drivers(event_timestamp=instants, driver_id=[1, 2])) == [10, None]


def test_integer_keys_above_two_to_the_53_are_told_apart(trips: Trips) -> None:
    assert trips.values(drivers(driver_id=[BIG, BIG + 1])) == [30, 31]


def test_null_key_names_no_entity(trips: Trips) -> None:
    frame = drivers(driver_id=pd.array([None, 1], "Int64"))
    assert trips.values(frame) == [None, 11]


def test_composite_text_keys_are_told_apart(trips: Trips) -> None:
    """Wherever one text ends and the next begins, and however a letter is composed."""
    keys = [("a", "bc"), ("ab", "c"), ("a", ""), ("ü", "\U0001f600"), ("u\u0308", "\U0001f600")]
    frame = pd.DataFrame(keys, columns=["land", "city"]).assign(event_timestamp=NOON)
    assert trips.values(frame, "cities:load") == [2.0, 1.0, 3.0, 4.0, 5.0]


def test_entity_row_vanishes_never(trips: Trips) -> None:
    """Neither without history, nor before it, nor beside rows that have some."""
    frame = drivers(driver_id=[9, 1], event_timestamp=[NOON, NOON - 2 * HOUR])
    assert trips.values(pd.concat([frame, drivers()], ignore_index=True)) == [None, None, 11, 20]


def test_duplicates_collapse_never(trips: Trips) -> None:
    frame = pd.concat([drivers(), drivers(), drivers().head(1)], ignore_index=True)
    assert trips.values(frame) == [11, 20, 11, 20, 11]


def test_int64_stays_int64_beside_a_null(trips: Trips) -> None:
    table = trips.ask(drivers(driver_id=[1, 9]))
    assert table.schema.field("trips").type == pa.int64()


def test_frame_has_integers_beside_a_null(trips: Trips) -> None:
    job = trips.store.get_historical_features(
        entity_df=drivers(driver_id=[BIG + 1, 9]), features=["trips:trips"]
    )
    column = job.to_df()["trips"]
    assert str(column.dtype) == "Int64"
    assert sorted(column.dropna().astype(str)) == ["31"]
