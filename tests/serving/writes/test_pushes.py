"""What the writer does with rows, in this process, against a real Redis and real files."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from feast import Field, PushSource
from feast.labeling.label_view import LabelView
from feast.types import Int64, String

from evenstore.schema.request import resolve_references
from serving.registry_source import RegistrySource
from serving.writes.orders import WriteOrders
from serving.writes.wire import WriteAnswer, WriteOrder
from tests.serving.redis_process import RedisProcess
from tests.serving.writes.live_repo import (
    DRIVER,
    EVENT,
    NOW,
    carry_out,
    carry_out_one,
    frame,
    lookup,
    push,
    settings,
    write,
    write_live_repo,
)
from tests.support.feast_repo import FeastRepo

pytestmark = pytest.mark.redis


def test_pushed_row_is_found_in_every_view_of_its_source(
    runner: asyncio.Runner, any_repo: FeastRepo
) -> None:
    (answer,) = carry_out(runner, any_repo, push(frame(2**53 + 1)))
    assert answer == WriteAnswer(200, b"")
    assert lookup(any_repo, "stats:trips", "stats:rating") == [2**53 + 1, 0.5]
    assert lookup(any_repo, "extra:trips") == [2**53 + 1]


def test_null_beside_a_large_number_keeps_it_exact(runner: asyncio.Runner, repo: FeastRepo) -> None:
    """D6: stock's push makes a float column of it."""
    df = frame(2**53 + 1, None)
    df["driver_id"] = [1, 2]
    carry_out(runner, repo, push(df))
    assert lookup(repo, "stats:trips") == [2**53 + 1]
    assert lookup(repo, "stats:trips", driver_id=2) == [None]


def test_written_row_is_answered_as_feast_answers(
    runner: asyncio.Runner, any_repo: FeastRepo
) -> None:
    df = {
        "driver_id": [1],
        "name": ["Grüße"],
        "photo": ["AP8="],
        "seen": [1767323045],
        "marks": [[0.5, 1]],
        "about": ['{"a": 1}'],
        "note": ['{"b": [2]}'],
        "event_timestamp": [EVENT.isoformat()],
        "created": [None],
    }
    (answer,) = carry_out(runner, any_repo, write("typed", df))
    assert answer == WriteAnswer(200, b"null")
    name, photo, marks, about, note = lookup(
        any_repo, "typed:name", "typed:photo", "typed:marks", "typed:about", "typed:note"
    )
    assert (name, photo, marks) == ("Grüße", b"\x00\xff", [0.5, 1.0])
    assert (about, note) == ({"a": 1}, {"b": [2]})


def test_nan_as_python_writes_it_is_a_number(runner: asyncio.Runner, repo: FeastRepo) -> None:
    order = push(frame(1))
    body = order.body.replace(b"0.5", b"NaN")
    (answer,) = carry_out(runner, repo, WriteOrder("/push", body, patience_s=20.0))
    assert answer.status == 200
    (rating,) = lookup(repo, "stats:rating")
    assert rating != rating  # noqa: PLR0124


@pytest.mark.parametrize("trips", [[1, 5, 3], [5, None, 1]])
def test_of_tied_rows_of_one_push_the_greatest_content_is_kept(
    runner: asyncio.Runner, any_repo: FeastRepo, trips: list[int | None]
) -> None:
    carry_out(runner, any_repo, push(frame(*trips)))
    assert lookup(any_repo, "stats:trips") == [5]


def test_newest_of_concurrent_pushes_is_kept(runner: asyncio.Runner, any_repo: FeastRepo) -> None:
    orders = [push(frame(n, event=EVENT + timedelta(seconds=n))) for n in range(60)]
    random.Random(7).shuffle(orders)
    answers = carry_out(runner, any_repo, *orders)
    assert {answer.status for answer in answers} == {200}
    assert lookup(any_repo, "stats:trips") == [59]


def test_bad_push_does_not_spoil_those_that_come_with_it(
    runner: asyncio.Runner, repo: FeastRepo
) -> None:
    good = [push(frame(n, driver_id=n)) for n in range(1, 20)]
    answers = carry_out(runner, repo, *good, push(frame(2**63)))
    assert [answer.status for answer in answers] == [200] * 19 + [422]
    assert lookup(repo, "stats:trips", driver_id=19) == [19]
    assert lookup(repo, "stats:trips", driver_id=1) == [1]


def test_repeated_and_older_pushes_change_nothing(runner: asyncio.Runner, repo: FeastRepo) -> None:
    for df in (frame(2), frame(1, event=EVENT - timedelta(seconds=1)), frame(2)):
        assert carry_out_one(runner, repo, push(df))[0] == 200
    assert lookup(repo, "stats:trips") == [2]


