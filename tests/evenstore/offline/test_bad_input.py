"""Input that cannot be joined: what is wrong is named, by an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast.errors import FeatureViewNotFoundException

from evenstore.errors import (
    ConfigurationError,
    EntityRowsError,
    UnknownFeatureError,
)
from evenstore.schema.compile import compile_store
from evenstore.schema.request import resolve_references
from tests.evenstore.offline.small_repo import NOON, STAMP, SmallRepo, arrow, drivers


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> SmallRepo:
    """A repo whose source is sound, for tests of entity rows."""
    return SmallRepo(tmp_path_factory.mktemp("sound"))


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(values, dtype=object)


REFUSED_KEYS: dict[str, tuple[Any, str]] = {
    "text": (["1", "2"], "join key `driver_id` is string, declared Int64"),
    "float": ([1.0, 2.0], "join key `driver_id` is double, declared Int64"),
    "bool": ([True, False], "join key `driver_id` is bool, declared Int64"),
    "decimal": ([Decimal(1), Decimal(2)], "join key `driver_id` is decimal"),
    "uint64": (np.array([1, 2**63], dtype="uint64"), "join key `driver_id` is uint64"),
    "categories of text": (pd.Categorical(["1", "2"]), "join key `driver_id` is dictionary"),
    "above int64": (objects(1, 2**70), "column `driver_id` is of no one type"),
    "mixed": (objects(1, "a"), "column `driver_id` is of no one type"),
    "sparse": (pd.arrays.SparseArray([1, 2]), "column `driver_id` is of no one type"),
}


@pytest.mark.parametrize("case", REFUSED_KEYS)
def test_join_key_of_another_type_is_refused(sound: SmallRepo, case: str) -> None:
    values, message = REFUSED_KEYS[case]
    with pytest.raises(EntityRowsError, match=f"^entity rows: {message}") as caught:
        sound.ask(drivers(driver_id=values))
    assert caught.value.hint


@pytest.mark.parametrize(
    "values",
    [objects(1, 2), pd.Categorical([1, 2]), np.array([1, 2], dtype="int8"), pd.array([1, 2])],
    ids=["objects", "categories", "int8", "nullable"],
)
def test_join_key_that_is_an_integer_is_taken(sound: SmallRepo, values: Any) -> None:
    assert sound.ask(drivers(driver_id=values))["trips"].to_pylist() == [0, 1]


@pytest.mark.parametrize("values", [objects(1, None), pd.array([1, None], "Int64")], ids=str)
def test_null_join_key_names_no_entity(sound: SmallRepo, values: Any) -> None:
    assert sound.ask(drivers(driver_id=values))["trips"].to_pylist() == [0, None]


REFUSED_INSTANTS: dict[str, tuple[Any, str]] = {
    "NaT": ([NOON, pd.NaT], "`event_timestamp` is null in row 1"),
    "null text": (["2024-01-01T12:00:00Z", None], "`event_timestamp` is null in row 1"),
    "no instant": (["2024-01-01T12:00:00Z", "noon"], "column `event_timestamp` holds text"),
    "integers": ([1, 2], "column `event_timestamp` is int64, not a timestamp"),
    "dates": ([date(2024, 1, 1)] * 2, "column `event_timestamp` is date32"),
    "mixed": (objects(NOON, "5 o'clock"), "column `event_timestamp` is of no one type"),
}


@pytest.mark.parametrize("case", REFUSED_INSTANTS)
def test_instants_that_are_none_are_refused(sound: SmallRepo, case: str) -> None:
    values, message = REFUSED_INSTANTS[case]
    with pytest.raises(EntityRowsError, match=f"^entity rows: {message}") as caught:
        sound.ask(drivers(event_timestamp=values))
    assert caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        objects(NOON, NOON.astimezone(None)),
        objects(NOON, NOON.replace(tzinfo=None)),
        ["2024-01-01T12:00:00Z", "2024-01-01T17:00:00+05:00"],
        ["2024-01-01 12:00:00", "2024-01-01T12:00:00Z"],
    ],
    ids=["zones", "naive and zoned", "text", "naive text"],
)
def test_instants_of_several_zones_are_the_same_instants(sound: SmallRepo, values: Any) -> None:
    assert sound.ask(drivers(event_timestamp=values))["trips"].to_pylist() == [0, 1]


@pytest.mark.parametrize("form", ["dictionary", "view"])
def test_text_instants_may_be_stored_in_any_way(sound: SmallRepo, form: str) -> None:
    text = pa.array([NOON.isoformat()])
    stored = text.dictionary_encode() if form == "dictionary" else text.cast(pa.string_view())
    try:
        assert sound.ask(arrow(event_timestamp=stored))["trips"].to_pylist() == [0]
    except EntityRowsError as exc:
        assert "`event_timestamp`" in exc.message  # noqa: PT017 - refusing them is fair too.


@pytest.mark.parametrize(("unit", "raw"), [("s", 2**62), ("ms", 2**60)])
def test_instant_beyond_microseconds_is_refused(sound: SmallRepo, unit: str, raw: int) -> None:
    instants = pa.array([raw], pa.int64()).cast(pa.timestamp(unit, "UTC"))
    with pytest.raises(EntityRowsError, match="`event_timestamp` has an instant beyond"):
        sound.ask(arrow(event_timestamp=instants))


@pytest.mark.parametrize(("raw", "trips"), [(2**63 - 1, 0), (-(2**63) + 1, None)])
def test_instant_beyond_every_calendar_is_an_instant(
    sound: SmallRepo, raw: int, trips: int | None
) -> None:
    instants = pa.array([raw], pa.int64()).cast(STAMP)
    assert sound.ask(arrow(event_timestamp=instants))["trips"].to_pylist() == [trips]


@pytest.mark.parametrize(
    "far", ["3000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-05:00", "3000-01-01"]
)
def test_text_instant_of_a_far_year_is_an_instant(sound: SmallRepo, far: str) -> None:
    asked = drivers(event_timestamp=[far, NOON.isoformat()])
    assert sound.ask(asked)["trips"].to_pylist() == [0, 1]


def test_text_instant_of_a_far_year_need_be_an_instant(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="`event_timestamp` holds text that is no ISO 8601"):
        sound.ask(drivers(event_timestamp=["3000-01-01", "soon"]))


def test_missing_join_key_is_named(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="no column `driver_id`") as caught:
        sound.ask(drivers().rename(columns={"driver_id": "DRIVER_ID"}))
    assert "`DRIVER_ID`" in str(caught.value.hint)


def test_missing_event_timestamp_is_named(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="which column is the event timestamp"):
        sound.ask(drivers().drop(columns="event_timestamp"))


@pytest.mark.parametrize(
    ("repeat", "name"),
    [
        (lambda frame: pd.concat([frame, frame[["driver_id"]]], axis=1), "driver_id"),
        (lambda frame: pd.concat([frame, frame[["event_timestamp"]]], axis=1), "event_timestamp"),
        (lambda frame: frame.assign(**{"7": 1}).join(pd.DataFrame({7: [1, 2]})), "7"),
        (lambda _: pa.table([[1], [1]], names=["driver_id", "driver_id"]), "driver_id"),
    ],
    ids=["key", "instant", "number and text", "arrow"],
)
def test_repeated_column_is_refused(
    sound: SmallRepo, repeat: Callable[[pd.DataFrame], Any], name: str
) -> None:
    with pytest.raises(EntityRowsError, match=f"entity rows have more than one column `{name}`"):
        sound.ask(repeat(drivers()))


def test_column_names_that_are_no_text_become_text(sound: SmallRepo) -> None:
    table = sound.ask(drivers().join(pd.DataFrame({7: [1, 2]})))
    assert table["7"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    "column",
    [pd.period_range("2024", periods=2), pd.to_timedelta([1, 2]), objects({"a": 1}, {"b": 2})],
    ids=["periods", "durations", "dicts"],
)
def test_columns_of_the_caller_may_hold_anything_arrow_knows(sound: SmallRepo, column: Any) -> None:
    assert sound.ask(drivers(more=column))["trips"].to_pylist() == [0, 1]


def test_column_that_arrow_does_not_know_is_named(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="column `more` is of no one type"):
        sound.ask(drivers(more=[1j, 2j]))


def test_names_that_the_joins_use_are_free_for_the_caller(sound: SmallRepo) -> None:
    table = sound.ask(drivers(_row_idx=[5, 6], _event_us=[7, 8], file_index=[9, 9]))
    assert table["_row_idx"].to_pylist() == [5, 6]
    assert table["trips"].to_pylist() == [0, 1]


def test_frame_without_columns_is_refused(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="which column is the event timestamp"):
        sound.ask(pd.DataFrame())


@pytest.mark.parametrize("empty", [drivers().head(0), arrow().slice(0, 0)], ids=["frame", "arrow"])
def test_no_entity_rows_give_no_rows(sound: SmallRepo, empty: Any) -> None:
    table = sound.ask(empty)
    assert table.num_rows == 0
    assert table.schema.field("trips").type == pa.int64()


def test_lazy_frame_is_refused_by_name(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="entity rows cannot be a LazyFrame"):
        sound.ask(pl.DataFrame(arrow()).lazy())


@pytest.mark.parametrize("content", [b"", b"garbage that is no Parquet", None], ids=str)
def test_file_of_entity_rows_that_cannot_be_read_is_named(
    sound: SmallRepo, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "asked.parquet"
    if content is None:
        path.mkdir()  # For everybody, the administrator too, this is no file to read.
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"asked\.parquet`"):
        sound.ask(path)


@pytest.mark.parametrize(
    ("sql", "message"),
    [("selec 1", "Parser Error"), ("", "not one query"), ("create table t as select 1", "not one")],
)
def test_sql_that_selects_nothing_is_refused(sound: SmallRepo, sql: str, message: str) -> None:
    with pytest.raises(EntityRowsError, match=f"^entity rows: {message}") as caught:
        sound.ask(sql)
    assert "SQL" in str(caught.value.hint)


def test_sql_that_selects_a_column_twice_is_refused(sound: SmallRepo) -> None:
    with pytest.raises(EntityRowsError, match="`driver_id`"):
        sound.ask("select 1 as driver_id, 2 as driver_id, now() as event_timestamp")


def test_unknown_names_are_told_by_feast_and_by_us(sound: SmallRepo) -> None:
    """Feast looks references up before it calls a store."""
    for reference, error in (
        ("stats:nope", KeyError),
        ("nope:trips", FeatureViewNotFoundException),
    ):
        with pytest.raises(error, match="nope"):
            sound.store.get_historical_features(entity_df=drivers(), features=[reference])
        with pytest.raises(UnknownFeatureError, match="nope"):
            resolve_references(compile_store(sound.store), (reference,))
