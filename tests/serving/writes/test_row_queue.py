from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, OnlineStoreUnavailableError
from evenstore.schema.model import FeatureViewSchema, Field
from serving.writes.row_queue import RowQueue
from serving.writes.rows import PushedRows

_VIEW = FeatureViewSchema("v", (Field("k", Dtype.INT64),), (Field("f", Dtype.INT64),), None)


def rows(*numbers: int) -> PushedRows:
    instants: list[int | None] = [None] * len(numbers)
    return PushedRows(_VIEW, [list(numbers)], [list(numbers)], [0] * len(numbers), instants)


class Sink:
    """Takes what is written, the first batch only when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_open = threading.Event()

    def write(self, batch: PushedRows) -> None:
        self.is_open.wait(10)
        if -1 in batch.keys[0]:
            message = "not a number"
            raise CodecError(message)
        if -2 in batch.keys[0]:
            message = "away"
            raise OnlineStoreUnavailableError(message)
        self.batches.append(batch.keys[0])


async def write_at_once(sink: Sink, *parts: PushedRows) -> list[BaseException | None]:
    """Write parts while the sink is busy with two batches that come first."""
    with ThreadPoolExecutor(2) as threads:
        queue = RowQueue(sink.write, threads)
        first = [asyncio.create_task(queue.write(rows(n))) for n in (101, 102)]
        for _ in range(5):
            await asyncio.sleep(0)
        others = [asyncio.create_task(queue.write(part)) for part in parts]
        for _ in range(5):
            await asyncio.sleep(0)
        sink.is_open.set()
        await asyncio.gather(*first)
        return await asyncio.gather(*others, return_exceptions=True)


def test_rows_that_come_meanwhile_are_written_together() -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, rows(1), rows(2, 3), rows()))
    assert answers == [None] * 3
    assert sorted(n for batch in sink.batches for n in batch) == [1, 2, 3, 101, 102]
    assert len(sink.batches) < 5


def test_only_the_rows_to_blame_are_refused() -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, rows(1), rows(-1), rows(3)))
    assert [type(answer) for answer in answers] == [type(None), CodecError, type(None)]
    assert sorted(n for batch in sink.batches for n in batch) == [1, 3, 101, 102]


def test_redis_that_is_away_fails_all_rows_of_a_batch() -> None:
    answers = asyncio.run(write_at_once(Sink(), rows(1), rows(-2)))
    assert [type(answer) for answer in answers] == [OnlineStoreUnavailableError] * 2


def test_long_queues_are_divided() -> None:
    sink = Sink()
    parts = [rows(*range(6_000)) for _ in range(3)]
    assert asyncio.run(write_at_once(sink, *parts)) == [None] * 3
    assert max(len(batch) for batch in sink.batches) == 6_000


@pytest.mark.parametrize("n_rows", [1, 3])
def test_joined_rows_keep_their_order(n_rows: int) -> None:
    parts = [rows(n) for n in range(n_rows)]
    assert PushedRows.joined(parts).keys == [list(range(n_rows))]
