"""Materializations begun by the writer, in processes of their own, beside pushes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from serving.writes.orders import WriteOrders
from serving.writes.wire import WriteAnswer, WriteOrder
from tests.serving.redis_process import RedisProcess
from tests.serving.writes.live_repo import (
    EVENT,
    NOW,
    frame,
    lookup,
    push,
    settings,
    source_rows,
    write_live_repo,
)
from tests.support.feast_repo import FeastRepo
from tests.support.scale import full_only

pytestmark = pytest.mark.redis

_START = (EVENT - timedelta(hours=1)).isoformat()
_INTERVAL = {"start_ts": _START, "end_ts": NOW.isoformat(), "feature_views": ["stats"]}
_LEASE = b"evenstore:run:stats:tiny"


def order(body: dict[str, Any], route: str = "/materialize", **options: bool) -> WriteOrder:
    return WriteOrder(route, orjson.dumps(body), **options)


def increment(**options: bool) -> WriteOrder:
    body = {"end_ts": NOW.isoformat(), "feature_views": ["stats"]}
    return order(body, "/materialize-incremental", **options)


@pytest.mark.slow
def test_views_have_one_run_at_a_time_and_pushes_go_on(
    runner: asyncio.Runner, repo: FeastRepo, redis_url: str
) -> None:
    repo.write_rows("stats", source_rows(7, driver_id=1))
    with redis.Redis.from_url(redis_url) as client:
        # A run waits while another process's run of the view holds its lease.
        client.set(_LEASE, b"the test/1")

        async def begin_and_wait() -> None:
            writer = WriteOrders(settings(repo))
            accepted = await writer.carry_out(increment(is_async=True))
            assert accepted.status == 202
            assert orjson.loads(accepted.body) == {
                "status": "accepted",
                "feature_views": ["stats"],
            }
            refused = await writer.carry_out(increment())
            assert refused.status == 409
            assert orjson.loads(refused.body)["error"]["code"] == "conflict"
            assert (await writer.carry_out(push(frame(9, driver_id=2)))).status == 200
            # Forced, it ends the one that waits, and is itself carried through.
            forced = asyncio.create_task(writer.carry_out(increment(force=True)))
            await asyncio.sleep(0.1)
            client.delete(_LEASE)
            assert await forced == WriteAnswer(200, b"null")
            await writer.end_materializations()
            assert (await writer.carry_out(increment())).status == 503

        runner.run(begin_and_wait())
    assert lookup(repo, "stats:trips") == [7]
    assert lookup(repo, "stats:trips", driver_id=2) == [9]


@full_only
def test_redis_that_is_down_is_unavailable(runner: asyncio.Runner, tmp_path: Path) -> None:
    process = RedisProcess(tmp_path / "redis")
    process.start()
    repo = write_live_repo(tmp_path / "repo", process.url)
    process.kill()
    repo.write_rows("stats", source_rows(7, driver_id=1))
    answer = runner.run(WriteOrders(settings(repo)).carry_out(order(_INTERVAL)))
    assert answer.status == 503
    assert orjson.loads(answer.body)["error"]["code"] == "online-store-unavailable"


@pytest.mark.parametrize(
    ("body", "route", "status"),
    [
        ({**_INTERVAL, "feature_views": ["nope"]}, "/materialize", 404),
        ({**_INTERVAL, "start_ts": "soon"}, "/materialize", 422),
        ({**_INTERVAL, "start_ts": None}, "/materialize", 422),
        ({**_INTERVAL, "start_ts": NOW.isoformat()}, "/materialize", 422),
        ({**_INTERVAL, "end_ts": 17}, "/materialize", 422),
        ({**_INTERVAL, "feature_views": "stats"}, "/materialize", 422),
        ({**_INTERVAL, "feature_views": ["stats", "score"]}, "/materialize", 422),
        ({**_INTERVAL, "version": "v2"}, "/materialize", 422),
        ({}, "/materialize-incremental", 422),
        ({"end_ts": "soon"}, "/materialize-incremental", 422),
        ({"end_ts": NOW.isoformat(), "feature_views": ["nope"]}, "/materialize-incremental", 404),
    ],
)
def test_bad_requests_begin_nothing(
    runner: asyncio.Runner, repo: FeastRepo, body: dict[str, Any], route: str, status: int
) -> None:
    for is_async in (False, True):
        asked = order(body, route, is_async=is_async)
        answer = runner.run(WriteOrders(settings(repo)).carry_out(asked))
        assert answer.status == status
        assert orjson.loads(answer.body)["error"]["hint"]


def test_no_view_is_nothing_to_do(runner: asyncio.Runner, repo: FeastRepo) -> None:
    asked = order({**_INTERVAL, "feature_views": []})
    answer = runner.run(WriteOrders(settings(repo)).carry_out(asked))
    assert answer == WriteAnswer(200, b"null")


@full_only
@pytest.mark.slow
def test_views_with_request_data_are_no_part_of_all(
    runner: asyncio.Runner, repo: FeastRepo
) -> None:
    repo.store().delete_feature_view("typed")
    repo.write_rows("stats", source_rows(7, driver_id=1))
    every = {name: value for name, value in _INTERVAL.items() if name != "feature_views"}
    answer = runner.run(WriteOrders(settings(repo)).carry_out(order(every)))
    assert answer == WriteAnswer(200, b"null")
    assert lookup(repo, "stats:trips") == [7]
    assert lookup(repo, "extra:trips") == [7]
