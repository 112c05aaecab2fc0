from __future__ import annotations

from collections.abc import Iterator

import pytest

from evenstore.schema.model import Layout
from tests.serving.differential.servers import Servers, run_servers


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, with the packed layout on our side; nobody changes their rows."""
    with run_servers(tmp_path_factory.mktemp("differential"), layout=Layout.PACKED) as running:
        yield running