def _without(name: str) -> dict[str, Any]:
    return {column: values for column, values in frame(1).items() if column != name}


@pytest.mark.parametrize(
    ("df", "says"),
    [
        ({**frame(1), "trips": ["1"]}, "df.trips[0]"),
        ({**frame(1, 2), "trips": [1, 2.5]}, "df.trips[1]"),
        ({**frame(1), "rating": [True]}, "df.rating[0]"),
        (_without("rating"), "df.rating"),
        (_without("driver_id"), "df.driver_id"),
        (_without("event_timestamp"), "df.event_timestamp"),
        ({**frame(1), "driver_id": [None]}, "df.driver_id[0]"),
        ({**frame(1), "event_timestamp": [None]}, "df.event_timestamp[0]"),
        ({**frame(1), "event_timestamp": [1767323045]}, "df.event_timestamp[0]"),
        ({**frame(1), "trips": [1, 2]}, "different lengths"),
        ({}, "no columns"),
    ],
)
def test_bad_frames_are_refused_by_column_and_row(
    runner: asyncio.Runner, repo: FeastRepo, df: dict[str, Any], says: str
) -> None:
    for order in (push(df), write("stats", df)):
        status, error = carry_out_one(runner, repo, order)
        assert (status, error["code"]) == (422, "invalid-request")
        assert says in error["message"]
        assert error["hint"]
    assert lookup(repo, "stats:trips") == [None]


def test_every_bad_column_is_named(runner: asyncio.Runner, repo: FeastRepo) -> None:
    df = {**_without("rating"), "trips": ["1"], "event_timestamp": ["soon"]}
    _, error = carry_out_one(runner, repo, push(df))
    problems = {problem["where"] for problem in error["details"]["problems"]}
    assert problems == {"df.rating", "df.trips[0]", "df.event_timestamp[0]"}


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        (push(frame(1), push_source_name="nope"), 404, "unknown-push-source"),
        (write("nope", frame(1)), 404, "unknown-feature"),
        (push(frame(1), to="nowhere"), 422, "invalid-request"),
        (push(frame(1), allow_registry_cache="no"), 422, "invalid-request"),
        (WriteOrder("/push", b'{"push_source_name": "live", "df": [1]}'), 422, "invalid-request"),
        (push(frame(1, event=NOW + timedelta(days=1))), 422, "future-row"),
        (push(frame(*range(101))), 413, "request-too-large"),
        (WriteOrder("/push", b"{"), 422, "invalid-request"),
        (WriteOrder("/push", b"[" * 100_000), 422, "invalid-request"),
        (WriteOrder("/push", b"\xff\xfe NaN"), 422, "invalid-request"),
        (WriteOrder("/push", b"null"), 422, "invalid-request"),
    ],
)
def test_bad_requests_have_true_statuses(
    runner: asyncio.Runner, repo: FeastRepo, order: WriteOrder, status: int, code: str
) -> None:
    answered, error = carry_out_one(runner, repo, order)
    assert (answered, error["code"]) == (status, code)


def test_registry_is_followed(runner: asyncio.Runner, repo: FeastRepo) -> None:
    async def push_before_and_after() -> list[int]:
        writer = WriteOrders(settings(repo))
        order = push(frame(4), push_source_name="later")
        before = await writer.carry_out(order)
        await asyncio.to_thread(_add_view, repo)
        return [before.status, (await writer.carry_out(order)).status]

    assert runner.run(push_before_and_after()) == [404, 200]
    assert lookup(repo, "added:trips") == [4]


def _add_view(repo: FeastRepo) -> None:
    later = PushSource(name="later", batch_source=repo.source("added"))
    schema = {"driver_id": Int64, "trips": Int64}
    repo.apply(DRIVER, later, repo.view("added", [DRIVER], dict(schema), source=later))


