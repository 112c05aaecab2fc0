from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.processes import Running
from tests.serving.stack import Stack, open_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis with rows, an applied repo and one worker; shared, so leave it as it is."""
    with open_stack(tmp_path_factory.mktemp("serving")) as opened:
        yield opened


@pytest.fixture
def worker(stack: Stack) -> Running:
    """The shared worker."""
    return stack.worker
