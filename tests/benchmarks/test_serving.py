"""The parts of the serving benchmark: what is sent, what is compared, what is reported."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.arguments import parse_arguments
from benchmarks.commands import main
from benchmarks.online.data import build_online_dataset
from benchmarks.serving.answers import describe_difference
from benchmarks.serving.background import WriteRates
from benchmarks.serving.bodies import request_bodies
from benchmarks.serving.cases import CASES, EVENSTORE, STOCK
from benchmarks.serving.http import post_bytes
from benchmarks.serving.open_loop import OpenLoop, run_open_loop
from benchmarks.serving.report import render_serving_report
from benchmarks.serving.results import (
    BusySample,
    ClosedSample,
    ServingCaseResult,
    ServingContenderResult,
    ServingResults,
    StartSample,
)
from benchmarks.serving.wrk import ClosedLoop
from evenstore.errors import ConfigurationError
from tests.support.scale import full_only

_NEVER = "1970-01-01T00:00:00Z"
_EVENT = "2025-01-01T00:00:00.250Z"


def _answer(names: Sequence[str], *cells: tuple[Any, str, str]) -> bytes:
    results = [
        {"values": [value], "statuses": [status], "event_timestamps": [event]}
        for value, status, event in cells
    ]
    return json.dumps({"metadata": {"feature_names": names}, "results": results}).encode()


_KEY = (1, "PRESENT", _NEVER)


@pytest.mark.parametrize(
    ("stock", "ours"),
    [
        ((2.5, "PRESENT", _EVENT), (2.5, "PRESENT", "2025-01-01T00:00:00.250000Z")),
        ((None, "PRESENT", _EVENT), (None, "NULL_VALUE", _EVENT)),
        ((None, "PRESENT", _NEVER), (None, "NOT_FOUND", _NEVER)),
        (("NaN", "PRESENT", _EVENT), (None, "PRESENT", _EVENT)),
    ],
)
def test_documented_differences_are_no_differences(
    stock: tuple[Any, str, str], ours: tuple[Any, str, str]
) -> None:
    names = ["id", "a"]
    assert describe_difference(_answer(names, _KEY, stock), _answer(names, _KEY, ours)) is None


@pytest.mark.parametrize(
    "ours",
    [
        (2.0, "PRESENT", _EVENT),
        (None, "NULL_VALUE", _EVENT),
        (2.5, "OUTSIDE_MAX_AGE", _EVENT),
        (2.5, "PRESENT", "2025-01-01T00:00:00.250001Z"),
    ],
)
def test_anything_else_is_a_difference(ours: tuple[Any, str, str]) -> None:
    stock = _answer(["id", "a"], _KEY, (2.5, "PRESENT", _EVENT))
    wrong = describe_difference(stock, _answer(["id", "a"], _KEY, ours))
    assert wrong is not None
    assert wrong.startswith("`a`, row 0")


def test_columns_may_stand_in_another_order_but_must_be_the_same() -> None:
    a, b = (1, "PRESENT", _EVENT), (2, "PRESENT", _EVENT)
    stock = _answer(["id", "a", "b"], _KEY, a, b)
    assert describe_difference(stock, _answer(["id", "b", "a"], _KEY, b, a)) is None
    assert describe_difference(stock, _answer(["id", "b", "a"], _KEY, a, b)) is not None
    assert describe_difference(stock, _answer(["id", "a"], _KEY, a)) is not None


def test_bodies_ask_for_the_shape_of_their_case(tmp_path: Path) -> None:
    case = CASES["mixed-50x20"]
    dataset = build_online_dataset(tmp_path, case.rows(scale=0.001), seed=3)

    bodies = [json.loads(body) for body in request_bodies(case, dataset, count=40, seed=3)]

    assert len(bodies) == 40
    assert {len(body["entities"]["driver_uuid"]) for body in bodies} == {50}
    assert {len(body["features"]) for body in bodies} == {20}
    known = set(dataset.known_keys())
    asked = [key for body in bodies for key in body["entities"]["driver_uuid"]]
    share = sum(key not in known for key in asked) / len(asked)
    assert 0.02 < share < 0.09, "5 % are unknown"
    most = max(asked.count(key) for key in known)
    assert most > len(asked) / len(known) * 5, "some are hot"


def test_open_loop_counts_from_the_intended_instant() -> None:
    with _slow_server(0.05) as port:
        requests = [post_bytes("/x", "{}", api_key=None)] * 10
        seen = run_open_loop("127.0.0.1", port, requests, rate_per_s=200, n_connections=1)

    assert (seen.n_requests, seen.n_errors) == (10, 0)
    # Due after 45 ms, sent after the nine before it took 50 ms each: no closed loop would see it.
    assert seen.max_us > 400_000
    assert 40_000 < seen.p50_us < seen.max_us


def test_open_loop_counts_errors() -> None:
    with _slow_server(0, status=b"500 No") as port:
        requests = [post_bytes("/x", "{}", api_key=None)] * 5
        seen = run_open_loop("127.0.0.1", port, requests, rate_per_s=1_000, n_connections=2)

    assert seen.n_errors == 5


def test_api_key_is_sent_where_there_is_one() -> None:
    assert b"authorization: Bearer k1\r\n" in post_bytes("/x", "{}", api_key="k1")
    assert b"authorization" not in post_bytes("/x", "{}", api_key=None)


def test_results_survive_json_and_are_judged() -> None:
    results = _results()
    document = json.loads(json.dumps(results.to_document()))

    rendered = render_serving_report(ServingResults.from_document(document))

    assert rendered == render_serving_report(results)
    assert "| 1x10 | packed | at least 15 x stock's requests/s | 20 | yes |" in rendered
    assert "| 1x10 | packed | p50 at most 0.6 ms at 200/s | 0.50 | yes |" in rendered
    assert "| 1x10 | packed | p99 at most 1.5 ms at 200/s | 2.00 | **no** |" in rendered
    assert "| 1x10 | packed | p99 beside writes at most 2 x idle | 3 | **no** |" in rendered
    assert "| start | - | ready in under 3 s | 2.50 | yes |" in rendered


def test_wrong_answers_are_failures() -> None:
    results = _results()
    results.cases["1x10 packed"].contenders[EVENSTORE].fail("wrong", "answer 3: `a`, row 0")

    assert results.failures == ["1x10 packed/evenstore: wrong: answer 3: `a`, row 0"]


def test_unknown_names_are_refused() -> None:
    for words in (["--cases", "2x2"], ["--parts", "all"], ["--contenders", "x"], ["--rates", "a"]):
        with pytest.raises(ConfigurationError):
            parse_arguments(["serving", *words])


def test_missing_wrk_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert main(["serving", "--cases", "1x10"]) == 1
    assert "apt-get install wrk" in capsys.readouterr().err


@full_only
@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.redis
def test_the_command_compares_and_times_both_servers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    words = ["serving", "--cases", "1x10,mixed-50x20", "--scale", "0.001", "--seconds", "1"]
    words += ["--repeats", "1", "--open-seconds", "1", "--cache", str(tmp_path), "--out", str(out)]
    words += ["--parts", "closed,open,start"]

    assert main(words) == 0

    printed = capsys.readouterr()
    results = ServingResults.from_document(json.loads(out.read_text(encoding="utf-8")))
    assert {case.n_compared for case in results.cases.values()} == {50}
    for case in results.cases.values():
        for of in case.contenders.values():
            assert of.closed[0].loop.n_requests > 0
            assert of.closed[0].loop.n_refused == 0
    assert main(["report", str(out)]) == 0
    assert capsys.readouterr().out == printed.out


def _results() -> ServingResults:
    results = ServingResults(1, 7, 1, {"cores": 2}, settings={"seconds": 1}, is_complete=True)
    results.cases["1x10 packed"] = ServingCaseResult(
        CASES["1x10"],
        "packed",
        200_000,
        50,
        {
            STOCK: ServingContenderResult(closed=[_closed(1_000)]),
            EVENSTORE: ServingContenderResult(
                closed=[_closed(20_000)],
                opened=[_opened(2_000)],
                busy=[BusySample(_opened(2_000), _opened(6_000), WriteRates(50_000, 1_000))],
            ),
        },
    )
    results.starts[EVENSTORE] = [StartSample(2.5, 100_000_000, 400_000_000, is_first=True)]
    return results


def _closed(n_requests: int) -> ClosedSample:
    loop = ClosedLoop(n_requests, 1_000_000, 0, 0, 1_000, 500, 900, 1_000)
    return ClosedSample(loop, 900_000, 100_000, 80_000_000)


def _opened(p99_us: float) -> OpenLoop:
    return OpenLoop(200, 1_000, 0, 500, p99_us, 4_000, 5_000, 100)


@contextmanager
def _slow_server(answer_s: float, *, status: bytes = b"200 OK") -> Iterator[int]:
    """Answer every request after a while, one connection at a time or many."""
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"{}")
                await asyncio.sleep(answer_s)
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: 2\r\n\r\n{}" % status)
        except asyncio.IncompleteReadError:
            writer.close()

    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_settle(loop))
        loop.close()


async def _settle(loop: asyncio.AbstractEventLoop) -> None:
    """Let the connections' tasks end."""
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
