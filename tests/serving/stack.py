"""Redis with rows, an applied repo, its compiled schema, and a worker in front."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from feast import FeatureStore

from evenstore.schema.compile import compile_store
from evenstore.schema.document import write_document
from tests.serving import rows
from tests.serving.processes import Running, run_worker
from tests.serving.redis_process import RedisProcess
from tests.serving.tiny_repo import write_repo


@dataclass(frozen=True, slots=True)
class Stack:
    """What lookups need; nobody changes it, so that tests can share it."""

    redis: RedisProcess
    repo: Path
    schema_path: Path
    worker: Running


@contextmanager
def open_stack(folder: Path) -> Iterator[Stack]:
    """Start everything in a folder and end it."""
    redis_process = RedisProcess(folder / "redis")
    redis_process.start()
    try:
        with redis_process.client() as client:
            rows.fill(client)
        repo = write_repo(folder / "repo", redis_process.port)
        schema_path = folder / "schema.json"
        write_document(compile_store(FeatureStore(repo_path=str(repo))), schema_path)
        with run_worker(folder, schema_path, redis_process.url) as worker:
            yield Stack(redis_process, repo, schema_path, worker)
    finally:
        redis_process.kill()
