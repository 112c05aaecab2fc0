from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.walkthrough import SMALL, run_demo
from tests.support.ports import free_port

STOPPED = "stopped: the gateway and Redis"


@dataclass(frozen=True)
class Shop:
    """A walk-through that is left up: its home, its gateway and what it printed."""

    home: Path
    gateway: str
    printed: str


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("shop")
    served = run_demo("serve", home, "--port", str(free_port()), *SMALL)
    try:
        assert served.returncode == 0, served.stderr
        gateway = re.search(r"http://127\.0\.0\.1:\d+", served.stdout)
        assert gateway
        yield Shop(home, gateway[0], served.stdout)
    finally:
        stopped = run_demo("stop", home)
    assert stopped.stdout.strip() == STOPPED
