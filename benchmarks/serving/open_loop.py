"""Open loop: requests at fixed instants, whether or not the server has answered those before.

A closed loop waits for a slow answer and so leaves out the requests that would have been slow too
("coordinated omission"). Here a latency is counted from the instant at which the request was meant
to be sent: a request that had to wait for a free connection has waited.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.serving.http import Connection
from evenstore.errors import EvenstoreError

__all__ = ["OpenLoop", "run_open_loop"]

_HTTP_OK = 200
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """What one run at a fixed rate saw.

    Attributes:
        rate_per_s: Requests per second that were meant to be sent.
        n_requests: Sent.
        n_errors: Not answered with 200.
        p50_us: Median of the latencies from the intended instant to the whole answer.
        p99_us: 99 % were faster.
        p999_us: 99.9 % were faster.
        max_us: The slowest.
        late_p99_us: How late the generator itself was in 99 % of the requests or less.
    """

    rate_per_s: float
    n_requests: int
    n_errors: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    late_p99_us: float


def run_open_loop(
    host: str, port: int, requests: Sequence[bytes], *, rate_per_s: float, n_connections: int
) -> OpenLoop:
    """Send every request once, in equal distances.

    Args:
        host: Of the server.
        port: Of the server.
        requests: Whole HTTP requests.
        rate_per_s: How many a second.
        n_connections: Most requests under way.
    """
    # An epoll waits whole milliseconds; a select waits microseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    gc.collect()
    gc.disable()
    try:
        generator = _Generator(requests, rate_per_s)
        loop.run_until_complete(generator.run(host, port, n_connections))
    finally:
        gc.enable()
        loop.close()
    return generator.summary()


class _Generator:
    def __init__(self, requests: Sequence[bytes], rate_per_s: float) -> None:
        self._requests = requests
        self._rate_per_s = rate_per_s
        self._latencies_us: list[float] = []
        self._late_us: list[float] = []
        self._n_errors = 0
        self._turn = 0
        self._starts_s = 0.0

    async def run(self, host: str, port: int, n_connections: int) -> None:
        connections = [await Connection.open(host, port) for _ in range(n_connections)]
        for connection in connections:
            await connection.send(self._requests[0])
        self._starts_s = time.perf_counter() + _SETTLE_S
        try:
            await asyncio.gather(*(self._send_in_turn(one) for one in connections))
        finally:
            for connection in connections:
                await connection.close()

    async def _send_in_turn(self, connection: Connection) -> None:
        """Take the next request whenever the last one is answered, and send it when it is due."""
        while self._turn < len(self._requests):
            number = self._turn
            self._turn += 1
            due_s = self._starts_s + number / self._rate_per_s
            wait_s = due_s - time.perf_counter()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                self._late_us.append((time.perf_counter() - due_s) * 1e6)
            try:
                answer = await connection.send(self._requests[number])
            except (OSError, asyncio.IncompleteReadError):
                self._n_errors += 1
                return
            self._latencies_us.append((time.perf_counter() - due_s) * 1e6)
            self._n_errors += answer.status != _HTTP_OK

    def summary(self) -> OpenLoop:
        ordered = sorted(self._latencies_us)
        if not ordered:
            msg = "no request was answered"
            raise EvenstoreError(msg)
        late = sorted(self._late_us) or [0.0]
        return OpenLoop(
            rate_per_s=self._rate_per_s,
            n_requests=self._turn,
            n_errors=self._n_errors,
            p50_us=_quantile(ordered, 0.5),
            p99_us=_quantile(ordered, 0.99),
            p999_us=_quantile(ordered, 0.999),
            max_us=ordered[-1],
            late_p99_us=_quantile(late, 0.99),
        )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
