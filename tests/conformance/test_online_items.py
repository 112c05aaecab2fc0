"""What is known of stock Feast's Redis store, asked of stock and of ours in each layout.

Each case names its entries of FEAST.md: a section, or a class of divergence. Where stock deviates
from the rule, its case is a strict xfail, so that a fix upstream is noticed;
`docs/reference/feast-items.md` lists all entries.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import Entity
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.online.connection import open_redis
from evenstore.semantics import Status
from tests.conformance.online_sides import (
    DRIVER,
    FEAST,
    HOUR,
    KINDS,
    NOW,
    SCHEMA,
    STOCK,
    OnlineDeviations,
    cell,
    load,
    load_stats,
    online_repo,
    push_row,
    rows,
)
from tests.conformance.stores import STOCK_WARNINGS
from tests.support.feast_repo import FeastRepo
from tests.support.online_answers import Cell

pytestmark = STOCK_WARNINGS

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
DEVIATIONS: OnlineDeviations = {
    (test, STOCK): (raises, f"upstream, {item}")
    for test, raises, item in (
        ("test_expired_value_is_withheld", AssertionError, "0.1: a ttl is not enforced online"),
        ("test_missing_entity_is_not_found", AssertionError, "0.2: everything is PRESENT"),
        ("test_null_is_told_from_a_missing_row", AssertionError, "D8: everything is PRESENT"),
        ("test_join_key_of_another_type_is_refused", pytest.fail.Exception, "D25: it is cast"),
        ("test_key_of_an_old_serialization_is_refused", pytest.fail.Exception, "1.1: it works"),
    )
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Whose parts a case runs on."""
    return str(request.param)


@pytest.fixture
def repo(kind: str, tmp_path: Path, redis_url: str) -> FeastRepo:
    return online_repo(tmp_path / "repo", redis_url, kind)


def test_expired_value_is_withheld(repo: FeastRepo) -> None:
    """FEAST.md 0.1, D1."""
    store = load_stats(repo, ttl=timedelta(days=1))
    push_row(store, NOW - 25 * HOUR, 5, driver_id=3)
    expired = Cell(None, Status.OUTSIDE_MAX_AGE, NOW - 25 * HOUR)
    assert cell(store, "stats:trips", driver_id=3) == expired
    assert cell(store, "stats:trips") == Cell(10, Status.PRESENT, NOW - 2 * HOUR)


def test_missing_entity_is_not_found(repo: FeastRepo) -> None:
    """FEAST.md 0.2, 1.5, D8."""
    store = load_stats(repo)
    assert cell(store, "stats:trips", driver_id=9) == Cell(None, Status.NOT_FOUND, _EPOCH)


def test_null_is_told_from_a_missing_row(repo: FeastRepo) -> None:
    """FEAST.md 1.2, D8."""
    store = load_stats(repo)
    push_row(store, NOW, None)
    assert cell(store, "stats:trips") == Cell(None, Status.NULL_VALUE, NOW)


def test_parts_are_named_by_their_dotted_path(repo: FeastRepo, kind: str) -> None:
    """FEAST.md 0.11, 4.5: no part of Feast is changed, and Feast finds the settings."""
    store = load_stats(repo)
    provider: Any = store._get_provider()
    parts = (provider.offline_store, provider.online_store, provider.batch_engine)
    modules = {type(part).__module__.partition(".")[0] for part in parts}
    assert modules == ({"feast"} if kind == STOCK else {"evenstore"})
    assert store.config.online_store.type == repo.store().config.online_store.type


def test_key_has_feasts_documented_bytes(repo: FeastRepo, kind: str, redis_url: str) -> None:
    """FEAST.md 1.1."""
    if kind not in {STOCK, FEAST}:
        pytest.skip("stock's keys are those of stock's layout")
    store = load_stats(repo)
    push_row(store, NOW, 1, driver_id=3)
    documented = bytes.fromhex(
        "01000000 02000000 09000000 6472697665725f6964 04000000 08000000 0300000000000000"
    )
    with open_redis(redis_url) as client:
        assert client.hexists(documented + b"tiny", "_ts:stats")


def test_keys_of_two_types_and_of_two_unicode_forms_differ(repo: FeastRepo) -> None:
    """FEAST.md 1.1, D24, D26."""
    # Composed and decomposed, as an application may send either.
    names = ["1", "zo\u00eb", "zoe\u0308"]
    instants = [NOW - HOUR] * 3
    repo.write_rows("texts", rows(instants, text=names, value=[1, 2, 3]))
    numbers = rows(instants[:1], number=pa.array([1], pa.int32()), value=[4])
    repo.write_rows("numbers", numbers)
    text = Entity(name="text", join_keys=["text"], value_type=ValueType.STRING)
    number = Entity(name="number", join_keys=["number"], value_type=ValueType.INT32)
    texts = repo.view("texts", [text], {"text": String, "value": Int64})
    store = repo.apply(
        text, number, texts, repo.view("numbers", [number], {"number": Int32, "value": Int64})
    )
    load(store)
    assert [cell(store, "texts:value", text=name).value for name in names] == [1, 2, 3]
    assert cell(store, "numbers:value", number=1).value == 4


