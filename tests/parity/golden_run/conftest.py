from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from evenstore.clock import SystemClock, datetime_to_us
from evenstore.redis_server import RedisServer
from parity.golden_run.settings import RunSettings
from parity.golden_set.build import build_golden_set
from parity.golden_set.golden_file import GoldenFile, write_golden_file
from parity.golden_set.settings import BuildSettings
from tests.parity.golden_run.shop import INSTANTS, SERVICE, write_golden_shop


@dataclass(frozen=True, slots=True)
class GoldenShop:
    """An applied shop, and a frozen golden set of it."""

    repo: Path
    golden: GoldenFile
    golden_path: Path
    build: BuildSettings
    redis: Redis

    @property
    def run(self) -> RunSettings:
        return RunSettings(self.repo, self.golden_path)


@pytest.fixture(scope="session")
def golden_shop(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GoldenShop]:
    folder = tmp_path_factory.mktemp("golden")
    with Redis.from_url(redis_server.url) as client:
        write_golden_shop(folder / "repo", redis_server.url)
        build = BuildSettings(
            repo=folder / "repo",
            feature_service=SERVICE,
            out=folder / "till_v1.jsonl",
            n_entity_rows=36,
            as_of_us=tuple(map(datetime_to_us, INSTANTS)),
            is_frozen=True,
        )
        golden = build_golden_set(build, SystemClock())
        write_golden_file(golden, build.out)
        yield GoldenShop(build.repo, golden, build.out, build, client)
