from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from feast import FeatureStore
from redis import Redis

from evenstore.redis_server import RedisServer
from evenstore.schema.compile import compile_store
from evenstore.schema.model import Layout
from tests.parity.causes.planting import PlantedShop
from tests.parity.shop import NOW, SOURCES, write_shop


@dataclass(frozen=True)
class _Shops:
    by_layout: dict[Layout, PlantedShop]
    rows: dict[bytes, bytes]
    files: dict[Path, tuple[bytes, int]]


@pytest.fixture(scope="package")
def _shops(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Shops]:
    """One shop, loaded in both layouts into one Redis."""
    folder = tmp_path_factory.mktemp("causes")
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        stores = {Layout.FEAST: write_shop(folder / "feast", redis_server.url)}
        stores[Layout.PACKED] = _open_packed(folder)
        stores[Layout.PACKED].materialize(start_date=NOW - timedelta(days=60), end_date=NOW)
        shops = {
            layout: PlantedShop(
                folder / layout.value,
                store,
                client,
                layout,
                {view.name: view for view in compile_store(store).feature_views},
                folder / "feast",
            )
            for layout, store in stores.items()
        }
        rows = {key: client.execute_command("DUMP", key) for key in client.scan_iter()}
        paths = [folder / "feast" / name for name in SOURCES]
        files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
        yield _Shops(shops, rows, files)


def _open_packed(folder: Path) -> FeatureStore:
    settings = (folder / "feast" / "feature_store.yaml").read_text()
    settings = settings.replace("registry: ", "registry: ../feast/")
    repo = folder / "packed"
    repo.mkdir()
    (repo / "feature_store.yaml").write_text(settings.replace("layout: feast", "layout: packed"))
    return FeatureStore(repo_path=str(repo))


@pytest.fixture
def shop(_shops: _Shops, request: pytest.FixtureRequest) -> PlantedShop:
    """The shop in the packed layout, or in that of the parameter, as it was loaded."""
    # Before, not after: tests of other modules may have emptied Redis since.
    chosen = _shops.by_layout[getattr(request, "param", Layout.PACKED)]
    pipeline = chosen.client.pipeline(transaction=False)
    pipeline.flushall()
    for key, row in _shops.rows.items():
        pipeline.execute_command("RESTORE", key, 0, row)
    pipeline.execute()
    for path, (data, modified_ns) in _shops.files.items():
        if path.read_bytes() != data or path.stat().st_mtime_ns != modified_ns:
            path.write_bytes(data)
            # The watermark knows a file by this.
            os.utime(path, ns=(modified_ns, modified_ns))
    return chosen