def test_join_key_of_another_type_is_refused(repo: FeastRepo, kind: str) -> None:
    """FEAST.md 1.1, D25: no key bytes are made of a value that is not of the declared type."""
    store = load_stats(repo)
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(double_val=1.0)])
    if kind == STOCK:
        # Stock's SDK casts before its store would refuse.
        with pytest.raises(ValueError, match="not supported"):
            store._get_provider().online_read(store.config, store.get_feature_view("stats"), [key])
        with pytest.raises(TypeError):
            cell(store, "stats:trips", driver_id="1")
    else:
        with pytest.raises(EvenstoreError, match="driver_id"):
            store._get_provider().online_read(store.config, store.get_feature_view("stats"), [key])


@pytest.mark.filterwarnings("ignore:The serialization version below 3:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Serialization of entity key with version < 3:UserWarning")
def test_key_of_an_old_serialization_is_refused(kind: str, tmp_path: Path, redis_url: str) -> None:
    """FEAST.md 1.1: rows would be written where nobody looks for them."""
    repo = online_repo(tmp_path, redis_url, kind, entity_key_serialization_version=2)
    with pytest.raises(ConfigurationError, match="entity_key_serialization_version"):
        load_stats(repo)


def test_version_of_a_view_is_read_by_its_number(kind: str, tmp_path: Path, redis_url: str) -> None:
    """FEAST.md 1.2."""
    registry = {"path": "registry.db", "enable_online_feature_view_versioning": True}
    repo = online_repo(tmp_path, redis_url, kind, registry=registry)
    load_stats(repo)
    schema = {**SCHEMA, "more": Int64}
    repo.write_rows("stats", rows([NOW - HOUR], driver_id=[1], trips=[11], more=[12]))
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], schema))
    store.materialize(NOW - 9 * HOUR, NOW)
    assert cell(store, "stats@v1:trips").value == 11
    assert cell(store, "stats@v0:trips").value == 10


def test_event_time_is_kept_to_the_microsecond_and_naive_is_utc(repo: FeastRepo) -> None:
    """FEAST.md 1.3, D27."""
    store = load_stats(repo)
    event = NOW - timedelta(microseconds=1)
    push_row(store, event.replace(tzinfo=None), 5)
    assert cell(store, "stats:trips") == Cell(5, Status.PRESENT, event)


def test_features_of_several_views_share_one_answer(repo: FeastRepo) -> None:
    """FEAST.md 1.2, 1.5, D30: each with the event timestamp of its own view."""
    load_stats(repo)
    repo.write_rows("other", rows([NOW - 3 * HOUR], driver_id=[1], points=[7]))
    other = repo.view("other", [DRIVER], {"driver_id": Int64, "points": Int64})
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA), other)
    load(store)
    assert cell(store, "other:points") == Cell(7, Status.PRESENT, NOW - 3 * HOUR)
    assert cell(store, "stats:trips") == Cell(10, Status.PRESENT, NOW - 2 * HOUR)
    answer = store.get_online_features(["stats:trips", "other:points"], [{"driver_id": 1}])
    assert {"trips": [10], "points": [7]}.items() <= answer.to_dict().items()


def test_timestamp_feature_is_whole_seconds_on_both_sides(repo: FeastRepo) -> None:
    """FEAST.md 1.3, D9."""
    seen = NOW - HOUR + timedelta(microseconds=123_456)
    table = rows([NOW - HOUR], driver_id=[1], seen=pa.array([seen], pa.timestamp("us", "UTC")))
    repo.write_rows("stats", table)
    schema = {"driver_id": Int64, "seen": UnixTimestamp}
    store = repo.apply(DRIVER, repo.view("stats", [DRIVER], schema))
    load(store)
    assert cell(store, "stats:seen").value == NOW - HOUR


def test_features_that_share_a_stored_name_are_refused(repo: FeastRepo, kind: str) -> None:
    """FEAST.md 1.2, D32: `va:f49248` and `vb:f101626` have one 32-bit name."""
    if kind != FEAST:
        pytest.skip("only stock's layout has such names, and stock does not look")
    views = [
        repo.view(name, [DRIVER], {"driver_id": Int64, feature: Float64})
        for name, feature in (("va", "f49248"), ("vb", "f101626"))
    ]
    with pytest.raises(EvenstoreError, match="share the field"):
        repo.apply(DRIVER, *views)
