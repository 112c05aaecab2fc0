"""Writes, each a little wrong, through the whole gateway: no server error, one shape of errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.serving.fuzz.judge import judge
from tests.serving.fuzz.mutations import HOSTILE_TEXTS, Spoiler, render
from tests.serving.fuzz.raw_http import Connection
from tests.serving.processes import Running
from tests.support.scale import scaled

pytestmark = [
    pytest.mark.redis,
    pytest.mark.e2e,
    pytest.mark.slow,
]

N_REQUESTS = scaled(150, 2_500)
EVENT = (datetime.now(tz=UTC) - timedelta(minutes=1)).isoformat()
FRAME = {
    "customer_id": [1, 2],
    "orders_30d": [3, None],
    "spend_30d": [0.5, 1.5],
    "event_timestamp": [EVENT, EVENT],
}
BODIES: dict[str, dict[str, Any]] = {
    "/push": {"push_source_name": "activity_push", "df": FRAME, "to": "online"},
    "/write-to-online-store": {"feature_view_name": "customer_activity", "df": FRAME},
}


@pytest.fixture
def connection(gateway: Running) -> Iterator[Connection]:
    """A connection to the gateway, which still writes afterwards."""
    opened = Connection(gateway.url)
    yield opened
    for path, body in BODIES.items():
        assert opened.request("POST", path, render(body).encode()).status == 200
    opened.close()


@pytest.mark.parametrize("path", BODIES)
def test_spoilt_writes_are_answered(connection: Connection, path: str) -> None:
    statuses: Counter[int] = Counter()
    for seed in range(N_REQUESTS):
        spoiler = Spoiler(seed)
        body, headers = spoiler.body(BODIES[path]), spoiler.headers()
        answer = connection.request("POST", path, body, headers)
        judge(answer, (path, seed, headers, body))
        statuses[answer.status] += 1
    assert statuses[200]
    assert statuses[422] > N_REQUESTS / 4


@pytest.mark.parametrize("column", FRAME)
@pytest.mark.parametrize("path", BODIES)
def test_value_of_any_kind_is_answered(connection: Connection, path: str, column: str) -> None:
    for text in HOSTILE_TEXTS:
        body = render(BODIES[path])
        column_text = f'"{column}":{render(FRAME[column])}'
        assert column_text in body
        for hostile in (f"[{text},{text}]", text)[: 2 if path == "/push" else 1]:
            spoilt = body.replace(column_text, f'"{column}":{hostile}')
            answer = connection.request("POST", path, spoilt.encode("utf-8", "surrogatepass"))
            judge(answer, (path, column, hostile))


@pytest.mark.parametrize("path", ["/materialize", "/materialize-incremental"])
def test_run_that_cannot_be_is_refused(connection: Connection, path: str) -> None:
    valid = {"start_ts": "2020-01-01", "end_ts": "2020-01-02", "feature_views": ["nope"]}
    unusable = [
        "nope",
        "",
        "2020-13-01",
        "9999-12-31T23:59:59+99:99",
        "\ud800",
        "x" * 5_000,
        None,
        1,
    ]
    bodies: list[Any] = [{}, [], None, {**valid, "start_ts": "2020-01-03"}]
    bodies += [{**valid, "end_ts": text} for text in unusable]
    no_views: list[Any] = ["nope", [1], [None], {}]
    bodies += [{**valid, "feature_views": views} for views in no_views]
    bodies += [valid, {**valid, "version": "v999"}, {**valid, "version": 1}]
    for body in bodies:
        answer = connection.request("POST", path, render(body).encode())
        judge(answer, (path, body))
        assert answer.status in {404, 422}, (body, answer)
