"""Writes to an on-demand view whose results are stored."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from tests.serving.writes.live_repo import EVENT, NOW, carry_out_one, write
from tests.support.feast_repo import FeastRepo

pytestmark = pytest.mark.redis

_INPUTS: dict[str, Any] = {"driver_id": [1], "trips": [1], "rating": [0.5], "amount": [4.0]}


def _stored_score(repo: FeastRepo) -> float | None:
    store = repo.store()
    view: Any = store.get_on_demand_feature_view("score")
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=1)])
    online: Any = store._get_provider().online_store
    ((_, values),) = online.online_read(store.config, view, [key], ["score"])
    return None if values is None else float(values["score"].double_val)


@pytest.mark.parametrize("is_transformed", [False, True])
def test_view_is_computed_on_write(
    runner: asyncio.Runner, repo: FeastRepo, *, is_transformed: bool
) -> None:
    df = {"driver_id": [1], "score": [2.0]} if is_transformed else _INPUTS
    order = write("score", df, transform_on_write=not is_transformed)
    assert carry_out_one(runner, repo, order) == (200, {})
    assert _stored_score(repo) == 2.0


@pytest.mark.parametrize("is_transformed", [False, True])
def test_newest_row_of_an_entity_is_kept(
    runner: asyncio.Runner, repo: FeastRepo, *, is_transformed: bool
) -> None:
    events = [EVENT, EVENT + timedelta(seconds=2), EVENT + timedelta(seconds=1)]
    df: dict[str, Any] = {
        "driver_id": [1] * 3,
        "event_timestamp": [event.isoformat() for event in events],
        "rating": [1.0] * 3,
        "amount": [1.0, 2.0, 3.0],
    }
    if is_transformed:
        df["score"] = df.pop("amount")
    order = write("score", df, transform_on_write=not is_transformed)
    assert carry_out_one(runner, repo, order) == (200, {})
    assert _stored_score(repo) == 2.0


def test_numbers_by_name_are_numbers(runner: asyncio.Runner, repo: FeastRepo) -> None:
    df = _INPUTS | {"amount": ["Infinity"], "rating": [1]}
    assert carry_out_one(runner, repo, write("score", df)) == (200, {})
    assert _stored_score(repo) == float("inf")


def test_no_rows_are_nothing_to_do(runner: asyncio.Runner, repo: FeastRepo) -> None:
    df: dict[str, Any] = {name: [] for name in _INPUTS}
    assert carry_out_one(runner, repo, write("score", df)) == (200, {})


@pytest.mark.parametrize("is_transformed", [False, True])
@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"event_timestamp": ["soon"]}, "invalid-request", "df.event_timestamp[0]"),
        ({"event_timestamp": [None]}, "invalid-request", "df.event_timestamp[0]"),
        (
            {"event_timestamp": [(NOW + timedelta(days=365)).isoformat()]},
            "future-row",
            "df.event_timestamp[0]",
        ),
        ({"driver_id": [None]}, "invalid-request", "df.driver_id[0]"),
        ({"driver_id": ["1"]}, "invalid-request", "df.driver_id[0]"),
        ({"amount": ["4"]}, "invalid-request", "df.amount[0]"),
        ({"rating": [True]}, "invalid-request", "df.rating[0]"),
    ],
)
def test_bad_rows_are_refused(
    runner: asyncio.Runner,
    repo: FeastRepo,
    change: dict[str, Any],
    code: str,
    says: str,
    *,
    is_transformed: bool,
) -> None:
    df = _INPUTS | {"score": [2.0]} | change
    order = write("score", df, transform_on_write=not is_transformed)
    status, error = carry_out_one(runner, repo, order)
    assert (status, error["code"]) == (422, code)
    assert says in error["message"]
    assert _stored_score(repo) is None


@pytest.mark.parametrize(
    ("df", "says"),
    [
        ({"driver_id": [1], "score": ["2"]}, "df.score[0]"),
        ({"driver_id": [1], "amount": [4.0]}, "df.score"),
        ({"score": [2.0]}, "df.driver_id"),
    ],
)
def test_results_are_checked_as_declared(
    runner: asyncio.Runner, repo: FeastRepo, df: dict[str, Any], says: str
) -> None:
    status, error = carry_out_one(runner, repo, write("score", df, transform_on_write=False))
    assert (status, error["code"]) == (422, "invalid-request")
    assert says in error["message"]
