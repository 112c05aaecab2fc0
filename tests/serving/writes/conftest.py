from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from evenstore.schema.model import Layout
from tests.serving.writes.live_repo import write_live_repo
from tests.support.feast_repo import FeastRepo


@pytest.fixture
def repo(tmp_path: Path, redis_url: str) -> FeastRepo:
    return write_live_repo(tmp_path / "repo", redis_url)


@pytest.fixture(params=list(Layout), ids=lambda layout: layout.value)
def any_repo(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> FeastRepo:
    return write_live_repo(tmp_path / "repo", redis_url, layout=request.param)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened
