from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore
from redis import Redis
from redis.exceptions import OutOfMemoryError

from benchmarks.online.answers import describe_wrong_answer
from benchmarks.online.cases import CASES, FEAST_BATCHED, PACKED, OnlineCase
from benchmarks.online.data import OnlineDataset, build_online_dataset
from benchmarks.online.measure import measure_lookups, measure_step
from benchmarks.online.repo import open_repo
from benchmarks.online.server import MeasuredServer, measured_server

# ibis, under stock's store, calls what DuckDB calls deprecated.
pytestmark = [
    pytest.mark.redis,
    pytest.mark.filterwarnings(
        "ignore:fetch_arrow_table.. is deprecated, use to_arrow_table:DeprecationWarning"
    ),
]

_SEED = 3
# So many that what they take in Redis is above what the server itself takes and gives back.
_N_ENTITIES = 1_000
_BYTES = 100_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MeasuredServer]:
    with measured_server(tmp_path / "server", max_bytes=_BYTES) as running:
        yield running


def _dataset(folder: Path, case: OnlineCase, n_entities: int) -> OnlineDataset:
    return build_online_dataset(folder, replace(case, n_entities=n_entities), seed=_SEED)


def _load(dataset: OnlineDataset, contender: str, server: MeasuredServer) -> FeatureStore:
    for step in dataset.case.steps:
        outcome = measure_step(dataset.folder, contender, step, port=server.port, started_ns=0)
        assert outcome.status == "ok", outcome.reason
        assert outcome.load is not None
        assert outcome.load.n_entities == dataset.case.n_entities
        assert outcome.load.peak_rss_bytes >= outcome.load.imports_rss_bytes > 0
        if step == "load":
            assert outcome.load.redis_bytes > dataset.case.n_entities
    return open_repo(dataset.work_folder(contender) / "repo")


@pytest.mark.slow
@pytest.mark.parametrize("contender", [FEAST_BATCHED, PACKED])
def test_a_contender_is_right_after_every_step(
    contender: str, tmp_path: Path, server: MeasuredServer
) -> None:
    everything = replace(CASES["M1"], kind="mixed", n_views=2, rows_per_entity=3)
    _load(_dataset(tmp_path, everything, 200), contender, server)


@pytest.mark.slow
def test_a_wrong_value_status_or_time_is_found(tmp_path: Path, server: MeasuredServer) -> None:
    dataset = _dataset(tmp_path, CASES["OG"], _N_ENTITIES)
    store = _load(dataset, PACKED, server)
    right = dataset.right_rows("load", "view_0")
    n_known = len(dataset.known_keys())
    plants: dict[str, tuple[str, int, Any]] = {
        "is ": ("int_0", 3, 2**53),
        "not nan": ("double_0", 4, math.nan),
        "not None": ("double_0", 5, None),
        "has status NOT_FOUND": ("event_timestamp", n_known, right["event_timestamp"][0].as_py()),
        "1 us off": ("event_timestamp", 2, pa.scalar(-1, pa.duration("us"))),
    }
    for said, (column, row, value) in plants.items():
        pq.write_table(_planted(right, column, row, value), dataset.right_path("load", "view_0"))
        found = describe_wrong_answer(store, dataset, "load", is_stock=False)
        assert found is not None, said
        assert said in found
        assert f"driver_id {dataset.sample_keys()[row]} " in found
    pq.write_table(right, dataset.right_path("load", "view_0"))
    assert describe_wrong_answer(store, dataset, "load", is_stock=False) is None
    # Stock's known faults are not excused where they are not stock's.
    assert describe_wrong_answer(store, dataset, "load", is_stock=True) is not None


@pytest.mark.slow
def test_lookups_are_timed_in_both_shapes(tmp_path: Path, server: MeasuredServer) -> None:
    dataset = _dataset(tmp_path, CASES["OG"], _N_ENTITIES)
    _load(dataset, PACKED, server)
    lookups = measure_lookups(dataset.folder, PACKED, max_calls=20).lookups
    assert lookups is not None
    assert list(lookups) == ["1x10", "100x10"]
    assert {sample.n_calls for sample in lookups.values()} == {20}
    assert all(0 < sample.p50_us <= sample.p99_us for sample in lookups.values())


def test_data_hold_what_wrong_loads_get_wrong(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, CASES["M1"], 2_000)
    rows = {step: dataset.right_rows(step, "view_0") for step in dataset.case.steps}
    loaded = rows["load"].slice(0, len(dataset.known_keys()))
    assert min(loaded["int_0"].to_pylist()) > 2**53
    assert loaded["int_1"].null_count > 0
    assert loaded["double_2"].null_count == 0
    assert any(map(math.isnan, loaded["double_2"].to_pylist()))
    events = [rows[step]["event_timestamp"].to_pylist() for step in dataset.case.steps]
    assert events[0] == events[1]
    for old, new in pairwise(events[1:]):
        n_newer = sum(a != b for a, b in zip(old, new, strict=True))
        assert 0 < n_newer <= dataset.case.n_changed
    assert rows["load"]["driver_id"].null_count == 10


def test_a_server_ends_with_the_block_and_refuses_more_than_it_may_hold(tmp_path: Path) -> None:
    with measured_server(tmp_path, max_bytes=2_000_000) as running:
        with Redis(port=running.port) as client:
            with pytest.raises(OutOfMemoryError):
                _fill(client)
            before = running.use()
            client.flushall()
        assert running.use().data_bytes < before.data_bytes
    assert not Path(f"/proc/{running.pid}").exists()


def _fill(client: Redis) -> None:
    for number in range(100):
        client.set(f"key-{number}", bytes(100_000))


def _planted(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = values[row] + value.as_py() if isinstance(value, pa.Scalar) else value
    idx = table.schema.get_field_index(column)
    return table.set_column(
        idx, table.schema.field(idx), pa.array(values, table.schema.field(idx).type)
    )
