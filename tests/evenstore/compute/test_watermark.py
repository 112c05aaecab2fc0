from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from evenstore.compute.watermark import (
    Watermark,
    delete_all_watermarks,
    mark_store,
    read_watermark,
    write_watermark,
)
from evenstore.errors import CorruptRowError, OnlineStoreError, OnlineStoreUnavailableError
from evenstore.online.connection import open_redis
from evenstore.online.loads import forget_loads

_WATERMARK = Watermark(-5, {"/data/é.parquet": (10, 2**60)}, "abc", 1_767_268_800_000_000)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _write(client: Redis, view: str = "stats", project: str = "p") -> None:
    mark = mark_store(client, project, view)
    write_watermark(client, project, view, _WATERMARK, mark=mark)


def test_watermark_is_read_as_it_was_written(client: Redis) -> None:
    assert read_watermark(client, "p", "stats") is None
    _write(client)

    assert read_watermark(client, "p", "stats") == _WATERMARK
    assert read_watermark(client, "p", "other") is None
    assert read_watermark(client, "my_p", "stats") is None


def test_mark_stays_until_the_store_is_emptied(client: Redis) -> None:
    mark = mark_store(client, "p", "stats")

    assert mark_store(client, "p", "stats") == mark
    client.flushall()
    assert mark_store(client, "p", "stats") != mark


@pytest.mark.parametrize("is_marked_again", [False, True])
def test_store_emptied_during_a_run_gets_no_watermark(client: Redis, is_marked_again: bool) -> None:
    mark = mark_store(client, "p", "stats")
    client.flushall()
    if is_marked_again:  # Another run has begun meanwhile.
        mark_store(client, "p", "stats")

    with pytest.raises(OnlineStoreError, match="were removed") as error:
        write_watermark(client, "p", "stats", _WATERMARK, mark=mark)

    assert error.value.hint is not None
    assert read_watermark(client, "p", "stats") is None


def test_watermark_of_another_version_counts_as_none(client: Redis) -> None:
    client.hset("evenstore:watermarks:p", "stats", json.dumps({"version": 2}))

    assert read_watermark(client, "p", "stats") is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"version": 1}', '{"version": 1, "files": [], "event_end_us": null}'],
)
def test_text_that_is_no_watermark_is_an_error_with_a_next_step(client: Redis, text: str) -> None:
    client.hset("evenstore:watermarks:p", "stats", text)

    with pytest.raises(CorruptRowError, match="stats") as error:
        read_watermark(client, "p", "stats")

    assert error.value.hint is not None
    assert "HDEL evenstore:watermarks:p stats" in error.value.hint


def test_watermarks_are_forgotten_by_view_or_all_at_once(client: Redis) -> None:
    for view in ("stats", "other"):
        _write(client, view)

    forget_loads(client, "p", [])
    forget_loads(client, "p", ["stats", "never"])
    assert read_watermark(client, "p", "stats") is None
    assert read_watermark(client, "p", "other") == _WATERMARK

    delete_all_watermarks(client, "p")
    assert client.dbsize() == 0


def test_unreachable_redis_is_unavailable() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nowhere,
        pytest.raises(OnlineStoreUnavailableError),
    ):
        mark_store(nowhere, "p", "stats")


def test_rows_of_a_view_removed_meanwhile_let_no_watermark_say_that_they_are_there(
    client: Redis,
) -> None:
    mark = mark_store(client, "p", "stats")
    other = mark_store(client, "p", "other")
    forget_loads(client, "p", ["stats"])

    with pytest.raises(OnlineStoreError, match="were removed"):
        write_watermark(client, "p", "stats", _WATERMARK, mark=mark)
    write_watermark(client, "p", "other", _WATERMARK, mark=other)

    assert read_watermark(client, "p", "stats") is None
    assert read_watermark(client, "p", "other") == _WATERMARK
