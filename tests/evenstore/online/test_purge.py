from __future__ import annotations

import dataclasses

import pytest
from redis import Redis

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.dtypes import Dtype
from evenstore.errors import OnlineStoreUnavailableError
from evenstore.online.connection import open_redis
from evenstore.online.purge import delete_project, delete_view
from evenstore.online.row_schemas import schemas_key
from evenstore.schema.model import Field, Layout
from evenstore.semantics import RowOrder
from tests.evenstore.online.rows import MarkedRow, MarkedStore, marked_view

_ROW = MarkedRow(1, RowOrder(1_767_268_800_000_000, None, 7), 7)
_AWKWARD_NAMES = [
    ("exp", "my_exp"),
    ("exp", "exp_2"),
    ("a*c", "abc"),
    ("a?c", "abc"),
    ("a[bx]c", "abc"),
    ("a\\", "b\\"),
    ("zürich", "rich"),
]


@pytest.fixture
def store(client: Redis, layout: Layout) -> MarkedStore:
    return MarkedStore(client, marked_view(2), "exp", layout)


def _named(store: MarkedStore, project: str, *, view: str = "marks") -> MarkedStore:
    return dataclasses.replace(store, project=project, view=marked_view(2, view))


@pytest.mark.parametrize("knows_views", [True, False])
@pytest.mark.parametrize(("project", "other"), _AWKWARD_NAMES)
def test_project_takes_along_no_project_that_its_name_also_matches(
    store: MarkedStore, project: str, other: str, knows_views: bool
) -> None:
    for name in (project, other):
        _named(store, name).write(_ROW)

    views = [store.view] if knows_views else []
    assert delete_project(store.client, project, views) == 1

    assert _named(store, project).read() is None
    assert _named(store, other).read() == _ROW
    assert store.client.exists(schemas_key(project)) == 0
    assert store.client.exists(schemas_key(other)) == 1


def test_both_layouts_of_a_project_go(client: Redis) -> None:
    stores = [MarkedStore(client, marked_view(2), "exp", layout) for layout in Layout]
    for store in stores:
        store.write(_ROW)

    assert delete_project(client, "exp") == 2
    assert client.dbsize() == 0


def test_value_that_ends_like_the_project_is_no_reason(client: Redis) -> None:
    key = EntityKeyEncoder([Field("shop", Dtype.STRING)], "").encode(["exp"])
    client.execute_command("HSET", key, b"_ts:shops", b"")

    assert delete_project(client, "exp") == 0
    assert client.execute_command("EXISTS", key) == 1


def test_foreign_keys_are_left_alone(store: MarkedStore) -> None:
    client = store.client
    store.write(_ROW)
    client.hset("session:exp", "a", "b")
    client.set("exp", "1")
    client.hset("evenstore:watermarks:my_exp", "stats", "{}")
    # They look like entities: by their keys alone, or by their values too but for the schema.
    foreign = {
        "exp@example.org": b"someone's address",
        "exp@short": b"",
        "exp@version": b"\x01",
        "exp@rows": b"\x01abcd\x08\x80\x00\x80\x01abcd",
        "exp@later": b"\x02",
    }
    for key, value in foreign.items():
        client.set(key, value)
    client.hset("exp@hash", "a", "b")

    assert delete_project(client, "exp", [store.view]) == 1

    assert client.dbsize() == 4 + len(foreign)


def test_entity_of_join_keys_that_no_view_has_any_more_goes_by_what_it_holds(
    client: Redis,
) -> None:
    store = MarkedStore(client, marked_view(2), "exp", Layout.PACKED)
    store.write(_ROW)
    renamed = dataclasses.replace(store.view, join_keys=(Field("other", Dtype.STRING),))

    assert delete_project(client, "exp", [renamed]) == 1
    assert client.dbsize() == 0


def test_thousands_of_entities_are_walked(store: MarkedStore) -> None:
    rows = [MarkedRow(k, _ROW.order, 7) for k in range(5000)]
    store.write(*rows)
    other = _named(store, "my_exp")
    other.write(*rows[:10])

    assert delete_project(store.client, "exp") == 5000
    assert store.client.dbsize() == 10 + 1


def test_view_takes_its_rows_along_and_an_empty_entity_disappears(store: MarkedStore) -> None:
    store.write(_ROW, MarkedRow(2, _ROW.order, 7))
    other, foreign = _named(store, "exp", view="other"), _named(store, "my_exp")
    other.write(_ROW)
    foreign.write(_ROW)
    foreign.client.set("exp@" + "x" * 20, b"foreign")

    delete_view(store.client, "exp", store.view)

    assert store.read(1) is None
    assert other.read() == foreign.read() == _ROW
    assert not store.client.exists(store.key(2))
    assert store.client.execute_command("HLEN", schemas_key("exp")) == 1
    assert store.client.get("exp@" + "x" * 20) == b"foreign"


def test_view_takes_along_features_that_only_older_rows_have(store: MarkedStore) -> None:
    dataclasses.replace(store, view=marked_view(3)).write(_ROW)

    delete_view(store.client, "exp", marked_view(1))

    assert not store.client.exists(store.key(1))


def test_view_that_goes_leaves_the_expiry_of_an_entity(client: Redis) -> None:
    store = MarkedStore(client, marked_view(2), "exp", Layout.PACKED)
    store.write(_ROW)
    _named(store, "exp", view="other").write(_ROW)
    client.pexpire(store.key(1), 1_000_000)

    delete_view(client, "exp", store.view)

    assert client.execute_command("PTTL", store.key(1)) > 900_000


def test_unreachable_redis_is_unavailable() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nowhere,
        pytest.raises(OnlineStoreUnavailableError),
    ):
        delete_project(nowhere, "exp")
