from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving.settings import Limits
from tests.serving import processes
from tests.serving.fuzz.judge import memory_bytes
from tests.serving.fuzz.raw_http import Connection
from tests.serving.processes import Running, run_worker
from tests.serving.stack import Stack

_MAX_GROWTH_BYTES = 150 * 1024 * 1024


@pytest.fixture(scope="session")
def target(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker of its own, with the limits of production; it must outlive every request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "LIMITS", Limits())
        folder = tmp_path_factory.mktemp("fuzz")
        with run_worker(folder, stack.schema_path, stack.redis.url) as worker:
            before = memory_bytes(worker.process.pid)
            yield worker
            assert worker.process.poll() is None, worker.log
            assert memory_bytes(worker.process.pid) - before < _MAX_GROWTH_BYTES
            assert "Traceback" not in worker.log, worker.log


@pytest.fixture
def connection(target: Running) -> Iterator[Connection]:
    """A connection to the worker, which answers afterwards as it did before."""
    opened = Connection(target.url)
    yield opened
    opened.close()
    after = Connection(target.url)
    assert after.request("GET", "/readyz").status == 200
    after.close()
