"""Every Feast value type: a declaration, a source column, and what the offline store returns."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal as PyDecimal
from typing import Any

import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView
from feast.types import (
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from feast.value_type import ValueType

from tests.support.feast_repo import FeastRepo

__all__ = [
    "BEFORE_1970",
    "BIG",
    "BLOB",
    "CASES",
    "ID",
    "INSTANT",
    "NOON",
    "PROFILE",
    "TEXT",
    "Case",
    "instants",
    "retrieve",
    "second",
    "thing",
    "view_of",
    "write",
]

thing = Entity(name="thing", join_keys=["k"], value_type=ValueType.INT64)
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
BIG = 2**53 + 1
ID = "00112233-4455-6677-8899-aabbccddeeff"
BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 58, 900_000, UTC)
PROFILE = Struct(
    {
        "visits": Int64,
        "seen": UnixTimestamp,
        "deep": Struct({"ids": Array(Uuid)}),
        'we, "ird}': Set(Float32),
    }
)


array, map_of = pa.array, pa.map_


def second(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A declared type, a source column of three rows, and what the store must return."""

    declared: Any
    source: pa.Array
    expected: list[Any]
    arrow: pa.DataType


TEXT, BLOB = pa.string(), pa.binary()
JSON_TEXTS = ['{"a":  1}', None, "[]"]
CASES = {
    "pdf": Case(PdfBytes, array([b"%PDF", None, b""]), [b"%PDF", None, b""], BLOB),
    "image": Case(
        ImageBytes, array([b"\xff", None, b""], pa.large_binary()), [b"\xff", None, b""], BLOB
    ),
    "json": Case(Json, array(JSON_TEXTS), JSON_TEXTS, TEXT),
    "json_typed": Case(
        Json, pa.ExtensionArray.from_storage(pa.json_(), array(JSON_TEXTS)), JSON_TEXTS, TEXT
    ),
    "uuid_text": Case(Uuid, array([ID.upper(), None, ID]), [ID, None, ID], TEXT),
    "uuid_typed": Case(
        TimeUuid, array([uuid.UUID(ID).bytes, None, None], pa.uuid()), [ID, None, None], TEXT
    ),
    "decimal": Case(
        Decimal,
        array([PyDecimal("1.50"), None, PyDecimal("-0.05")], pa.decimal128(38, 2)),
        ["1.50", None, "-0.05"],
        TEXT,
    ),
    "decimal_text": Case(Decimal, array(["1e3", None, "2"]), ["1e3", None, "2"], TEXT),
    "decimal_integer": Case(
        Decimal, array([2**64 - 1, None, 0], pa.uint64()), [str(2**64 - 1), None, "0"], TEXT
    ),
    "zoned": Case(
        ZonedTimestamp,
        array([-1, None, 1_500_000_001], pa.int64()).cast(pa.timestamp("ns", "America/New_York")),
        [second("1969-12-31T23:59:59"), None, second("1970-01-01T00:00:01")],
        INSTANT,
    ),
    "map": Case(
        Map,
        array([[("b", BIG), ("a", None)], None, []], map_of(TEXT, pa.int64())),
        [[("b", BIG), ("a", None)], None, []],
        map_of(TEXT, pa.int64()),
    ),
    "map_of_lists": Case(
        Map,
        array(
            [[("b", ["x"])], None, []], map_of(pa.large_string(), pa.large_list(pa.large_string()))
        ),
        [[("b", ["x"])], None, []],
        map_of(TEXT, pa.list_(TEXT)),
    ),
    "map_of_struct": Case(
        Map,
        array([{"a": BIG, "b": [1.5]}, None, {"a": None, "b": []}]),
        [{"a": BIG, "b": [1.5]}, None, {"a": None, "b": []}],
        pa.struct([("a", pa.int64()), ("b", pa.list_(pa.float64()))]),
    ),
    "scalar_map": Case(
        ScalarMap,
        array([[(2, "x"), (1, None)], None, []], map_of(pa.int64(), TEXT)),
        [[(2, "x"), (1, None)], None, []],
        map_of(pa.int64(), TEXT),
    ),
    "maps": Case(
        Array(Map),
        array([[[("b", 1)]], None, []], pa.list_(map_of(TEXT, pa.int64()))),
        [[[("b", 1)]], None, []],
        pa.list_(map_of(TEXT, pa.int64())),
    ),
    "lists": Case(
        Array(Array(Int64)),
        array([[[1, BIG], []], None, []], pa.list_(pa.large_list(pa.int64()))),
        [[[1, BIG], []], None, []],
        pa.list_(pa.list_(pa.int64())),
    ),
    "widened_lists": Case(
        Array(Array(Array(Float64))),
        array([[[[1], []]], None, [[]]], pa.list_(pa.list_(pa.list_(pa.int32(), 1 - 2)))),
        [[[[1.0], []]], None, [[]]],
        pa.list_(pa.list_(pa.list_(pa.float64()))),
    ),
    "instants": Case(
        Array(Array(UnixTimestamp)),
        array([[[-1, 1_999_999_999]], None, [[]]], pa.list_(pa.list_(pa.int64()))).cast(
            pa.list_(pa.list_(pa.timestamp("ns", "Europe/London")))
        ),
        [[[second("1969-12-31T23:59:59"), second("1970-01-01T00:00:01")]], None, [[]]],
        pa.list_(pa.list_(INSTANT)),
    ),
    "set": Case(
        Set(String), array([["b", "a", "b"], None, []]), [["a", "b"], None, []], pa.list_(TEXT)
    ),
    "set_of_bytes": Case(
        Set(Bytes), array([[b"b", b"", b"b"], None, []]), [[b"", b"b"], None, []], pa.list_(BLOB)
    ),
    "set_of_flags": Case(
        Set(Bool), array([[True, False], None, []]), [[False, True], None, []], pa.list_(pa.bool_())
    ),
    "set_of_instants": Case(
        Set(UnixTimestamp),
        array(
            [[BEFORE_1970, BEFORE_1970 - timedelta(milliseconds=1)], None, []],
            pa.list_(pa.timestamp("ms")),
        ),
        [[second("1969-12-31T23:59:58")], None, []],
        pa.list_(INSTANT),
    ),
    "set_of_uuids": Case(
        Set(Uuid), array([[ID, ID.upper()], None, []]), [[ID], None, []], pa.list_(TEXT)
    ),
    "set_of_decimals": Case(
        Set(Decimal),
        array([[PyDecimal("1.5"), PyDecimal("1.5")], None, []]),
        [["1.5"], None, []],
        pa.list_(TEXT),
    ),
    "set_of_sets": Case(
        Set(Set(Int32)),
        array([[[2, 1, 1], [1, 2]], None, [[]]], pa.list_(pa.list_(pa.int16()))),
        [[[1, 2]], None, [[]]],
        pa.list_(pa.list_(pa.int32())),
    ),
    "jsons": Case(
        Array(Json), array([["1", "{}"], None, []]), [["1", "{}"], None, []], pa.list_(TEXT)
    ),
    "struct": Case(
        PROFILE,
        array(
            [
                {
                    "visits": BIG,
                    "seen": BEFORE_1970,
                    "deep": {"ids": [ID.upper()]},
                    'we, "ird}': [2.0, 1.0, 2.0],
                    "undeclared": 5,
                },
                None,
                {"visits": None, "seen": None, "deep": None, 'we, "ird}': None, "undeclared": 5},
            ]
        ).cast(
            pa.struct(
                [
                    ("visits", pa.int64()),
                    ("seen", pa.timestamp("ns")),
                    ("deep", pa.struct([("ids", pa.list_(TEXT))])),
                    ('we, "ird}', pa.list_(pa.float32())),
                    ("undeclared", pa.int8()),
                ]
            )
        ),
        [
            {
                "visits": BIG,
                "seen": second("1969-12-31T23:59:58"),
                "deep": {"ids": [ID]},
                'we, "ird}': [1.0, 2.0],
            },
            None,
            {"visits": None, "seen": None, "deep": None, 'we, "ird}': None},
        ],
        pa.struct(
            [
                ("visits", pa.int64()),
                ("seen", INSTANT),
                ("deep", pa.struct([("ids", pa.list_(TEXT))])),
                ('we, "ird}', pa.list_(pa.float32())),
            ]
        ),
    ),
    "structs": Case(
        Array(Struct({"n": Int64})),
        array([[{"n": BIG}, {"n": None}], None, []]),
        [[{"n": BIG}, {"n": None}], None, []],
        pa.list_(pa.struct([("n", pa.int64())])),
    ),
}


def instants(values: list[datetime]) -> pa.Array:
    return pa.array(values, INSTANT)


def view_of(repo: FeastRepo, name: str, schema: dict[str, Any], **options: Any) -> FeatureView:
    settings = {"online": False, "source": repo.source(name, created=None), **options}
    return repo.view(name, [thing], {"k": Int64, **schema}, **settings)


def write(repo: FeastRepo, name: str, **columns: pa.Array) -> None:
    n_rows = len(next(iter(columns.values())))
    keys = {"k": pa.array(range(n_rows), pa.int64()), "event_timestamp": instants([NOON] * n_rows)}
    repo.write_rows(name, pa.table({**keys, **columns}))


def retrieve(store: FeatureStore, features: list[str], n_rows: int) -> Any:
    asked = {"k": pa.array(range(n_rows), pa.int64()), "event_timestamp": instants([NOON] * n_rows)}
    return store.get_historical_features(entity_df=pa.table(asked), features=features)
