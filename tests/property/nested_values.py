"""Hypothesis strategies of types and values that hold values, as the offline store has them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from evenstore.dtypes import Dtype, struct_name
from evenstore.schema.on_demand_values import coerce_value

__all__ = ["pushed_cases", "read_cases", "scalar_keys"]

Case = tuple[Dtype, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 2**53 + 1, -(2**63), 2**63 - 1])
_SECONDS = st.integers(-62_135_596_800, 253_402_300_799).map(
    lambda seconds: _EPOCH + timedelta(seconds=seconds)
)
_FLOAT64 = st.floats(allow_nan=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
).map(json.dumps)
_UUIDS = st.uuids().map(str)
_DECIMALS = st.decimals(allow_nan=False)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Bytes": st.binary(max_size=8),
    "String": st.text(max_size=8),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": _INT64,
    "Float64": _FLOAT64,
    "Float32": st.floats(width=32, allow_nan=False),
    "Bool": st.booleans(),
    "UnixTimestamp": _SECONDS,
    "PdfBytes": st.binary(max_size=8),
    "ImageBytes": st.binary(max_size=8),
    "Json": _JSON,
    "Uuid": _UUIDS,
    "TimeUuid": _UUIDS,
    "Decimal": _DECIMALS.map(str),
}
_FILES = {"PdfBytes", "ImageBytes"}
_BLOBS = _FILES | {"Bytes"}
_LISTED = sorted(_SCALARS.keys() - _FILES)
_IN_SETS = sorted(_SCALARS.keys() - _FILES - {"Json"})
_SCALAR_NAMES = st.sampled_from(sorted(_SCALARS))


def _structs(fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # NumPy ends a name at its first NUL.
    name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)
    names = st.lists(name, min_size=1, max_size=3, unique_by=str.casefold)
    typed = names.flatmap(lambda names: st.tuples(*[st.tuples(st.just(n), fields) for n in names]))
    return typed.map(lambda pairs: struct_name(list(pairs)))


# Lists of anything else in a struct stock refuses, or takes where they have one element.
_NUMBER_LISTS = st.sampled_from(["Int32", "Int64", "Float32", "Float64", "Bool"]).map(
    "Array({})".format
)
_STRUCTS = _structs(_SCALAR_NAMES | _NUMBER_LISTS | _structs(_SCALAR_NAMES))
_COLLECTIONS = (
    st.sampled_from([f"Array({name})" for name in _LISTED])
    | st.sampled_from([f"Set({name})" for name in _IN_SETS])
    | _STRUCTS.map("Array({})".format)
)
_NESTED = _COLLECTIONS.map("Array({})".format) | _COLLECTIONS.map("Set({})".format)
_READ_TYPES = (
    _SCALAR_NAMES | _COLLECTIONS | _STRUCTS | _NESTED | _NESTED.map("Array({})".format)
).map(Dtype)


def _values(
    dtype: Dtype, *, is_empty_refused: bool, has_nulls: bool = True
) -> st.SearchStrategy[Any]:
    """Values that stock takes and keeps.

    It refuses empty lists and bytes in a struct, loses a lone column of empty bytes, and makes an
    integer beside a null in structs of a list a float.
    """
    if dtype.is_struct:
        null = st.none() if has_nulls else st.nothing()
        return st.fixed_dictionaries(
            {
                name: null | _values(field, is_empty_refused=True, has_nulls=has_nulls)
                for name, field in dtype.fields
            }
        )
    if dtype.is_list or dtype.is_set:
        elements = _values(dtype.element, is_empty_refused=False, has_nulls=False)
        return st.lists(elements, min_size=int(is_empty_refused), max_size=3)
    scalars = _SCALARS[dtype.value]
    return scalars.filter(bool) if is_empty_refused and dtype.value in _BLOBS else scalars


@st.composite
def read_cases(draw: st.DrawFn) -> Case:
    """A type without maps, and a value of it: what a run of stock reads from Arrow."""
    dtype = draw(_READ_TYPES)
    values = _values(dtype, is_empty_refused=not (dtype.is_list or dtype.is_set))
    return dtype, coerce_value(draw(values), dtype, where="x")


_FREE_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Int64": _INT64,
    "Float64": _FLOAT64,
    "String": st.text(max_size=8),
    "Bytes": st.binary(min_size=1, max_size=8),
    "Bool": st.booleans(),
    "UnixTimestamp": _SECONDS,
    "Decimal": _DECIMALS,
}
_FREE_LISTS = st.one_of(
    [st.lists(values, min_size=1, max_size=3) for values in _FREE_SCALARS.values()]
)
_FREE_MAPS = st.recursive(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.one_of([*_FREE_SCALARS.values()]) | _FREE_LISTS,
        max_size=3,
    ),
    lambda maps: st.dictionaries(
        st.text(max_size=5), maps | st.lists(maps, min_size=1, max_size=2), max_size=2
    ),
    max_leaves=3,
)
scalar_keys: st.SearchStrategy[Any] = st.one_of(
    _INT64, _FLOAT64, st.booleans(), _SECONDS, st.binary(max_size=5), _DECIMALS, st.uuids()
)
"""Keys of a ScalarMap, as Python values that Feast takes."""

_ZONES = st.sampled_from(
    [
        UTC,
        ZoneInfo("UTC"),
        ZoneInfo("America/New_York"),
        timezone(timedelta(hours=5, minutes=30)),
        timezone(timedelta(hours=-7)),
    ]
)
# A day from either end, so that every zone has the instant.
_ZONED = st.builds(
    lambda instant, zone: instant.astimezone(zone),
    st.integers(-62_135_500_000, 253_402_200_000).map(lambda s: _EPOCH + timedelta(seconds=s)),
    _ZONES,
)


@st.composite
def pushed_cases(draw: st.DrawFn) -> Case:
    """A type with maps inside, or a zoned timestamp, and a value of it in Python's own types."""
    record = {
        "n": st.none() | _INT64,
        "m": _FREE_MAPS,
        "ms": st.lists(_FREE_MAPS, min_size=1, max_size=2),
        "s": st.fixed_dictionaries({"t": _SECONDS, "f": st.none() | _FLOAT64}),
    }
    name = struct_name(
        [
            ("n", "Int64"),
            ("m", "Map"),
            ("ms", "Array(Map)"),
            ("s", struct_name([("t", "UnixTimestamp"), ("f", "Float64")])),
        ]
    )
    values: dict[str, st.SearchStrategy[Any]] = {
        "Map": _FREE_MAPS,
        "ScalarMap": st.dictionaries(
            scalar_keys,
            st.none() | st.one_of([*_FREE_SCALARS.values()]) | _FREE_MAPS.filter(bool),
            max_size=3,
        ),
        "Array(Map)": st.lists(_FREE_MAPS, max_size=3),
        "Array(Array(Map))": st.lists(st.lists(_FREE_MAPS, max_size=2), max_size=2),
        "ZonedTimestamp": _ZONED,
        name: st.fixed_dictionaries(record),
        f"Array({name})": st.lists(st.fixed_dictionaries(record), max_size=2),
    }
    chosen = draw(st.sampled_from(sorted(values)))
    return Dtype(chosen), draw(values[chosen])
