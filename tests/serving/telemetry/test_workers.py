"""Real workers behind keys: what `/metrics` of one tells of all, also after one was killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from evenstore.clock import SystemClock
from serving.guard.key_file import create_key
from serving.listener import base_url, bind_socket, start_listening
from serving.settings import READY_LINE, GatewaySettings
from tests.serving import rows
from tests.serving.processes import Running
from tests.serving.stack import Stack

pytestmark = [pytest.mark.redis, pytest.mark.slow]

PATH = "/get-online-features"
P = "evenstore_gateway_"

Numbers = dict[tuple[str, frozenset[str]], float]


@contextmanager
def run_worker(stack: Stack, folder: Path, number: int, keys_path: Path) -> Iterator[Running]:
    """Run one of several workers, each on a port of its own, so that a test can choose."""
    log_path = folder / f"worker-{number}.log"
    gateway = GatewaySettings(
        repo_path=stack.repo,
        home=folder,
        api_keys_path=str(keys_path),
        metrics_need_key=True,
        access_log="full",
    )
    with bind_socket("127.0.0.1", 0) as listener, log_path.open("ab") as log:
        start_listening(listener)
        settings = gateway.for_worker(
            f"worker {number}",
            listen_fd=listener.fileno(),
            schema_path=str(stack.schema_path),
            redis_url=stack.redis.url,
            schema_poll_s=0.25,
            metrics_folder=str(folder),
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=(listener.fileno(),),
        )
        with process:
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(settings.to_json().encode() + b"\n")
                process.stdin.flush()
                assert process.stdout.readline() == READY_LINE, log_path.read_text()
                yield Running(process, base_url(listener), log_path)
            finally:
                process.kill()


def numbers_of(worker: Running, key: str) -> Numbers:
    response = httpx.get(f"{worker.url}/metrics", headers={"x-api-key": key}, timeout=60)
    assert response.status_code == 200, response.text
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def n_answered(numbers: Numbers, status: str = "200") -> float:
    return numbers.get((f"{P}requests_total", frozenset({PATH, status})), 0)


def test_metrics_hold_across_workers_and_their_deaths(stack: Stack, tmp_path: Path) -> None:
    keys_path = tmp_path / "keys" / "keys.json"
    _, reader = create_key(keys_path, "checkout", ["read"], SystemClock())
    _, admin = create_key(keys_path, "prometheus", ["admin"], SystemClock())
    body = {
        "feature_service": "all_types",
        "entities": {"customer_id": [rows.FRESH, rows.NULLS, rows.EXPIRED, rows.UNKNOWN]},
    }

    def ask(worker: Running, *, key: str = reader) -> int:
        return worker.post(body, headers={"authorization": f"Bearer {key}"}).status_code

    with ExitStack() as opened:
        first = opened.enter_context(run_worker(stack, tmp_path, 1, keys_path))
        second = opened.enter_context(run_worker(stack, tmp_path, 2, keys_path))
        assert [ask(first) for _ in range(3)] == [200] * 3
        assert [ask(second) for _ in range(2)] == [200] * 2
        assert ask(second, key=admin) == 403
        assert ask(second, key="evs_" + "a" * 43) == 401
        # Of another a worker knows what was a second ago, or what that one has shown.
        assert n_answered(numbers_of(first, admin)) >= 3
        told = numbers_of(second, admin)
        assert n_answered(told) == 5
        assert told[f"{P}api_key_failures_total", frozenset({"access-denied"})] == 1
        assert told[f"{P}api_key_failures_total", frozenset({"not-authenticated"})] == 1

        second.process.kill()
        second.process.wait()
        assert n_answered(numbers_of(first, admin)) == 5, "what the dead one counted stays"
        third = opened.enter_context(run_worker(stack, tmp_path, 2, keys_path))
        assert ask(third) == 200
        for worker in (third, first):
            told = numbers_of(worker, admin)
            assert n_answered(told) == 6
            assert n_answered(told, "401") == n_answered(told, "403") == 1
            assert told[f"{P}worker_starts_total", frozenset()] == 3
            assert told[f"{P}resident_memory_bytes", frozenset({"worker 2"})] > 0
        for stage in ("parse", "plan", "redis", "decode", "render"):
            assert told[f"{P}stage_duration_seconds_count", frozenset({stage})] == 6
        for status in ("PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"):
            name = f"{P}feature_values_total"
            assert told[name, frozenset({"numbers", status})] % 6 == 0
            assert told[name, frozenset({"numbers", status})] > 0

        listed = subprocess.run(
            ["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True
        ).stdout
        logs = first.log + second.log + third.log
        for text in (listed, logs, keys_path.read_text()):
            assert reader not in text
            assert admin not in text
        assert '"api_key":"checkout"' in logs
