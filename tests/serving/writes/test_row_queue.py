from __future__ import annotations

import asyncio
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, OnlineStoreError, OnlineStoreUnavailableError
from evenstore.schema.model import FeatureViewSchema, Field
from serving.errors import OverloadedError
from serving.writes.row_queue import RowQueue
from serving.writes.rows import PushedRows

_VIEW = FeatureViewSchema("v", (Field("k", Dtype.INT64),), (Field("f", Dtype.INT64),), None)


_OTHER = dataclasses.replace(_VIEW, name="w")


def rows(*numbers: int, view: FeatureViewSchema = _VIEW) -> PushedRows:
    instants: list[int | None] = [None] * len(numbers)
    return PushedRows(view, [list(numbers)], [list(numbers)], [0] * len(numbers), instants)


def other(*numbers: int) -> PushedRows:
    return rows(*numbers, view=_OTHER)


class Sink:
    """Takes what is written, the first batch only when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.is_open = threading.Event()

    def write(self, batch: PushedRows) -> None:
        self.is_open.wait(10)
        for number, problem in _PROBLEMS.items():
            if number in batch.keys[0]:
                raise problem
        self.batches.append(batch.keys[0])


_PROBLEMS: dict[int, Exception] = {
    -1: CodecError("not a number"),
    -2: OnlineStoreUnavailableError("away"),
    -3: OnlineStoreError("a stored row cannot be read"),
    -4: RuntimeError("nobody knows"),
}


async def write_at_once(sink: Sink, *requests: list[PushedRows]) -> list[BaseException | None]:
    """Write requests while the sink is busy with one that comes first."""
    with ThreadPoolExecutor(2) as threads:
        queue = RowQueue(sink.write, threads)
        first = asyncio.create_task(queue.write([rows(101)]))
        await asyncio.sleep(0)
        others = [asyncio.create_task(queue.write(request)) for request in requests]
        await asyncio.sleep(0)
        sink.is_open.set()
        await first
        return await asyncio.gather(*others, return_exceptions=True)


def kinds(answers: list[BaseException | None]) -> list[type]:
    return [type(answer) for answer in answers]


_FINE = type(None)


def test_rows_that_come_meanwhile_are_written_together() -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, [rows(1)], [rows(2, 3), other(9)], [rows()]))
    assert answers == [None] * 3
    assert sink.batches == [[101], [1, 2, 3], [9]]


@pytest.mark.parametrize("bad", [-1, -3, -4])
def test_only_the_rows_to_blame_are_refused(bad: int) -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, [rows(1)], [rows(bad)], [rows(3), other(4)]))
    assert kinds(answers) == [_FINE, type(_PROBLEMS[bad]), _FINE]
    assert sink.batches == [[101], [1], [3], [4]]


def test_a_request_is_told_of_the_view_that_refuses_it() -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, [rows(1), other(-1)], [rows(2), other(3)]))
    assert kinds(answers) == [CodecError, _FINE]
    assert sink.batches == [[101], [1, 2], [3]]


def test_redis_that_is_away_fails_all_that_is_written_with_it() -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, [rows(1)], [rows(-2)], [other(3)]))
    assert kinds(answers) == [OnlineStoreUnavailableError] * 3
    assert sink.batches == [[101]], "no view waits for it again"


def test_redis_that_goes_away_between_rows_fails_the_rest() -> None:
    sink = Sink()
    answers = asyncio.run(write_at_once(sink, [rows(-1)], [rows(-2)], [rows(3)]))
    assert kinds(answers) == [CodecError, OnlineStoreUnavailableError, OnlineStoreUnavailableError]


def test_long_queues_are_divided() -> None:
    sink = Sink()
    requests = [[rows(*range(6_000))] for _ in range(3)]
    assert asyncio.run(write_at_once(sink, *requests)) == [None] * 3
    assert max(len(batch) for batch in sink.batches) == 6_000


def test_what_was_given_up_is_not_written() -> None:
    sink = Sink()

    async def go() -> None:
        with ThreadPoolExecutor(2) as threads:
            queue = RowQueue(sink.write, threads)
            first = asyncio.create_task(queue.write([rows(101)]))
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await queue.write([rows(1)])
            last = asyncio.create_task(queue.write([rows(2)]))
            await asyncio.sleep(0)
            sink.is_open.set()
            await asyncio.gather(first, last)

    asyncio.run(go())
    assert sink.batches == [[101], [2]]


def test_without_a_thread_nobody_waits_and_later_rows_are_written() -> None:
    sink = Sink()

    async def go() -> list[BaseException | None]:
        ending, threads = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        queue = RowQueue(sink.write, ending)
        # Two are under way; of those that wait, not more than one is taken at once.
        parts = [rows(101), *[rows(*range(n, n + 6_000)) for n in (200, 7_000, 14_000)]]
        tasks = [asyncio.create_task(queue.write([part])) for part in parts]
        await asyncio.sleep(0)
        ending.shutdown(wait=False)
        sink.is_open.set()
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            queue._threads = threads
            await queue.write([rows(2)])
        threads.shutdown()
        return answers

    answers = asyncio.run(go())
    assert kinds(answers) == [_FINE, _FINE, OverloadedError, OverloadedError]
    assert [batch[0] for batch in sink.batches] == [101, 200, 2]


def test_what_was_called_off_before_it_began_is_refused() -> None:
    sink = Sink()

    async def go() -> list[BaseException | None]:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(sink.is_open.wait, 10)
            queue = RowQueue(sink.write, threads)
            task = asyncio.create_task(queue.write([rows(1)]))
            await asyncio.sleep(0)
            threads.shutdown(wait=False, cancel_futures=True)
            try:
                async with asyncio.timeout(10):
                    return await asyncio.gather(*[task], return_exceptions=True)
            finally:
                sink.is_open.set()

    assert kinds(asyncio.run(go())) == [OverloadedError]
    assert sink.batches == []


def test_many_rows_are_written_beside_each_other() -> None:
    """With few, a second thread would only take turns with the first."""
    sink = Sink()

    async def go(n_rows: int) -> int:
        with ThreadPoolExecutor(2) as threads:
            queue = RowQueue(sink.write, threads)
            tasks = [asyncio.create_task(queue.write([rows(*range(n_rows))])) for _ in range(2)]
            await asyncio.sleep(0)
            n_under_way = queue._n_under_way
            sink.is_open.set()
            await asyncio.gather(*tasks)
            return n_under_way

    assert asyncio.run(go(1)) == 1
    assert asyncio.run(go(5_000)) == 2


@pytest.mark.parametrize("n_rows", [1, 3])
def test_joined_rows_keep_their_order(n_rows: int) -> None:
    parts = [rows(n) for n in range(n_rows)]
    assert PushedRows.joined(parts).keys == [list(range(n_rows))]
