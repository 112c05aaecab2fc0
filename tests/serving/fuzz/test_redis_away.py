"""Without Redis, spoilt requests are still the caller's fault, and valid ones a clear 503."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.serving.fuzz.judge import judge_error
from tests.serving.fuzz.mutations import Spoiler, render
from tests.serving.fuzz.raw_http import Connection
from tests.serving.fuzz.valid import FEAST_PATH, LOOKUPS, NATIVE_PATH, VECTORS
from tests.serving.processes import run_worker
from tests.serving.redis_process import RedisProcess
from tests.serving.stack import Stack

pytestmark = [pytest.mark.redis, pytest.mark.slow]

N_REQUESTS = 60
AWAY = {503, 504}


def test_only_an_answer_that_needs_redis_is_a_server_error(stack: Stack, tmp_path: Path) -> None:
    away = RedisProcess(tmp_path / "redis")  # Only its free port is used.
    statuses: Counter[int] = Counter()
    with run_worker(tmp_path, stack.schema_path, away.url) as worker:
        connection = Connection(worker.url)
        for path, valid in ((FEAST_PATH, LOOKUPS), (NATIVE_PATH, VECTORS)):
            for seed in range(N_REQUESTS):
                spoiler = Spoiler(seed)
                spoilt = spoiler.body(valid[seed % len(valid)])
                answer = connection.request("POST", path, spoilt, spoiler.headers())
                statuses[answer.status] += 1
                if answer.status != 200:  # Rows at fault alone need no Redis.
                    judge_error(answer, (path, seed))
                    assert answer.status < 500 or answer.status in AWAY, (path, seed, answer)
            for body in valid:
                answer = connection.request("POST", path, render(body).encode())
                assert answer.status in AWAY
                assert judge_error(answer)["code"].startswith("online-store")
                assert answer.status == 504 or int(answer.headers["retry-after"]) > 0
        connection.close()
        assert worker.process.poll() is None
    assert statuses[422] > N_REQUESTS / 2
