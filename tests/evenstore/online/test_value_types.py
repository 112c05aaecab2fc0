"""Every Feast value type between our store and stock Feast's, on one Redis."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import Array, Int64, Json, Struct, Uuid

from evenstore.errors import MaterializationError
from tests.evenstore.offline.value_cases import CASES, ID, NOON, Case, thing, view_of, write
from tests.evenstore.online.stock import StockStore, int64_key, stock_connection
from tests.support.feast_repo import OUR_ONLINE_STORE, FeastRepo

pytestmark = pytest.mark.redis

_NAMES = [f"all:{name}" for name in CASES]


def _repos(folder: Path, redis_url: str) -> tuple[FeastRepo, FeastRepo]:
    """Return one repo with our plug-ins and one with stock's, of one project, on one Redis."""
    ours = {"type": OUR_ONLINE_STORE, "connection_string": redis_url, "layout": "feast"}
    stock = {"type": "redis", "connection_string": stock_connection(redis_url)}
    return (
        FeastRepo(folder / "ours", redis_url=redis_url, overrides={"online_store": ours}),
        FeastRepo(
            folder / "stock",
            overrides={"online_store": stock, "batch_engine": {"type": "local"}},
        ),
    )


def _apply(repo: FeastRepo) -> FeatureStore:
    write(repo, "all", **{name: case.source for name, case in CASES.items()})
    declared = {name: case.declared for name, case in CASES.items()}
    return repo.apply(thing, view_of(repo, "all", declared, online=True))


def _read(store: FeatureStore, n_rows: int) -> dict[str, list[Any]]:
    keys = [{"k": k} for k in range(n_rows)]
    answer: dict[str, list[Any]] = store.get_online_features(_NAMES, keys).to_dict()
    return answer


def _stock_value(case: Case) -> Value:
    """Make stock's message of a case's first value, as a program would push it."""
    values = pa.array(case.expected[:1], case.arrow).to_pylist(maps_as_pydicts="strict")
    (message,) = python_values_to_proto_values(values, case.declared.to_value_type())
    return message


def test_stock_reads_what_a_run_of_ours_wrote(tmp_path: Path, redis_url: str) -> None:
    ours, stock = (_apply(repo) for repo in _repos(tmp_path, redis_url))
    ours.materialize(NOON - timedelta(days=1), NOON + timedelta(days=1))

    answer = _read(stock, 3)

    assert answer == _read(ours, 3)
    assert all(answer[name][0] is not None for name in CASES)
    assert [answer[name][1] for name in CASES] == [None] * len(CASES)


def test_we_read_what_stock_wrote(tmp_path: Path, redis_url: str) -> None:
    ours, stock = (_apply(repo) for repo in _repos(tmp_path, redis_url))
    view = stock.get_feature_view("all")
    # A run of stock refuses maps, and a push of stock those whose keys are no texts.
    rows = [
        {name: _stock_value(case) for name, case in CASES.items()},
        {name: Value() for name in CASES},
    ]
    keyed = [(int64_key("k", k), row, NOON, None) for k, row in enumerate(rows)]
    StockStore(redis_url, stock.project).write(view, keyed)

    answer = _read(ours, 2)

    assert answer == _read(stock, 2)
    assert all(answer[name][0] is not None for name in CASES)
    assert [answer[name][1] for name in CASES] == [None] * len(CASES)


@pytest.mark.parametrize(
    ("declared", "source", "message"),
    [
        (Uuid, pa.array([ID, "not one"]), "'not one' cannot be stored as Uuid"),
        (Json, pa.array(["{}", "{"]), "'{' cannot be stored as Json"),
        (Array(Array(Int64)), pa.array([[], [[1, None]]]), "[[1, None]] cannot be stored as Array"),
        (Struct({"a": Array(Int64)}), pa.array([None, {"a": [None, 1]}]), "cannot be stored as"),
    ],
    ids=str,
)
def test_value_that_is_not_of_its_type_ends_a_run_by_name(
    tmp_path: Path, redis_url: str, declared: Any, source: pa.Array, message: str
) -> None:
    repo = FeastRepo(tmp_path, redis_url=redis_url)
    write(repo, "bad", x=source)
    store = repo.apply(thing, view_of(repo, "bad", {"x": declared}, online=True))

    with pytest.raises(MaterializationError) as caught:
        store.materialize(NOON - timedelta(days=1), NOON + timedelta(days=1))

    assert "bad:x: " in caught.value.message
    assert message in caught.value.message
    assert "k=1" in caught.value.message
