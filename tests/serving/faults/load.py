"""Clients that keep asking a worker, and judge every answer."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from tests.serving.faults.answers import feast_body, feast_cells, native_body, native_cells
from tests.serving.faults.versioned_rows import KEYS, Versions, check_rows

__all__ = ["Load"]

_LONGEST_S = 60.0
"""Far above the worker's deadline for Redis of half a second: what takes longer hangs."""

_ROUTES = (
    (b"/get-online-features", feast_body, feast_cells),
    (b"/v1/feature-vectors", native_body, native_cells),
)
_CODES = {
    503: {"online-store-unavailable", "online-store", "overloaded"},
    504: {"online-store-timeout"},
}


class Load:
    """Some clients with a connection each, in a closed loop with a short pause.

    Every second one asks in Feast's form, the others in the native one.

    Attributes:
        outcomes: How many answers of each status and code.
        last_right_s: When each client last got values, monotonic.
    """

    def __init__(self, url: str, versions: Versions, *, n_clients: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._versions = versions
        self._is_stopping = False
        self.outcomes: Counter[str] = Counter()
        self.last_right_s = [0.0] * n_clients
        self._tasks = [asyncio.create_task(self._ask(i)) for i in range(n_clients)]

    async def stop(self) -> None:
        """End after the answers under way; fails the test if an answer was wrong."""
        self._is_stopping = True
        await asyncio.gather(*self._tasks)

    def check(self) -> None:
        """Fail now if a client has met what it must not."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def right_since(self, since_s: float) -> float:
        """Wait until every client has values again; returns how long after `since_s`, seconds."""
        while min(self.last_right_s) <= since_s:
            self.check()
            assert time.monotonic() < since_s + _LONGEST_S, f"no recovery: {self.outcomes}"
            await asyncio.sleep(0.01)
        return max(self.last_right_s) - since_s

    async def tells(self, outcome: str) -> None:
        """Wait until a client is given an outcome that no client was given before this call."""
        before, limit_s = self.outcomes[outcome], time.monotonic() + _LONGEST_S
        while self.outcomes[outcome] == before:
            self.check()
            assert time.monotonic() < limit_s, f"nobody was told {outcome}: {self.outcomes}"
            await asyncio.sleep(0.01)

    async def _ask(self, client: int) -> None:
        rng = random.Random(client)
        path, body_of, cells_of = _ROUTES[client % len(_ROUTES)]
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while not self._is_stopping:
                keys = rng.sample(KEYS, k=rng.choice((1, 1, 5, len(KEYS))))
                floors = self._versions.floors(keys)
                async with asyncio.timeout(_LONGEST_S):
                    status, headers, body = await _post(reader, writer, path, body_of(keys))
                answer = json.loads(body)
                if status == 200:
                    check_rows(cells_of(answer, keys), keys, self._versions, floors)
                    self.last_right_s[client] = time.monotonic()
                    self.outcomes["200"] += 1
                else:
                    self.outcomes[_documented(status, headers, answer)] += 1
                await asyncio.sleep(0.004)
        finally:
            writer.close()


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes, document: object
) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps(document).encode()
    writer.write(
        b"POST %b HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (path, len(body), body)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return (
        int(head[0].split()[1]),
        headers,
        await reader.readexactly(int(headers["content-length"])),
    )


def _documented(status: int, headers: dict[str, str], answer: dict[str, Any]) -> str:
    """Fail unless an error is of a kind that callers were told of; returns its name."""
    what = f"{status} {headers} {answer}"
    assert set(answer) == {"error"}, what
    error = answer["error"]
    assert set(error) == {"code", "message", "hint", "details"}, what
    assert error["code"] in _CODES.get(status, ()), what
    assert error["hint"], what
    if status == 503:
        assert int(headers["retry-after"]) > 0, what
    return f"{status} {error['code']}"
