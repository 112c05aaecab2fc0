from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from evenstore.clock import datetime_to_us, format_us
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout, encode_timestamp
from evenstore.codec.feast_value import value_encoder
from evenstore.online.loads import loads_key
from evenstore.redis_server import RedisServer
from evenstore.schema.compile import compile_store
from evenstore.schema.document import write_document
from evenstore.schema.model import FeatureViewSchema
from tests.parity.shop import NOW, PROJECT, SOURCES, write_shop
from tests.serving.processes import run_worker


@dataclass(frozen=True, slots=True)
class RunningShop:
    """A loaded shop and a gateway process in front of it, whose clock stands at NOW."""

    repo: Path
    gateway_url: str
    redis_url: str
    redis: Redis
    views: dict[str, FeatureViewSchema]

    def key(self, view_name: str, *entity_key: object) -> bytes:
        """Return the Redis key of an entity."""
        return EntityKeyEncoder(self.views[view_name].join_keys, PROJECT).encode(entity_key)

    def set_watermark(self, view_name: str, event_end_us: int) -> None:
        """Say that a view is loaded up to another instant than it is."""
        loads = loads_key(PROJECT)
        stored = json.loads(self.redis.execute_command("HGET", loads, view_name))
        text = json.dumps(stored | {"event_end_us": event_end_us})
        self.redis.execute_command("HSET", loads, view_name, text)

    def plant_value(self, view_name: str, feature: str, entity: object, value: object) -> None:
        """Overwrite one stored value behind the store's back."""
        field = self.views[view_name].feature(feature)
        assert field is not None
        self.plant_bytes(view_name, feature, entity, value_encoder(field.dtype)(value))

    def plant_bytes(self, view_name: str, feature: str, entity: object, data: bytes) -> None:
        """Overwrite one stored value with bytes that nothing wrote."""
        stored = FeastRowLayout(self.views[view_name]).feature_fields[feature]
        self.redis.execute_command("HSET", self.key(view_name, entity), stored, data)

    def plant_event(self, view_name: str, entity: object, event_us: int) -> None:
        """Overwrite one row's event timestamp."""
        stored = FeastRowLayout(self.views[view_name]).timestamp_field
        data = encode_timestamp(event_us)
        self.redis.execute_command("HSET", self.key(view_name, entity), stored, data)


@pytest.fixture(scope="module")
def clean_shop(
    redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    """A shop for all tests of a module; `shop` mends what a test damages."""
    folder = tmp_path_factory.mktemp("shop")
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        store = write_shop(folder / "repo", redis_server.url)
        schema = compile_store(store)
        write_document(schema, folder / "schema.json")
        frozen = {
            "EVENSTORE_TEST_MODE": "1",
            "EVENSTORE_FROZEN_TIME": format_us(datetime_to_us(NOW)),
        }
        with run_worker(
            folder / "gateway", folder / "schema.json", redis_server.url, environ=frozen
        ) as worker:
            views = {view.name: view for view in schema.feature_views}
            yield RunningShop(folder / "repo", worker.url, redis_server.url, client, views)


@pytest.fixture
def shop(clean_shop: RunningShop) -> Iterator[RunningShop]:
    """The shop, which the test may damage: Redis and the sources are put back afterwards."""
    client = clean_shop.redis
    rows = {key: client.execute_command("DUMP", key) for key in client.scan_iter()}
    files = {name: (clean_shop.repo / name).read_bytes() for name in SOURCES}
    yield clean_shop
    client.flushall()
    for key, row in rows.items():
        client.execute_command("RESTORE", key, 0, row)
    for name, data in files.items():
        (clean_shop.repo / name).write_bytes(data)