def test_redis_that_is_down_is_unavailable_until_it_is_back(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    process = RedisProcess(tmp_path / "redis")
    process.start()
    try:
        repo = write_live_repo(tmp_path / "repo", process.url)

        async def push_through_a_restart() -> list[int]:
            writer = WriteOrders(settings(repo))
            statuses = [(await writer.carry_out(push(frame(1)))).status]
            process.kill()
            statuses.append((await writer.carry_out(push(frame(2)))).status)
            await asyncio.to_thread(process.start)
            statuses.append((await writer.carry_out(push(frame(3)))).status)
            return statuses

        assert runner.run(push_through_a_restart()) == [200, 503, 200]
        assert lookup(repo, "stats:trips") == [3]
    finally:
        process.kill()


def test_stock_online_store_is_written_too(runner: asyncio.Runner, tmp_path: Path) -> None:
    process = RedisProcess(tmp_path / "redis")
    process.start()
    try:
        stock = {"type": "redis", "connection_string": f"127.0.0.1:{process.port}"}
        repo = write_live_repo(
            tmp_path / "repo", process.url, online_store=stock, batch_engine={"type": "local"}
        )
        assert carry_out_one(runner, repo, push(frame(3))) == (200, {})
        assert carry_out_one(runner, repo, push(frame(1, event=EVENT - timedelta(days=1)))) == (
            200,
            {},
        )
        assert lookup(repo, "stats:trips") == [3]
    finally:
        process.kill()


def test_a_warm_writer_needs_nothing_of_the_repo_any_more(
    runner: asyncio.Runner, repo: FeastRepo
) -> None:
    async def go() -> WriteAnswer:
        writer = WriteOrders(settings(repo))
        await asyncio.to_thread(writer.warm)
        (repo.path / "feature_store.yaml").rename(repo.path / "gone.yaml")
        return await writer.carry_out(push(frame(4)))

    assert runner.run(go()) == WriteAnswer(200, b"")


def test_a_writer_that_cannot_be_warmed_still_answers(
    runner: asyncio.Runner, repo: FeastRepo, caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> WriteAnswer:
        writer = WriteOrders(settings(repo))
        config = repo.path / "feature_store.yaml"
        config.rename(repo.path / "gone.yaml")
        await asyncio.to_thread(writer.warm)
        (repo.path / "gone.yaml").rename(config)
        return await writer.carry_out(push(frame(4)))

    assert runner.run(go()) == WriteAnswer(200, b"")
    assert "nothing can be written yet" in caplog.text
    assert "ConfigurationError" in caplog.text


_LABEL = {
    "driver_id": [1],
    "reward": ["good"],
    "labeler": ["ann"],
    "event_timestamp": [EVENT.isoformat()],
    "created": [NOW.isoformat()],
}


def _label_repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    repo = FeastRepo(tmp_path / "repo", redis_url=redis_url)
    source = PushSource(name="labelled", batch_source=repo.source("labels"))
    columns = (("driver_id", Int64), ("reward", String), ("labeler", String))
    labels = LabelView(
        name="labels",
        entities=[DRIVER],
        schema=[Field(name=name, dtype=dtype) for name, dtype in columns],
        source=source,
    )
    instant = pa.array([EVENT - timedelta(days=1)], pa.timestamp("us", "UTC"))
    row = {"driver_id": [2], "reward": ["bad"], "labeler": ["bob"]}
    repo.write_rows("labels", pa.table({**row, "event_timestamp": instant, "created": instant}))
    repo.apply(DRIVER, source, labels)
    return repo


def test_labels_are_pushed_to_both_stores(
    runner: asyncio.Runner, tmp_path: Path, redis_url: str
) -> None:
    repo = _label_repo(tmp_path, redis_url)
    body = {"push_source_name": "labelled", "df": _LABEL, "to": "online_and_offline"}
    older = {**_LABEL, "reward": ["old"], "event_timestamp": [(EVENT - timedelta(1)).isoformat()]}
    orders = [
        WriteOrder("/push", orjson.dumps(body), patience_s=20.0),
        write("labels", older),
    ]
    for order in orders:
        assert carry_out_one(runner, repo, order) == (200, {})

    assert lookup(repo, "labels:reward", "labels:labeler") == ["good", "ann"]
    source: Any = repo.store().get_label_view("labels").batch_source
    rows = ds.dataset(repo.path / source.path, format="parquet").to_table().to_pydict()
    assert sorted(rows["reward"]) == ["bad", "good"]


def test_labels_are_served_where_they_were_pushed(tmp_path: Path, redis_url: str) -> None:
    schema = RegistrySource(_label_repo(tmp_path, redis_url).path).read()
    assert schema is not None
    request = resolve_references(schema, ("labels:reward",))
    assert [field.name for field in request.entity_columns] == ["driver_id"]


def test_a_wrong_label_is_refused_by_column(
    runner: asyncio.Runner, tmp_path: Path, redis_url: str
) -> None:
    repo = _label_repo(tmp_path, redis_url)
    status, error = carry_out_one(runner, repo, write("labels", {**_LABEL, "reward": [1]}))
    assert (status, "df.reward[0]" in error["message"]) == (422, True)
