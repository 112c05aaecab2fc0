"""Every Feast value type through a real registry and real Parquet."""

from __future__ import annotations

from decimal import Decimal as PyDecimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast.types import (
    Array,
    Decimal,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    ScalarMap,
    Set,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)

from evenstore.errors import UnsupportedDtypeError
from evenstore.schema.compile import compile_store
from tests.evenstore.offline.value_cases import (
    CASES,
    ID,
    INSTANT,
    NOON,
    PROFILE,
    TEXT,
    instants,
    retrieve,
    thing,
    view_of,
    write,
)
from tests.support.feast_repo import FeastRepo

array, map_of = pa.array, pa.map_


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ask for every case; the fourth entity row is of an unknown entity."""
    repo = FeastRepo(tmp_path_factory.mktemp("types"))
    write(repo, "all", **{name: case.source for name, case in CASES.items()})
    view = view_of(repo, "all", {name: case.declared for name, case in CASES.items()})
    return retrieve(repo.apply(thing, view), [f"all:{name}" for name in CASES], 4)


@pytest.fixture(scope="module")
def table(job: Any) -> pa.Table:
    joined: pa.Table = job.to_arrow()
    return joined


@pytest.fixture(scope="module")
def frame(job: Any) -> pd.DataFrame:
    made: pd.DataFrame = job.to_df()
    return made


@pytest.mark.parametrize("name", CASES)
def test_value_has_its_declared_type_and_meaning(table: pa.Table, name: str) -> None:
    assert table[name].type == CASES[name].arrow
    assert table[name].to_pylist() == [*CASES[name].expected, None]


@pytest.mark.parametrize("name", ["map", "map_of_struct", "scalar_map", "struct", "structs"])
def test_frame_has_dicts_whose_integers_stay_integers(frame: pd.DataFrame, name: str) -> None:
    plain = pa.array(CASES[name].expected, CASES[name].arrow)
    expected = plain.to_pylist(maps_as_pydicts="strict")
    assert frame[name].tolist() == [*expected, None]


def test_frame_has_texts_for_ids_and_decimals(frame: pd.DataFrame) -> None:
    assert frame["uuid_text"].tolist()[0] == ID
    assert [PyDecimal(text) for text in frame["decimal"].tolist()[:1]] == [PyDecimal("1.50")]


@pytest.mark.parametrize(
    ("declared", "source", "message"),
    [
        (Array(Array(Int64)), array([[[1, None]]]), "a list holds a null"),
        (Array(Array(Int64)), array([[None, [1]]]), "a list holds a null"),
        (Set(Int64), array([[1, None]]), "a list holds a null"),
        (Array(Map), array([[None, {"a": 1}]]), "a list holds a null"),
        (Struct({"a": Array(Int64)}), array([{"a": [None, 1]}]), "a list holds a null"),
        (
            Map,
            array([[("a", [1, None])]], map_of(TEXT, pa.list_(pa.int64()))),
            "a list holds a null",
        ),
        (Map, array([[("a", 1), ("a", 2)]], map_of(TEXT, pa.int64())), "a map holds a key twice"),
        (Uuid, array(["not one"]), "'not one' is no Uuid"),
        (Array(Uuid), array([[ID, ID[:-1]]]), f"{ID[:-1]!r} is no Uuid"),
        (Decimal, array(["1,5"]), "'1,5' is no Decimal"),
        (Json, array(["{'a': 1}"]), "\"{'a': 1}\" is no Json"),
        (Struct({"a": Json}), array([{"a": "x" * 100}]), f"'{'x' * 80}...' is no Json"),
    ],
)
def test_value_that_is_not_of_its_type_is_refused_by_name(
    tmp_path: Path, declared: Any, source: pa.Array, message: str
) -> None:
    repo = FeastRepo(tmp_path)
    write(repo, "bad", x=source)
    store = repo.apply(thing, view_of(repo, "bad", {"x": declared}))
    with pytest.raises(UnsupportedDtypeError) as caught:
        retrieve(store, ["bad:x"], 1).to_arrow()
    assert caught.value.message == f"bad:x: {message}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("declared", "source"),
    [
        (Uuid, array([b"0123456789abcdef"], pa.binary(16))),
        (Decimal, array([1.5])),
        (Decimal, array([PyDecimal("1.5")], pa.decimal256(60, 2))),
        (Json, array([{"a": 1}])),
        (Map, array(["{}"])),
        (Map, array([[(1, 2)]], map_of(pa.int64(), pa.int64()))),
        (ScalarMap, array([[("a", 2)]], map_of(TEXT, pa.int64()))),
        (Array(Array(Int32)), array([[[1]]])),
        (Array(Array(Int64)), array([[1]])),
        (Set(Int64), array([1])),
        (Struct({"a": Int64}), array([{"b": 1}])),
        (Struct({"a": Int64}), array([{"a": "1"}])),
        (Struct({"a": Int64}), array([{"a": 1, "A": 2}])),
    ],
)
def test_source_that_cannot_be_widened_is_refused_by_name(
    tmp_path: Path, declared: Any, source: pa.Array
) -> None:
    repo = FeastRepo(tmp_path)
    write(repo, "bad", x=source)
    store = repo.apply(thing, view_of(repo, "bad", {"x": declared}))
    with pytest.raises(UnsupportedDtypeError, match=r"^bad:x: source column `x` is ") as caught:
        retrieve(store, ["bad:x"], 1).to_arrow()
    assert caught.value.hint


def test_columns_without_a_value_have_their_declared_types(tmp_path: Path) -> None:
    """pandas writes a column of nothing but None, or of empty lists, with Parquet's null type."""
    declared = {
        "seen": UnixTimestamp,
        "seen_at": Array(UnixTimestamp),
        "zoned": ZonedTimestamp,
        "ids": Array(Uuid),
        "sets": Set(Set(Int64)),
        "at": Array(Array(UnixTimestamp)),
        "profile": PROFILE,
        "amount": Decimal,
        "m": Map,
        "maps": Array(Map),
    }
    repo = FeastRepo(tmp_path)
    write(repo, "nothing", **{name: pa.nulls(2) for name in declared})
    empty = {name: dtype for name, dtype in declared.items() if isinstance(dtype, Array | Set)}
    write(repo, "empty", **{name: array([[], None], pa.list_(pa.null())) for name in empty})
    views = [view_of(repo, "nothing", declared), view_of(repo, "empty", empty)]
    store = repo.apply(thing, *views)
    table = retrieve(store, [f"nothing:{name}" for name in declared], 2).to_arrow()
    assert [table[name].null_count for name in declared] == [2] * len(declared)
    assert table["at"].type == pa.list_(pa.list_(INSTANT))
    assert table["profile"].type == CASES["struct"].arrow
    assert table["m"].type == map_of(TEXT, TEXT)
    table = retrieve(store, [f"empty:{name}" for name in empty], 2).to_arrow()
    assert [table[name].to_pylist() for name in empty] == [[[], None]] * len(empty)
    assert table["ids"].type == pa.list_(TEXT)


