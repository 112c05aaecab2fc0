from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.stack import Stack, open_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A worker with rows to look up."""
    with open_stack(tmp_path_factory.mktemp("client")) as opened:
        yield opened
