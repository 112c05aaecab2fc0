from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from evenstore.clock import datetime_to_us
from evenstore.schema.document import read_document, write_document
from evenstore.schema.model import FeatureServiceSchema, Projection, RegistrySchema
from serving.settings import READY_LINE
from tests.serving import rows
from tests.serving.processes import run_worker, wait_until
from tests.serving.redis_process import RedisProcess
from tests.serving.stack import Stack

pytestmark = pytest.mark.slow

REQUEST = {"feature_service": "all_types", "entities": {"customer_id": [rows.FRESH]}}
HEAVY = ("feast", "pandas", "pyarrow", "duckdb")


def frozen(instant: str) -> dict[str, str]:
    return {"EVENSTORE_TEST_MODE": "1", "EVENSTORE_FROZEN_TIME": instant}


def with_service(schema: RegistrySchema, name: str) -> RegistrySchema:
    service = FeatureServiceSchema(name, (Projection("numbers", "numbers", ("f_int32",)),))
    return RegistrySchema(
        schema.project,
        schema.feature_views,
        schema.on_demand_views,
        (*schema.feature_services, service),
    )


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis with rows that the test may stop."""
    server = RedisProcess(tmp_path / "redis")
    start(server)
    yield server
    server.kill()


def start(server: RedisProcess) -> None:
    """Start a Redis, with rows."""
    server.start()
    with server.client() as client:
        rows.fill(client)


def test_importing_a_worker_imports_nothing_heavy() -> None:
    code = (
        "import sys, serving.worker, serving.app\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert listed.stdout.strip() == "[]"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists mapped files")
def test_live_worker_has_mapped_nothing_heavy(stack: Stack, tmp_path: Path) -> None:
    checkout = {"customer_id": [rows.FRESH], "amount": [1.0]}
    # Of its own: the shared one may have answered in Arrow.
    with run_worker(tmp_path, stack.schema_path, stack.redis.url) as worker:
        answer = worker.post({"feature_service": "checkout", "entities": checkout})
        maps = Path(f"/proc/{worker.process.pid}/maps").read_text()
    assert answer.status_code == 200
    assert "orjson" in maps, "the list of mapped files is not what this test takes it for"
    assert [name for name in HEAVY if name in maps] == []


def test_worker_started_by_hand_says_what_to_do() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "serving.worker"], input=b"hello\n", capture_output=True, check=False
    )
    assert ended.returncode == 1
    assert READY_LINE not in ended.stdout
    assert b"got no settings" in ended.stderr


def test_new_schema_is_served_without_a_failed_request(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    schema = read_document(stack.schema_path)
    write_document(schema, path)
    with (
        run_worker(tmp_path, path, stack.redis.url) as worker,
        httpx.Client(base_url=worker.url, timeout=60) as client,
    ):

        def answers(service: str) -> bool:
            assert client.post("/get-online-features", json=REQUEST).status_code == 200
            request = {**REQUEST, "feature_service": service}
            return client.post("/get-online-features", json=request).status_code == 200

        for name in ("first", "second", "third"):
            assert not answers(name)
            schema = with_service(schema, name)
            write_document(schema, path)
            wait_until(partial(answers, name), f"{name} is served")
        readiness = client.get("/readyz").json()
        assert readiness["schema_fingerprint"] == schema.fingerprint


def test_broken_schema_keeps_the_old_one_and_the_stop_signal_ends_the_worker(
    stack: Stack, tmp_path: Path
) -> None:
    path = tmp_path / "schema.json"
    write_document(read_document(stack.schema_path), path)
    broken = ["{", "[]", '{"document_version": 1}', '{"document_version": 99}']
    with run_worker(tmp_path, path, stack.redis.url) as worker:

        def has_complained(n_times: int) -> bool:
            return worker.log.count("keeping the old schema") == n_times

        for n, text in enumerate(broken):
            (tmp_path / "broken.json").write_text(text)
            (tmp_path / "broken.json").replace(path)
            wait_until(partial(has_complained, n + 1), f"the worker complains of {text}")
            assert worker.post(REQUEST).status_code == 200
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(timeout=120) in {0, -signal.SIGTERM}


def test_worker_starts_without_redis_and_an_outage_is_clear_and_passes(
    stack: Stack, own_redis: RedisProcess, tmp_path: Path
) -> None:
    own_redis.kill()
    with run_worker(tmp_path, stack.schema_path, own_redis.url) as worker:
        assert worker.get("/healthz").status_code == 200
        assert worker.get("/readyz").status_code == 503
        start(own_redis)
        wait_until(lambda: worker.post(REQUEST).status_code == 200, "Redis is found")
        n_outages = worker.log.count("Redis cannot be reached")
        before = worker.post(REQUEST)
        assert before.status_code == 200
        own_redis.kill()
        for response in (worker.post(REQUEST), worker.get("/readyz"), worker.get("/health")):
            assert response.status_code == 503
            assert response.json()["error"]["code"] == "online-store-unavailable"
            assert int(response.headers["retry-after"]) > 0
            assert str(own_redis.port) not in response.text, "callers need not know where it is"
        assert worker.get("/healthz").status_code == 200
        n_outages = worker.log.count("Redis cannot be reached") - n_outages
        assert n_outages == 1, "one line per outage"
        start(own_redis)
        wait_until(lambda: worker.post(REQUEST).status_code == 200, "Redis is asked again")
        assert worker.post(REQUEST).json() == before.json()
        assert "Redis answers again" in worker.log


def test_silent_redis_is_a_timeout_and_the_worker_ends_with_its_supervisor(
    stack: Stack, own_redis: RedisProcess, tmp_path: Path
) -> None:
    redis_url = own_redis.url
    with run_worker(tmp_path, stack.schema_path, redis_url, redis_timeout_s=0.5) as worker:
        own_redis.send(signal.SIGSTOP)
        response = worker.post(REQUEST)
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "online-store-timeout"
        assert worker.get("/readyz").status_code == 503
        own_redis.send(signal.SIGCONT)
        wait_until(lambda: worker.post(REQUEST).status_code == 200, "Redis is asked again")
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert worker.process.wait(timeout=120) == 0
        assert "the supervisor is gone" in worker.log


def test_frozen_clock_decides_age_and_is_stated(stack: Stack, tmp_path: Path) -> None:
    instant = rows.OLD_EVENT + timedelta(hours=1)
    request = {**REQUEST, "entities": {"customer_id": [rows.EXPIRED]}}
    environ = frozen(instant.isoformat())
    with run_worker(tmp_path, stack.schema_path, stack.redis.url, environ=environ) as worker:
        response = worker.post(request)
        assert response.headers["evenstore-clock"] == "frozen"
        assert response.headers["evenstore-as-of-us"] == str(datetime_to_us(instant))
        assert response.json()["results"][1]["statuses"] == ["PRESENT"]
        assert worker.get("/readyz").json()["clock"] == "frozen"
        later = worker.post(REQUEST).json()["results"][1]
        assert later["statuses"][0] == "INVALID", "the row is later than the frozen clock"
        assert later["values"][0] is None
