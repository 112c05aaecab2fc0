"""Which source types widen exactly: the whole table, so that a new entry is a decision."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from evenstore.dtypes import FURTHER_SCALARS, Dtype
from evenstore.schema.arrow import arrow_type, is_exact_widening

SOURCES: dict[str, pa.DataType] = {
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "timestamp_s": pa.timestamp("s"),
    "timestamp_ms": pa.timestamp("ms", "UTC"),
    "timestamp_us": pa.timestamp("us", "Europe/London"),
    "timestamp_ns": pa.timestamp("ns"),
    "time": pa.time64("us"),
    "duration": pa.duration("us"),
    "decimal": pa.decimal128(10, 0),
    "struct": pa.struct([("a", pa.int64())]),
    "map": pa.map_(pa.string(), pa.int64()),
    "decimal32": pa.decimal32(9, 2),
    "decimal256": pa.decimal256(38, 2),
    "decimal256_long": pa.decimal256(39, 2),
    "scalar_map": pa.map_(pa.int64(), pa.string()),
    "uuid": pa.uuid(),
    "json": pa.json_(),
    "fixed_binary": pa.binary(16),
    "dictionary": pa.dictionary(pa.int32(), pa.large_string()),
}
TEXTS = "string large_string string_view dictionary"
BINARIES = "binary large_binary binary_view"
INSTANTS = "date32 date64 timestamp_s timestamp_ms timestamp_us timestamp_ns"
EXACT = {
    Dtype.INT32: "int8 int16 int32 uint8 uint16",
    Dtype.INT64: "int8 int16 int32 int64 uint8 uint16 uint32",
    Dtype.FLOAT32: "int8 int16 uint8 uint16 float16 float32",
    Dtype.FLOAT64: "int8 int16 int32 uint8 uint16 uint32 float16 float32 float64",
    Dtype.BOOL: "bool",
    Dtype.STRING: TEXTS,
    Dtype.BYTES: BINARIES,
    Dtype.UNIX_TIMESTAMP: INSTANTS,
}
OFFLINE = {
    Dtype("PdfBytes"): BINARIES,
    Dtype("ImageBytes"): BINARIES,
    Dtype("Json"): f"{TEXTS} json",
    Dtype("Uuid"): f"{TEXTS} uuid",
    Dtype("TimeUuid"): f"{TEXTS} uuid",
    Dtype("Decimal"): f"{TEXTS} int8 int16 int32 int64 uint8 uint16 uint32 uint64"
    " decimal decimal32 decimal256",
    Dtype("ZonedTimestamp"): INSTANTS,
    Dtype("Map"): "map struct",
    Dtype("ScalarMap"): "scalar_map",
}
EXACT |= OFFLINE
SCALARS = list(EXACT)
LISTS = [
    *(dtype for dtype in Dtype if dtype.is_list),
    *(Dtype(f"Array({d.value})") for d in OFFLINE),
]
SETS = [Dtype(f"Set({dtype.value})") for dtype in EXACT]


def test_table_of_scalars_is_complete() -> None:
    assert EXACT.keys() == {dtype for dtype in Dtype if not dtype.is_list} | {
        Dtype(name) for name in FURTHER_SCALARS
    }


@pytest.mark.parametrize("dtype", SCALARS, ids=lambda dtype: dtype.value)
def test_scalar_widens_exactly_only_where_the_table_says(dtype: Dtype) -> None:
    exact = {name for name, source in SOURCES.items() if is_exact_widening(source, dtype)}
    assert exact == set(EXACT[dtype].split())


@pytest.mark.parametrize("dtype", LISTS + SETS, ids=lambda dtype: dtype.value)
def test_list_widens_as_its_elements_do(dtype: Dtype) -> None:
    exact = set(EXACT[dtype.element].split())
    nested = Dtype(f"Array({dtype.value})")
    makers: tuple[Callable[[pa.DataType], pa.DataType], ...] = (
        pa.list_,
        pa.large_list,
        lambda element: pa.list_(element, 3),
    )
    for make in makers:
        lists = {name: make(element) for name, element in SOURCES.items()}
        assert exact == {name for name, made in lists.items() if is_exact_widening(made, dtype)}
        assert exact == {
            name for name, made in lists.items() if is_exact_widening(pa.list_(made), nested)
        }
        assert not any(is_exact_widening(pa.list_(made), dtype) for made in lists.values())
        assert not any(is_exact_widening(made, dtype.element) for made in lists.values())
    assert not any(is_exact_widening(element, dtype) for element in SOURCES.values())


@pytest.mark.parametrize("dtype", [*SCALARS, *LISTS, *SETS], ids=lambda dtype: dtype.value)
def test_declared_type_keeps_itself_and_nulls(dtype: Dtype) -> None:
    # Feast has one Arrow type for its two maps, with the keys of the one that has text.
    is_own = "ScalarMap" not in dtype.value
    assert is_exact_widening(arrow_type(dtype), dtype) == is_own
    assert is_exact_widening(pa.null(), dtype)


def test_dictionary_widens_as_its_values_do() -> None:
    texts = pa.dictionary(pa.int32(), pa.string())
    assert is_exact_widening(texts, Dtype.STRING)
    assert not is_exact_widening(texts, Dtype.INT32)


STRUCT = Dtype('Struct({"n": Int64, "deep": Struct({"ids": Array(Uuid)})})')
DEEP = pa.struct([("ids", pa.list_(pa.string()))])


@pytest.mark.parametrize(
    ("source", "is_exact"),
    [
        (pa.struct([("n", pa.int8()), ("deep", DEEP)]), True),
        (pa.struct([("deep", DEEP), ("undeclared", pa.time64("us")), ("n", pa.int64())]), True),
        (pa.struct([("n", pa.null()), ("deep", pa.null())]), True),
        (pa.struct([("n", pa.int64()), ("deep", pa.struct([("ids", pa.string())]))]), False),
        (pa.struct([("n", pa.float64()), ("deep", DEEP)]), False),
        (pa.struct([("n", pa.int64())]), False),
        (pa.struct([("N", pa.int64()), ("deep", DEEP)]), False),
        (pa.struct([("n", pa.int64()), ("deep", DEEP), ("N", pa.int64())]), False),
        (pa.struct([("n", pa.int64()), ("deep", DEEP), ("n", pa.int64())]), False),
        (pa.map_(pa.string(), pa.int64()), False),
        (pa.int64(), False),
    ],
)
def test_struct_needs_each_declared_field_by_its_exact_name(
    source: pa.DataType, is_exact: bool
) -> None:
    assert is_exact_widening(source, STRUCT) == is_exact


@pytest.mark.parametrize(
    ("item", "is_exact"),
    [
        (pa.int64(), True),
        (pa.null(), True),
        (pa.decimal128(10, 2), True),
        (pa.timestamp("ns"), True),
        (pa.uuid(), True),
        (pa.json_(), True),
        (pa.list_(pa.struct([("a", pa.map_(pa.int32(), pa.binary()))])), True),
        (pa.dictionary(pa.int8(), pa.string()), True),
        (pa.uint64(), False),
        (pa.time64("us"), False),
        (pa.list_(pa.duration("s")), False),
        (pa.struct([("a", pa.int64()), ("A", pa.int64())]), False),
        (pa.map_(pa.list_(pa.int64()), pa.int64()), False),
    ],
    ids=str,
)
def test_map_holds_what_has_a_feast_type(item: pa.DataType, is_exact: bool) -> None:
    for key in (pa.string(), pa.dictionary(pa.int8(), pa.string())):
        assert is_exact_widening(pa.map_(key, item), Dtype("Map")) == is_exact
    for key in (pa.int64(), pa.bool_(), pa.float32(), pa.binary(), pa.date32(), pa.uuid()):
        assert is_exact_widening(pa.map_(key, item), Dtype("ScalarMap")) == is_exact
        assert not is_exact_widening(pa.map_(key, item), Dtype("Map"))
    assert is_exact_widening(pa.struct([("a", item)]), Dtype("Map")) == is_exact
    assert not is_exact_widening(pa.struct([("a", item)]), Dtype("ScalarMap"))


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        (
            "Map",
            pa.map_(pa.large_string(), pa.large_list(pa.timestamp("ms", "Europe/London"))),
            pa.map_(pa.string(), pa.list_(pa.timestamp("us", "UTC"))),
        ),
        (
            "Array(Map)",
            pa.large_list(pa.struct([("a", pa.float16()), ("b", pa.large_binary())])),
            pa.list_(pa.struct([("a", pa.float32()), ("b", pa.binary())])),
        ),
        (
            "Set(ScalarMap)",
            pa.list_(pa.map_(pa.uuid(), pa.decimal32(5, 2))),
            pa.list_(pa.map_(pa.string(), pa.decimal128(5, 2))),
        ),
        (
            'Struct({"m": Map, "n": Int64})',
            pa.struct([("n", pa.int8()), ("m", pa.map_(pa.string(), pa.timestamp("ns")))]),
            pa.struct([("m", pa.map_(pa.string(), pa.timestamp("ns"))), ("n", pa.int64())]),
        ),
        ("Map", pa.null(), pa.map_(pa.string(), pa.string())),
        ("Array(Int64)", pa.list_(pa.int8()), pa.list_(pa.int64())),
    ],
)
def test_map_has_the_types_of_its_source(
    name: str, source: pa.DataType, expected: pa.DataType
) -> None:
    assert arrow_type(Dtype(name), source) == expected
