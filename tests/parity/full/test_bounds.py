"""What a full comparison keeps and measures is bounded, and it does not pass on nothing."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity
from feast.types import Int64
from feast.value_type import ValueType

from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.redis_server import RedisServer
from parity.cli import main
from parity.full.figures import MOST_LISTS, FeatureFigures
from parity.full.instants import InstantTally
from parity.full.rows import Rows
from parity.full.value_column import ValueColumn
from parity.report import Verdict
from tests.parity.full.taxis import Taxis
from tests.support.feast_repo import FeastRepo

_STAMP = pa.timestamp("us", tz="UTC")
_EMPTY = pa.schema(
    [("taxi_id", pa.int64()), ("x", pa.int64()), ("event_timestamp", _STAMP), ("created", _STAMP)]
)


def test_ages_of_many_rows_keep_no_batch_and_their_greatest() -> None:
    n_batches, n_rows = 300, 10_000
    as_of_us = 10**12
    tally = InstantTally(as_of_us=as_of_us, promise_us=None)
    is_there = np.ones(n_rows, np.bool_)
    tracemalloc.start()
    try:
        for batch in range(n_batches):
            event_us = np.full(n_rows, as_of_us - batch, np.int64)
            if batch == n_batches // 2:
                event_us[7] = 0  # Not in the sample.
            tally.sample_ages(Rows(event_us, is_there, [], []))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 200,000 ages of 8 bytes at most; 24 MB went by.
    assert kept_bytes < 2_000_000
    age_us = tally.measured().age_us
    assert age_us is not None
    assert age_us.at(1.0) == as_of_us
    assert age_us.at(0.5) == pytest.approx(n_batches / 2, abs=3)


def test_of_very_many_differing_lists_fewer_are_looked_at() -> None:
    figures = FeatureFigures(Dtype.INT64_LIST)
    for _ in range(3):
        offline, online = (
            ValueColumn.of_offline(Dtype.INT64_LIST, pa.array([[item]] * MOST_LISTS))
            for item in (1, 2)
        )
        figures.add(offline, online, np.ones(MOST_LISTS, np.bool_))
    lists = figures.measured().lists
    assert lists is not None
    assert lists.n_pairs == MOST_LISTS == 1_000


def test_figures_are_measured_once(taxis: Taxis, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[FeatureFigures] = []
    measure = FeatureFigures.measured

    def count(figures: FeatureFigures) -> object:
        measured.append(figures)
        return measure(figures)

    monkeypatch.setattr(FeatureFigures, "measured", count)
    taxis.redis.flushall()
    report = taxis.compare(finds_causes=False, max_differences=1)
    assert report.verdict is Verdict.VIOLATED
    assert len(measured) == len(report.features)


def test_sample_without_an_entity_is_no_pass(taxis: Taxis) -> None:
    with pytest.raises(ParityError, match="has no entity; the offline") as refused:
        taxis.compare(sample_share=1e-9, min_coverage=0.0)
    assert "--sample-share" in str(refused.value.hint)


def test_view_without_an_entity_is_no_pass(
    redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = FeastRepo(tmp_path / "repo", redis_url=redis_server.url)
    taxi = Entity(name="taxi", join_keys=["taxi_id"], value_type=ValueType.INT64)
    nobody = repo.view("nobody", [taxi], {"taxi_id": Int64, "x": Int64})
    repo.write_rows("nobody", _EMPTY.empty_table())
    repo.apply(taxi, nobody)
    words = ["full", "--repo", str(repo.path), "--view", "nobody", "--min-coverage", "0"]
    assert main(words) == 1
    assert "neither store has an entity" in capsys.readouterr().err
    row = {"taxi_id": None, "x": 1, "event_timestamp": datetime(2025, 3, 1, tzinfo=UTC)}
    repo.write_rows("nobody", pa.Table.from_pylist([row], schema=_EMPTY))
    assert main(words) == 1
    assert "1 source rows name no entity" in capsys.readouterr().err