@pytest.mark.parametrize(
    ("declared", "ascending"),
    [
        (
            Map,
            array(
                [None, [], [("a", 1)], [("a", 2)], [("a", None)], [("b", 0)]],
                map_of(TEXT, pa.int64()),
            ),
        ),
        (Map, array([None, {"a": 1, "b": 2}, {"a": 1, "b": None}, {"a": None, "b": 1}])),
        (
            Struct({"a": Float64, "b": Int64}),
            array([None, {"a": 1.0, "b": 9}, {"a": float("nan"), "b": 1}, {"a": None, "b": 1}]),
        ),
        (Array(Array(Int64)), array([None, [], [[]], [[1]], [[1], []], [[1, 0]], [[2]]])),
        (Set(String), array([None, [], ["a"], ["b", "a"], ["b"]])),
        (Array(Struct({"a": Int64})), array([None, [], [{"a": 1}], [{"a": None}]])),
        (Uuid, array([None, "00000000-0000-0000-0000-00000000000A", ID, "F" * 8 + ID[8:]])),
    ],
)
def test_ties_resolve_by_content_whatever_the_type(
    tmp_path: Path, declared: Any, ascending: pa.Array
) -> None:
    """The greatest of any number of the values wins, in whatever order the file has them."""
    repo = FeastRepo(tmp_path)
    n_values = len(ascending)
    # Key k holds the first k + 1 values, the greatest of which is value k.
    pairs = [(k, value) for k in range(n_values) for value in range(k + 1)]
    pairs = [*pairs[1::2], *pairs[::2]]
    repo.write_rows(
        "ties",
        pa.table(
            {
                "k": pa.array([k for k, _ in pairs], pa.int64()),
                "event_timestamp": instants([NOON] * len(pairs)),
                "x": ascending.take(pa.array([value for _, value in pairs])),
            }
        ),
    )
    store = repo.apply(thing, view_of(repo, "ties", {"x": declared}))
    joined = retrieve(store, ["ties:x"], n_values).to_arrow()["x"]
    texts = [str(value).lower() for value in joined.to_pylist()]
    wanted = [
        sorted(value) if isinstance(declared, Set) and value else value
        for value in ascending.to_pylist()
    ]
    assert texts == [str(value).lower() for value in wanted]


def test_types_are_read_offline_whatever_the_online_store_is(tmp_path: Path) -> None:
    """A repo may have stock's online store, which takes what it can."""
    repo = FeastRepo(tmp_path)
    write(repo, "stats", x=array([[[1]]]))
    store = repo.apply(thing, view_of(repo, "stats", {"x": Array(Array(Int64))}, online=True))
    assert retrieve(store, ["stats:x"], 1).to_arrow()["x"].to_pylist() == [[[1]]]


def test_registry_with_every_type_compiles_alike_each_time(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    views = [view_of(repo, name, {"x": case.declared}) for name, case in CASES.items()]
    repo.apply(thing, *views)
    first, second_time = compile_store(repo.store()), compile_store(repo.store())
    assert first == second_time
    assert first.fingerprint == second_time.fingerprint
    assert len({view.features[0].dtype for view in first.feature_views}) == len(
        {str(case.declared) for case in CASES.values()}
    )
