"""Redis fails in every way, rows and definitions change, and callers keep asking all the while."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evenstore.schema.document import write_document
from evenstore.schema.model import RegistrySchema
from tests.serving.faults.durable_redis import DurableRedis
from tests.serving.faults.load import Load
from tests.serving.faults.versioned_rows import Versions, Writer, apply_service, make_repo
from tests.serving.processes import run_worker, wait_until
from tests.support.scale import scaled

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.slow, pytest.mark.redis]


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[DurableRedis]:
    server = DurableRedis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


async def kill(server: DurableRedis, load: Load) -> float:
    server.kill()
    await load.tells("503 online-store-unavailable")
    await asyncio.sleep(0.3)
    return await asyncio.to_thread(server.start)


async def kill_for_a_moment(server: DurableRedis, _load: Load) -> float:
    server.kill()
    return await asyncio.to_thread(server.start)


async def pause(server: DurableRedis, load: Load) -> float:
    server.pause()
    await load.tells("504 online-store-timeout")
    await asyncio.sleep(0.6)
    return server.resume()


async def pause_for_a_moment(server: DurableRedis, _load: Load) -> float:
    server.pause()
    await asyncio.sleep(0.1)
    return server.resume()


async def cut(server: DurableRedis, _load: Load) -> float:
    for _ in range(10):
        await asyncio.to_thread(server.cut_connections)
        await asyncio.sleep(0.02)
    return asyncio.get_running_loop().time()


FAULTS = (kill, pause, cut, kill_for_a_moment, pause_for_a_moment)


@asynccontextmanager
async def changing_schema(schemas: Sequence[RegistrySchema], path: Path) -> AsyncIterator[None]:
    """Replace the workers' document by the one and the other schema in turn."""

    async def change() -> None:
        for schema in itertools.cycle(schemas):
            await asyncio.sleep(0.2)
            write_document(schema, path)

    task = asyncio.create_task(change())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_no_wrong_value_and_no_other_error_whatever_happens_to_redis(
    durable_redis: DurableRedis, tmp_path: Path
) -> None:
    repo = make_repo(tmp_path / "repo", durable_redis.url)
    versions = Versions()
    schema_path = tmp_path / "schema.json"
    schemas = [apply_service(repo, with_text=with_text) for with_text in (False, True)]
    write_document(schemas[0], schema_path)
    writer = Writer(repo, versions)
    writer.start()
    wait_until(lambda: versions.written["loaded"] > 0 or not writer.is_alive(), "rows are there")

    async def main(url: str) -> None:
        load = Load(url, versions, n_clients=6)
        async with changing_schema(schemas, schema_path):
            await load.right_since(asyncio.get_running_loop().time())
            for _ in range(scaled(1, 12)):
                for fault in FAULTS:
                    await asyncio.sleep(0.3)
                    load.check()
                    before = load.outcomes.copy()
                    returned_s = await fault(durable_redis, load)
                    recovery_s = await load.right_since(returned_s)
                    told = dict(load.outcomes - before)
                    logger.info("%s: right after %.2f s, %s", fault.__name__, recovery_s, told)
        await load.stop()
        assert load.outcomes["200"] > 100

    redis_url = durable_redis.url
    with run_worker(tmp_path, schema_path, redis_url, redis_timeout_s=0.5) as worker:
        asyncio.run(main(worker.url))
        assert "Traceback" not in worker.log
    writer.stop()
    assert writer.broken is None
    assert min(versions.written.values()) > 1
