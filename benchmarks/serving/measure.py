"""One measurement of a running server: its answers beside another's, a closed and an open loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.online.server import MeasuredServer
from benchmarks.serving.answers import describe_difference
from benchmarks.serving.background import WriteRates, writing
from benchmarks.serving.http import Connection, HttpAnswer, post_bytes
from benchmarks.serving.open_loop import OpenLoop, run_open_loop
from benchmarks.serving.results import BusySample, ClosedSample
from benchmarks.serving.servers import HOST, Server
from benchmarks.serving.wrk import run_closed_loop, write_script

__all__ = [
    "Requests",
    "check_answers",
    "compare_answers",
    "measure_busy",
    "measure_closed",
    "measure_open",
]

_PATH = "/get-online-features"
_HTTP_OK = 200
_WRITTEN = WriteRates(materialized_per_s=50_000, pushed_per_s=1_000)
_BUSY_S = 12
_SETTLE_S = 1


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of a case.

    Attributes:
        bodies: Their bodies.
        path: A file with one in each line.
        script: What wrk sends them by.
    """

    bodies: Sequence[str]
    path: Path
    script: Path

    @classmethod
    def write(cls, bodies: Sequence[str], folder: Path) -> Requests:
        """Write what wrk reads."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "bodies.jsonl"
        path.write_text("\n".join(bodies) + "\n", encoding="utf-8")
        return cls(bodies, path, write_script(folder))

    def of(self, server: Server, count: int) -> list[bytes]:
        """Return whole HTTP requests, from the beginning as often as needed."""
        prepared = [post_bytes(_PATH, body, api_key=server.api_key) for body in self.bodies[:count]]
        return [prepared[number % len(prepared)] for number in range(count)]


def compare_answers(
    stock: Server, ours: Server, requests: Requests, *, count: int
) -> tuple[int, str | None]:
    """Ask both the same and compare; returns how many were alike, and the first difference."""
    stock_answers = asyncio.run(_ask(stock, requests, count))
    our_answers = asyncio.run(_ask(ours, requests, count))
    for number, (one, other) in enumerate(zip(stock_answers, our_answers, strict=True)):
        wrong = _describe_refusal(one) or _describe_refusal(other)
        wrong = wrong or describe_difference(one.body, other.body)
        if wrong is not None:
            return number, f"answer {number}: {wrong}"
    return len(our_answers), None


def check_answers(server: Server, requests: Requests, *, count: int) -> str | None:
    """Say what is wrong with the answers of a server that has nobody beside it."""
    answers = asyncio.run(_ask(server, requests, count))
    return next(filter(None, map(_describe_refusal, answers)), None)


def measure_closed(
    server: Server,
    requests: Requests,
    store: MeasuredServer,
    *,
    n_connections: int,
    seconds: float,
) -> ClosedSample:
    """Measure as many requests as the server answers."""
    used, store_used = server.use(), store.use()
    loop = run_closed_loop(
        server.url,
        requests.script,
        requests.path,
        n_connections=n_connections,
        seconds=seconds,
        api_key=server.api_key,
    )
    now, store_now = server.use(), store.use()
    return ClosedSample(
        loop=loop,
        server_cpu_us=(now.cpu_s - used.cpu_s) * 1e6,
        redis_cpu_us=(store_now.cpu_s - store_used.cpu_s) * 1e6,
        worker_rss_bytes=now.worker_rss_bytes,
    )


def measure_open(
    server: Server, requests: Requests, *, rate_per_s: float, seconds: float, n_connections: int
) -> OpenLoop:
    """Measure latency at a fixed rate."""
    count = max(1, round(rate_per_s * seconds))
    return run_open_loop(
        HOST,
        server.port,
        requests.of(server, count),
        rate_per_s=rate_per_s,
        n_connections=n_connections,
    )


def measure_busy(
    server: Server,
    requests: Requests,
    folder: Path,
    repo: Path,
    *,
    rate_per_s: float,
    n_connections: int,
) -> BusySample:
    """Measure latency at a fixed rate, then again while rows are written.

    Args:
        server: Who is asked, and pushed to.
        requests: What is asked.
        folder: Of the data set.
        repo: Of the contender.
        rate_per_s: Of the lookups.
        n_connections: Of the lookups.
    """

    def measure() -> OpenLoop:
        return measure_open(
            server,
            requests,
            rate_per_s=rate_per_s,
            seconds=_BUSY_S,
            n_connections=n_connections,
        )

    idle = measure()
    with writing(folder, repo, server.url, server.api_key, _WRITTEN) as reached:
        time.sleep(_SETTLE_S)
        busy = measure()
    return BusySample(idle, busy, reached[0])


async def _ask(server: Server, requests: Requests, count: int) -> list[HttpAnswer]:
    connection = await Connection.open(HOST, server.port)
    try:
        prepared = requests.of(server, min(count, len(requests.bodies)))
        return [await connection.send(request) for request in prepared]
    finally:
        await connection.close()


def _describe_refusal(answer: HttpAnswer) -> str | None:
    if answer.status == _HTTP_OK:
        return None
    return f"status {answer.status}: {answer.body[:300].decode(errors='replace')}"
