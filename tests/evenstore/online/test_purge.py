from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.dtypes import Dtype
from evenstore.errors import OnlineStoreUnavailableError
from evenstore.online.connection import open_redis
from evenstore.online.purge import delete_project, delete_view
from evenstore.online.writer import RowWriter
from evenstore.schema.model import Field
from evenstore.semantics import RowOrder
from tests.evenstore.online.rows import (
    MarkedRow,
    decode_marked,
    encode_marked,
    marked_view,
    read_fields,
)

_ROW = MarkedRow(1, RowOrder(1_767_268_800_000_000, None, 7), 7)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _write(client: Redis, project: str, *rows: MarkedRow, name: str = "marks") -> None:
    view = marked_view(2, name)
    RowWriter(client, view).write(encode_marked(view, project, rows))


def _is_stored(client: Redis, project: str) -> bool:
    view = marked_view(2)
    return decode_marked(view, 1, read_fields(client, view, project, 1)) is not None


@pytest.mark.parametrize(
    ("project", "other"),
    [
        ("exp", "my_exp"),
        ("a*c", "abc"),
        ("a?c", "abc"),
        ("a[bx]c", "abc"),
        ("a\\", "b\\"),
        ("zürich", "rich"),
    ],
)
def test_project_takes_along_no_project_that_its_name_also_matches(
    client: Redis, project: str, other: str
) -> None:
    for name in (project, other):
        _write(client, name, _ROW)

    assert delete_project(client, project) == 1

    assert not _is_stored(client, project)
    assert _is_stored(client, other)


def test_value_that_ends_like_the_project_is_no_reason(client: Redis) -> None:
    key = EntityKeyEncoder([Field("shop", Dtype.STRING)], "").encode(["exp"])
    client.execute_command("HSET", key, b"_ts:shops", b"")

    assert delete_project(client, "exp") == 0
    assert client.execute_command("EXISTS", key) == 1


def test_foreign_keys_are_left_alone(client: Redis) -> None:
    client.hset("session:exp", "a", "b")
    client.set("exp", "1")
    client.hset("evenstore:watermarks:exp", "stats", "{}")

    assert delete_project(client, "exp") == 0
    assert client.dbsize() == 3


def test_thousands_of_entities_are_walked(client: Redis) -> None:
    rows = [MarkedRow(k, _ROW.order, 7) for k in range(5000)]
    _write(client, "exp", *rows)
    _write(client, "my_exp", *rows[:10])

    assert delete_project(client, "exp") == 5000
    assert client.dbsize() == 10


def test_view_takes_its_fields_along_and_an_empty_hash_disappears(client: Redis) -> None:
    _write(client, "exp", _ROW, MarkedRow(2, _ROW.order, 7))
    _write(client, "exp", _ROW, name="other")
    _write(client, "my_exp", _ROW)

    delete_view(client, "exp", marked_view(2))

    assert not read_fields(client, marked_view(2), "exp", 2)
    other = marked_view(2, "other")
    assert decode_marked(other, 1, read_fields(client, other, "exp", 1)) == _ROW
    assert _is_stored(client, "my_exp")


def test_unreachable_redis_is_unavailable() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nowhere,
        pytest.raises(OnlineStoreUnavailableError),
    ):
        delete_project(nowhere, "exp")
