"""Point-in-time reads: exact types, hostile names and refusals; meaning is tested by property."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, ValueType
from feast.types import Array, Float64, Int64, String

from evenstore.dtypes import Dtype
from evenstore.errors import (
    EntityRowsError,
    SchemaError,
    SourceUnavailableError,
    UnsupportedDtypeError,
)
from evenstore.offline.history import describe_entities, read_history
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_store
from evenstore.schema.request import FeatureRequest, resolve_references
from evenstore.semantics import Knowledge, Status
from tests.support.feast_repo import FeastRepo
from tests.support.parquet_view import ParquetView

DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
EVENT = pa.array([0], pa.timestamp("us"))
KEYS = pa.table({"k": pa.array([1], pa.int64())})


def view_of_one(path: Path, values: pa.Array, dtype: Dtype) -> ParquetView:
    table = pa.table({"k": pa.array([1], pa.int64()), "x": values, "event_timestamp": EVENT})
    return ParquetView(path, table, join_keys={"k": Dtype.INT64}, features={"x": dtype})


EXTREMES: list[tuple[pa.DataType, Any, Dtype]] = [
    (pa.int8(), -(2**7), Dtype.INT32),
    (pa.uint16(), 2**16 - 1, Dtype.INT32),
    (pa.int32(), -(2**31), Dtype.INT64),
    (pa.uint32(), 2**32 - 1, Dtype.INT64),
    (pa.int64(), 2**53 + 1, Dtype.INT64),
    (pa.int64(), -(2**63), Dtype.INT64),
    (pa.int64(), 2**63 - 1, Dtype.INT64),
    (pa.uint16(), 2**16 - 1, Dtype.FLOAT32),
    (pa.float16(), 65504.0, Dtype.FLOAT32),
    (pa.float32(), 3.4028234663852886e38, Dtype.FLOAT64),
    (pa.float32(), 1.401298464324817e-45, Dtype.FLOAT32),
    (pa.uint32(), 2**32 - 1, Dtype.FLOAT64),
    (pa.float64(), 5e-324, Dtype.FLOAT64),
    (pa.float64(), float("-inf"), Dtype.FLOAT64),
    (pa.bool_(), True, Dtype.BOOL),
    (pa.string(), "", Dtype.STRING),
    (pa.large_string(), "a\0b\U0001f600", Dtype.STRING),
    (pa.string_view(), "a text of more than twelve bytes", Dtype.STRING),
    (pa.dictionary(pa.int32(), pa.string()), "one of few", Dtype.STRING),
    (pa.binary(), b"\x00\xff", Dtype.BYTES),
    (pa.large_binary(), b"", Dtype.BYTES),
    (pa.binary_view(), b"bytes that are more than twelve", Dtype.BYTES),
    (pa.list_(pa.int32()), [], Dtype.INT64_LIST),
    (pa.list_(pa.int64()), [2**53 + 1, -1], Dtype.INT64_LIST),
    (pa.large_list(pa.float32()), [0.5], Dtype.FLOAT64_LIST),
    (pa.list_(pa.bool_(), 2), [True, False], Dtype.BOOL_LIST),
    (pa.list_(pa.string()), ["", "é"], Dtype.STRING_LIST),
    (pa.list_(pa.binary()), [b"", b"\x00"], Dtype.BYTES_LIST),
    (pa.null(), None, Dtype.FLOAT32_LIST),
    (pa.null(), None, Dtype.STRING),
]


@pytest.mark.parametrize(("source", "value", "dtype"), EXTREMES, ids=str)
def test_value_is_kept_exactly_in_the_declared_type(
    tmp_path: Path, source: pa.DataType, value: Any, dtype: Dtype
) -> None:
    view = view_of_one(tmp_path / "a.parquet", pa.array([value], source), dtype)
    joined = view.join(KEYS)["x"]
    assert joined.values.type == arrow_type(dtype)
    assert joined.values.to_pylist() == [value]
    assert joined.statuses.to_pylist() == [Status.NULL_VALUE if value is None else Status.PRESENT]


def test_negative_zero_and_nan_keep_their_bits(tmp_path: Path) -> None:
    for value in (-0.0, float("nan")):
        view = view_of_one(tmp_path / "a.parquet", pa.array([value]), Dtype.FLOAT64)
        joined = view.join(KEYS)["x"]
        assert joined.values.buffers()[1] == pa.array([value]).buffers()[1]
        assert joined.statuses.to_pylist() == [Status.PRESENT]


INSTANTS = [
    (pa.timestamp("s"), -1, -1),
    (pa.timestamp("s", "UTC"), 1, 1),
    (pa.timestamp("ms"), -1, -1),
    (pa.timestamp("ms", "UTC"), 1999, 1),
    (pa.timestamp("us"), -1_000_001, -2),
    (pa.timestamp("us", "America/New_York"), 1_999_999, 1),
    (pa.timestamp("ns"), -1, -1),
    (pa.timestamp("ns", "UTC"), -1_000_000_000, -1),
    (pa.timestamp("ns", "Asia/Kolkata"), -1_000_000_001, -2),
    (pa.date32(), -1, -86_400),
    (pa.date64(), 86_400_000, 86_400),
]


@pytest.mark.parametrize(("source", "raw", "second"), INSTANTS, ids=str)
def test_unix_timestamp_is_floored_to_seconds(
    tmp_path: Path, source: pa.DataType, raw: int, second: int
) -> None:
    storage = pa.int32() if source == pa.date32() else pa.int64()
    values = pa.array([raw], storage).cast(source)
    view = view_of_one(tmp_path / "a.parquet", values, Dtype.UNIX_TIMESTAMP)
    joined = view.join(KEYS)["x"].values
    assert joined.type == pa.timestamp("us", "UTC")
    assert joined.cast(pa.int64()).to_pylist() == [second * 1_000_000]


@pytest.mark.parametrize(
    ("source", "raw", "event_us"),
    [
        (pa.timestamp("ns"), -1, -1),
        (pa.timestamp("ns"), 1999, 1),
        (pa.timestamp("ns", "UTC"), -1001, -2),
        (pa.timestamp("ns", "UTC"), -1000, -1),
        (pa.timestamp("us"), -1, -1),
        (pa.timestamp("us", "America/New_York"), 1, 1),
        (pa.timestamp("ms", "UTC"), -1, -1000),
        (pa.timestamp("s"), -1, -1_000_000),
        (pa.date32(), -1, -86_400_000_000),
        (pa.date64(), -86_400_000, -86_400_000_000),
    ],
    ids=str,
)
def test_event_timestamp_is_floored_to_microseconds(
    tmp_path: Path, source: pa.DataType, raw: int, event_us: int
) -> None:
    storage = pa.int32() if source == pa.date32() else pa.int64()
    table = pa.table(
        {"k": KEYS["k"], "x": [1.5], "event_timestamp": pa.array([raw], storage).cast(source)}
    )
    view = ParquetView(
        tmp_path / "a.parquet", table, join_keys={"k": Dtype.INT64}, features={"x": Dtype.FLOAT64}
    )
    found = view.join(KEYS, as_of_us=event_us)["x"]
    assert found.event_us.to_pylist() == [event_us]
    assert view.join(KEYS, as_of_us=event_us - 1)["x"].statuses.to_pylist() == [Status.NOT_FOUND]


def test_int96_timestamps_of_old_writers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    raw = [-1500, 1500]
    table = pa.table(
        {"k": [1, 2], "x": [1.0, 2.0], "event_timestamp": pa.array(raw, pa.timestamp("ns"))}
    )
    view = ParquetView(path, table, join_keys={"k": Dtype.INT64}, features={"x": Dtype.FLOAT64})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    found = view.join(pa.table({"k": [1, 2]}))["x"]
    assert found.event_us.to_pylist() == [-2, 1]


HOSTILE = ['"', "'", ";--", "select", "é\U0001f600", "a b", "%s", "{x}", "\\", "x\ny", "f.x", "e"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_passes_through_the_whole_join(tmp_path: Path, name: str) -> None:
    key, feature, event, created = (f"{name}{part}" for part in ("", "x", "ts", "c"))
    table = pa.table(
        {
            key: pa.array([1, 1], pa.int64()),
            feature: pa.array([1.5, 2.5]),
            event: pa.array([0, 1], pa.timestamp("us")),
            created: pa.array([0, 1], pa.timestamp("us")),
        }
    )
    view = ParquetView(
        tmp_path / f"{name.replace('/', '')}.parquet",
        table,
        join_keys={key: Dtype.INT64},
        features={feature: Dtype.FLOAT64},
        event=event,
        created=created,
    )
    keys = pa.table({key: pa.array([1], pa.int64())})
    for knowledge in Knowledge:
        joined = view.join(keys, as_of_us=0, knowledge=knowledge)
        assert joined[feature].values.to_pylist() == [1.5]


def test_path_with_quotes_and_glob_signs_is_read_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *?"
    folder.mkdir()
    view = view_of_one(folder / 'x".parquet', pa.array([1.5]), Dtype.FLOAT64)
    (folder / "other.parquet").write_bytes(b"not to be read")
    assert view.join(KEYS)["x"].values.to_pylist() == [1.5]


@pytest.mark.parametrize(
    "name",
    ["_event_us", "_ROW_IDX", "_place", "file_row_number", "_since_us", "_Created_us"],
)
def test_name_that_the_joins_use_is_refused(tmp_path: Path, name: str) -> None:
    table = pa.table({"k": KEYS["k"], name: [1.5], "event_timestamp": EVENT})
    view = ParquetView(
        tmp_path / "a.parquet", table, join_keys={"k": Dtype.INT64}, features={name: Dtype.FLOAT64}
    )
    with pytest.raises(SchemaError, match=f"view: `{name}` is a name that the joins use"):
        view.join(KEYS)


def test_features_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    table = pa.table({"k": KEYS["k"], "x": [1.5], "X": [2.5], "event_timestamp": EVENT})
    features = {"x": Dtype.FLOAT64, "X": Dtype.FLOAT64}
    view = ParquetView(
        tmp_path / "a.parquet", table, join_keys={"k": Dtype.INT64}, features=features
    )
    with pytest.raises(SchemaError, match="view: `x` and `X` differ only in case"):
        view.join(KEYS)


def test_names_that_differ_in_case_beyond_ascii_are_two_names(tmp_path: Path) -> None:
    table = pa.table({"k": KEYS["k"], "é": [1.5], "É": [2.5], "event_timestamp": EVENT})
    features = {"é": Dtype.FLOAT64, "É": Dtype.FLOAT64}
    view = ParquetView(
        tmp_path / "a.parquet", table, join_keys={"k": Dtype.INT64}, features=features
    )
    joined = view.join(KEYS)
    assert (joined["é"].values[0].as_py(), joined["É"].values[0].as_py()) == (1.5, 2.5)


def test_two_columns_may_be_mapped_onto_each_other(tmp_path: Path) -> None:
    table = pa.table({"k": KEYS["k"], "x": [1.5], "y": [2.5], "event_timestamp": EVENT})
    view = ParquetView(
        tmp_path / "a.parquet",
        table,
        join_keys={"k": Dtype.INT64},
        features={"x": Dtype.FLOAT64, "y": Dtype.FLOAT64},
    )
    swapped = (("k", "k"), ("x", "y"), ("y", "x"))
    view.source = dataclasses.replace(view.source, columns=swapped)
    joined = view.join(KEYS)
    assert (joined["x"].values[0].as_py(), joined["y"].values[0].as_py()) == (2.5, 1.5)


def test_null_in_a_list_is_refused_by_name(tmp_path: Path) -> None:
    values = pa.array([[1, None]], pa.list_(pa.int64()))
    view = view_of_one(tmp_path / "a.parquet", values, Dtype.INT64_LIST)
    with pytest.raises(UnsupportedDtypeError, match="view:x: a list holds a null"):
        view.join(KEYS)


def test_data_page_that_is_damaged_is_an_unreadable_source(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    numbers = pa.array(range(5000), pa.int64())
    table = pa.table({"k": numbers, "x": numbers, "event_timestamp": numbers.cast(EVENT.type)})
    view = ParquetView(path, table, join_keys={"k": Dtype.INT64}, features={"x": Dtype.INT64})
    content = bytearray(path.read_bytes())
    content[4:4000] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(SourceUnavailableError):
        view.join(KEYS)


def test_timestamp_join_key_is_floored_on_both_sides(tmp_path: Path) -> None:
    instants = pa.array([-1, 1_999_999], pa.timestamp("us", "UTC"))
    table = pa.table({"at": instants, "x": [1, 2], "event_timestamp": pa.array([0, 0], EVENT.type)})
    view = ParquetView(
        tmp_path / "a.parquet",
        table,
        join_keys={"at": Dtype.UNIX_TIMESTAMP},
        features={"x": Dtype.INT64},
    )
    for unit, raw in (("us", [-999_999, 1_000_001]), ("ns", [-1, 1_000_000_001]), ("s", [-1, 1])):
        asked = pa.array(raw, pa.int64()).cast(pa.timestamp(unit, "UTC"))
        assert view.join(pa.table({"at": asked}))["x"].values.to_pylist() == [1, 2]


class Shop:
    """A repo with two views, one of them asked for under another name."""

    def __init__(self, folder: Path) -> None:
        self.repo = FeastRepo(folder)
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        stats = self.repo.view(
            "stats",
            [driver],
            {"driver_id": Int64, "trips": Int64, "tags": Array(String)},
            ttl=dt.timedelta(hours=1),
        )
        city = self.repo.view("city", [], {"load": Float64}, source=self.repo.source("city"))
        stamps = pa.array([DAY], pa.timestamp("us", "UTC"))
        self.repo.write_rows(
            "stats",
            pa.table(
                {
                    "driver_id": [1],
                    "trips": [5],
                    "tags": [["a"]],
                    "event_timestamp": stamps,
                    "created": stamps,
                }
            ),
        )
        self.repo.write_rows(
            "city", pa.table({"load": [0.5], "event_timestamp": stamps, "created": stamps})
        )
        self.store: FeatureStore = self.repo.apply(driver, stats, city)

    def request(self, *references: str) -> FeatureRequest:
        return resolve_references(compile_store(self.store), references)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def entity_rows(*rows: tuple[int, dt.datetime], unit: str = "us") -> pa.Table:
    instants = pa.array([instant for _, instant in rows], pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "label": pa.array([f"row {i}" for i in range(len(rows))]),
            "driver_id": pa.array([key for key, _ in rows], pa.int64()),
            "event_timestamp": instants.cast(pa.timestamp(unit, "UTC")),
        }
    )


def test_columns_come_in_the_order_asked_for_behind_the_callers(shop: Shop) -> None:
    table = read_history(
        shop.store,
        shop.request("city:load", "stats:trips"),
        entity_rows((1, DAY), (2, DAY), (1, DAY)),
        knowledge=Knowledge.AS_KNOWN,
    )
    assert table.column_names == [
        "label",
        "driver_id",
        "event_timestamp",
        "city__load",
        "stats__trips",
        "city__load__status",
        "city__load__event_timestamp",
        "stats__trips__status",
        "stats__trips__event_timestamp",
    ]
    assert table["label"].to_pylist() == ["row 0", "row 1", "row 2"]
    assert table["city__load"].to_pylist() == [0.5, 0.5, 0.5]
    assert table["stats__trips"].to_pylist() == [5, None, 5]


def test_ttl_is_inclusive_to_the_microsecond(shop: Shop) -> None:
    edge = DAY + dt.timedelta(hours=1)
    table = read_history(
        shop.store,
        shop.request("stats:trips"),
        entity_rows((1, edge), (1, edge + dt.timedelta(microseconds=1))),
        knowledge=Knowledge.LATEST_TRUTH,
    )
    assert table["stats__trips"].to_pylist() == [5, None]
    assert table["stats__trips__status"].to_pylist() == [Status.PRESENT, Status.OUTSIDE_MAX_AGE]
    assert table["stats__trips__event_timestamp"].to_pylist() == [DAY, DAY]


def test_rows_after_what_is_loaded_are_not_seen_and_age_is_judged_at_the_rows_instant(
    shop: Shop,
) -> None:
    edge = DAY + dt.timedelta(hours=1)
    rows = entity_rows((1, edge), (1, edge), (1, edge + dt.timedelta(microseconds=1)))
    loaded = [DAY - dt.timedelta(microseconds=1), DAY, DAY]
    until_us = pa.array(loaded, pa.timestamp("us", tz="UTC")).cast(pa.int64())
    table = read_history(
        shop.store,
        shop.request("stats:trips"),
        rows,
        knowledge=Knowledge.LATEST_TRUTH,
        seen_until_us={"stats": until_us},
    )
    assert table["stats__trips"].to_pylist() == [None, 5, None]
    statuses = [Status.NOT_FOUND, Status.PRESENT, Status.OUTSIDE_MAX_AGE]
    assert table["stats__trips__status"].to_pylist() == statuses


def test_no_entity_rows_give_no_rows_with_all_columns(shop: Shop) -> None:
    table = read_history(
        shop.store, shop.request("stats:tags"), entity_rows(), knowledge=Knowledge.LATEST_TRUTH
    )
    assert table.num_rows == 0
    assert table.schema.field("stats__tags").type == pa.list_(pa.string())


def test_entity_rows_without_their_columns_are_refused(shop: Shop) -> None:
    request = shop.request("stats:trips")
    with pytest.raises(EntityRowsError, match="no column `when`"):
        read_history(
            shop.store,
            request,
            entity_rows((1, DAY)),
            knowledge=Knowledge.AS_KNOWN,
            event_timestamp_column="when",
        )
    with pytest.raises(EntityRowsError, match="no column `driver_id`") as caught:
        read_history(
            shop.store,
            request,
            entity_rows((1, DAY)).drop_columns(["driver_id"]),
            knowledge=Knowledge.AS_KNOWN,
        )
    assert caught.value.hint == (
        "the join key is needed; the entity rows have `label`, `event_timestamp`"
    )


def test_entities_of_an_entityless_view_are_one(shop: Shop) -> None:
    (city,) = (view for view in compile_store(shop.store).feature_views if view.name == "city")
    described = describe_entities(shop.store, city, as_of_us=2**60)
    assert described.to_pylist() == [
        {
            "n_rows": 1,
            "event_us": 1_704_067_200_000_000,
            "has_null": False,
            "is_ambiguous": False,
            "created_us": 1_704_067_200_000_000,
        }
    ]
