"""Many requests, each a little wrong: no server error, no hang, one shape of errors."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.serving.fuzz.judge import judge
from tests.serving.fuzz.mutations import Spoiler, render
from tests.serving.fuzz.raw_http import Connection
from tests.serving.fuzz.valid import FEAST_PATH, LOOKUPS, NATIVE_PATH, VECTORS
from tests.support.scale import scaled

pytestmark = [pytest.mark.redis, pytest.mark.slow]

N_REQUESTS = scaled(500, 7_000)


@pytest.mark.parametrize(
    ("path", "valid"), [(FEAST_PATH, LOOKUPS), (NATIVE_PATH, VECTORS)], ids=["feast", "native"]
)
def test_what_is_spoilt_was_right_before(
    connection: Connection, path: str, valid: list[dict[str, Any]]
) -> None:
    for body in valid:
        answer = connection.request("POST", path, render(body).encode())
        assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    ("path", "valid"), [(FEAST_PATH, LOOKUPS), (NATIVE_PATH, VECTORS)], ids=["feast", "native"]
)
def test_spoilt_lookups_are_answered(
    connection: Connection, path: str, valid: list[dict[str, Any]]
) -> None:
    statuses: Counter[int] = Counter()
    for seed in range(N_REQUESTS):
        spoiler = Spoiler(seed)
        body, headers = spoiler.body(valid[seed % len(valid)]), spoiler.headers()
        answer = connection.request("POST", path, body, headers)
        judge(answer, (path, seed, headers, body))
        statuses[answer.status] += 1
        if answer.status == 200 and answer.headers["content-type"] == "application/json":
            check_lengths(answer.json())
    # The requests are neither all refused at the door nor all harmless.
    assert statuses[200] > N_REQUESTS / 20
    assert statuses[422] > N_REQUESTS / 4
    assert statuses[404]


def check_lengths(answer: dict[str, Any]) -> None:
    """Fail on an answer whose parts do not belong together."""
    if "results" in answer:
        columns = answer["results"]
        assert len(columns) == len(answer["metadata"]["feature_names"])
        sizes = {len(items) for column in columns for items in column.values()}
        assert len(sizes) == 1, json.dumps(answer)[:500]
        return
    n_features = len(answer["feature_names"])
    for vector in answer["feature_vectors"]:
        assert len(vector["values"]) == len(vector["statuses"]) == n_features
