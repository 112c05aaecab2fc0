"""A stranger's repo on stock Feast and Redis, taken over by its `feature_store.yaml`, and back.

Stock and ours answer the same questions over one Redis. Every difference must be a correction that
`docs/guides/adopt.md` names; a difference without a name fails.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore
from feast.data_source import PushMode
from redis import Redis

from evenstore.online.connection import open_redis
from evenstore.semantics import Status
from tests.conformance.market import market_definitions
from tests.conformance.market.rows import (
    BIG,
    EXPIRED,
    KEYS,
    PAIRS,
    Profile,
    write_market,
    write_profiles,
)
from tests.repo.sources import ROOT
from tests.support.feast_command import STRANGER_WARNINGS, feast
from tests.support.online_answers import Answers, Cell, ask, differences
from tests.support.redis_on_tcp import redis_on_tcp
from tests.support.stranger_repo import StrangerRepo

pytestmark = [pytest.mark.redis, *map(pytest.mark.filterwarnings, STRANGER_WARNINGS)]

_GUIDE = ROOT / "docs" / "guides" / "adopt.md"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_PROFILE = [
    "profiles:name",
    "profiles:points",
    "profiles:score",
    "profiles:likes",
    "profiles:seen",
    "profiles:is_kept",
    "profiles:photo",
]
_TTL = {feature.partition(":")[2]: 30 * _DAY for feature in _PROFILE}


@pytest.fixture(scope="module")
def connection_string(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis in stock Feast's form; each test has a project of its own in it."""
    with redis_on_tcp(tmp_path_factory.mktemp("redis")) as port:
        yield f"localhost:{port}"


@pytest.fixture
def client(connection_string: str) -> Iterator[Redis]:
    with open_redis(f"redis://{connection_string}") as opened:
        yield opened


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=123_456)


@pytest.fixture
def market(tmp_path: Path, connection_string: str, now: datetime) -> StrangerRepo:
    """String and composite keys on stock Feast, applied and materialized."""
    repo = StrangerRepo(tmp_path / "market", connection_string, project=tmp_path.name)
    write_market(repo.path / "data", now)
    shutil.copy(str(market_definitions.__file__), repo.path)
    repo.use(repo.stock)
    repo.feast("apply")
    repo.feast(f"materialize 2020-01-01T00:00:00 {_iso(now)}")
    return repo


def _iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _ask_market(store: FeatureStore) -> Answers:
    pairs = [{"email": email, "seller_id": seller} for email, seller in PAIRS]
    questions: list[tuple[Any, list[dict[str, Any]]]] = [
        (_PROFILE, [{"email": email} for email in KEYS]),
        (["dealings:spend", "dealings:n_orders"], pairs),
        (["shelves:n_orders"], [{"seller_id": 1, "shelf_no": no} for no in (1, -1, 2)]),
        (store.get_feature_service("offers"), [pair | {"friend_email": "bob@x"} for pair in pairs]),
    ]
    answers: dict[tuple[str, int], Cell] = {}
    for number, (features, rows) in enumerate(questions):
        for (name, row), cell in ask(store, features, rows).items():
            answers[name, 100 * number + row] = cell
    return answers


def _correction(name: str, stock: Cell, ours: Cell, now: datetime) -> str | None:
    """Name the correction of the guide that a difference is, None for none of them."""
    if stock == Cell(None, Status.PRESENT, _EPOCH):
        return "missing entity" if ours == Cell(None, Status.NOT_FOUND, _EPOCH) else None
    if stock.event != ours.event or stock.status is not Status.PRESENT:
        return None
    if ours.status is Status.OUTSIDE_MAX_AGE:
        ttl = _TTL.get(name)
        is_old = ttl is not None and now - stock.event > ttl
        return "expired value" if is_old and ours.value is None else None
    if ours.status is Status.NULL_VALUE:
        return "null value" if stock.value is ours.value is None else None
    return _value_correction(stock.value, ours.value)


def _value_correction(stock: Any, ours: Any) -> str | None:
    """Name the correction of a value that both call PRESENT."""
    if stock is None:
        return "NaN" if math.isnan(ours) else None
    if (stock, ours) == (int(float(BIG)), BIG):
        return "large integer"
    # Which of them stock picks is left to chance, so that no more can be said of it.
    return "tie" if stock in {2, 4, 9} and ours == 9 else None


def _corrections(stock: Answers, ours: Answers, now: datetime) -> set[str]:
    named = {
        place: _correction(place[0], *pair, now) for place, pair in differences(stock, ours).items()
    }
    unnamed = {place: (stock[place], ours[place]) for place in named if named[place] is None}
    assert not unnamed
    return {name for name in named.values() if name is not None}


def test_market_is_taken_over_and_given_back(
    market: StrangerRepo, client: Redis, now: datetime
) -> None:
    stock = _ask_market(market.store())

    market.use(market.ours)
    market.feast("apply")
    # Before any run: what stock stored, with true statuses.
    taken = _ask_market(market.store())
    assert _corrections(stock, taken, now) == {"missing entity", "null value", "expired value"}

    printed = market.feast(f"materialize-incremental {_iso(now)}")
    assert "profiles: 6 rows read, 6 written, 0 superseded, 1 ambiguous" in printed
    ours = _ask_market(market.store())
    every = {"missing entity", "null value", "expired value", "NaN", "large integer", "tie"}
    assert _corrections(stock, ours, now) >= every - {"tie"}

    market.use(market.stock)
    market.feast("apply")
    back = _ask_market(market.store())
    # Stock reads the corrected values, with its own statuses.
    assert _corrections(stock, back, now) <= {"NaN", "large integer", "tie"}
    assert back["points", 0].value == BIG
    assert back["name", KEYS.index(EXPIRED)].value == "Old"

    printed = market.feast(f"materialize-incremental {_iso(now)}")
    assert not differences(back, _ask_market(market.store()))
    # And stock goes on where ours had come to, with rows of its own.
    later: list[Profile] = [("ann@x", now - _HOUR / 2, "Ann II", 5, 0.5, ["stock"])]
    write_profiles(market.path / "data", "second", later)
    until = now + timedelta(milliseconds=1)
    market.feast(f"materialize {_iso(now - _HOUR)} {_iso(until)}")
    assert ask(market.store(), _PROFILE, [{"email": "ann@x"}])["name", 0].value == ("Ann II")
    market.use(market.ours)
    market.feast("apply")
    found = ask(market.store(), _PROFILE, [{"email": "ann@x"}])["name", 0]
    assert found == Cell("Ann II", Status.PRESENT, now - _HOUR / 2)
    assert list(client.scan_iter(match=b"evenstore:*"))


def test_values_stay_where_the_tag_says_so_first(market: StrangerRepo, now: datetime) -> None:
    """The one edit of definitions that the guide offers, made while stock still serves."""
    definitions = market.path / "market_definitions.py"
    text = definitions.read_text(encoding="utf-8")
    owner = '"owner": "somebody else"'
    assert owner in text
    definitions.write_text(
        text.replace(owner, f'{owner}, "ttl_enforcement": "shadow"'), encoding="utf-8"
    )
    market.feast("apply")
    stock = _ask_market(market.store())
    assert stock["name", KEYS.index(EXPIRED)].value == "Old"

    market.use(market.ours)
    market.feast("apply")
    assert _corrections(stock, _ask_market(market.store()), now) == {"missing entity", "null value"}
    market.feast(f"materialize-incremental {_iso(now)}")
    assert "expired value" not in _corrections(stock, _ask_market(market.store()), now)


def test_names_of_corrections_are_those_of_the_guide() -> None:
    text = _GUIDE.read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| \*\*([^*]+)\*\* \|", text, flags=re.MULTILINE))
    assert listed >= {
        "missing entity",
        "null value",
        "expired value",
        "NaN",
        "large integer",
        "tie",
        "correction",
        "late row",
    }


def test_corrections_and_late_rows_reach_only_ours(market: StrangerRepo, now: datetime) -> None:
    """What stock's own rule loses: both run over the same new file."""
    new: list[Profile] = [
        # A correction at an equal event timestamp, and a row before what was loaded last.
        ("bob@x", now - 3 * _HOUR, "Bob", 1, 1.0, ["corrected"]),
        ("late@x", now - 2 * _DAY, "Late", 1, 1.0, None),
    ]
    write_profiles(market.path / "data", "second", new, written=now)
    until = now + timedelta(milliseconds=1)
    rows = [{"email": "bob@x"}, {"email": "late@x"}]
    market.feast(f"materialize-incremental {_iso(until)}")
    stock = ask(market.store(), ["profiles:name"], rows)

    market.use(market.ours)
    market.feast("apply")
    market.feast(f"materialize-incremental {_iso(until)}")
    ours = ask(market.store(), ["profiles:name"], rows)

    assert [stock["name", i].value for i in (0, 1)] == [None, None]
    assert ours["name", 0] == Cell("Bob", Status.PRESENT, now - 3 * _HOUR)
    assert ours["name", 1] == Cell("Late", Status.PRESENT, now - 2 * _DAY)


def test_training_rows_are_stocks_once_more(market: StrangerRepo, now: datetime) -> None:
    """The offline store alone: no entity row is lost, and no other value differs."""
    rows = [*KEYS, "ann@x"]
    instants = [now] * len(KEYS) + [now - 100 * _DAY]
    asked = pd.DataFrame({"email": rows, "event_timestamp": instants, "row": range(len(rows))})
    features = [name for name in _PROFILE if name not in {"profiles:score", "profiles:points"}]
    frames = []
    for settings in (market.stock, market.ours_offline):
        market.use(settings)
        job = market.store().get_historical_features(asked, features=features)
        frames.append(job.to_df().set_index("row").sort_index())
    stock, ours = frames

    assert list(ours.index) == list(range(len(rows)))
    # Stock drops entity rows without a valid row, and one of two equal ones.
    assert set(ours.index) - set(stock.index) <= {0, KEYS.index(EXPIRED), len(rows) - 1, 7}
    common = stock.index.difference([KEYS.index("tied@x")])
    for column in ours.columns:
        for row in common:
            assert _plain(stock.at[row, column]) == _plain(ours.at[row, column]), (column, row)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pd.Timestamp):
        # A feature of this type is whole seconds online, and with ours offline too.
        return (
            value.floor("s").tz_convert(UTC) if value.tzinfo else value.floor("s").tz_localize(UTC)
        )
    return None if value is None or value is pd.NaT or value != value else value  # noqa: PLR0124


def test_what_feast_init_makes_is_taken_over_and_given_back(
    tmp_path: Path, connection_string: str, now: datetime
) -> None:
    """Maps, JSON, structs, on-demand views of mode `pandas`, push sources, label views."""
    feast(tmp_path, "init stranger")
    repo = StrangerRepo(tmp_path / "stranger/feature_repo", connection_string, project="stranger")
    repo.use(repo.stock)
    repo.feast("apply")
    repo.feast(f"materialize {_iso(now - 30 * _DAY)} {_iso(now)}")
    stock = _ask_drivers(repo.store())

    repo.use(repo.ours)
    repo.feast("apply")
    # What stock stored, and what ours loads over it.
    assert _corrections(stock, _ask_drivers(repo.store()), now) == {"missing entity"}
    printed = repo.feast(f"materialize-incremental {_iso(now)}")
    assert "driver_hourly_stats_fresh: 5 rows read, 5 written" in printed
    assert _corrections(stock, _ask_drivers(repo.store()), now) == {"missing entity"}

    # As the template's own workflow pushes.
    pushed = {
        "driver_id": [1001],
        "event_timestamp": [now],
        "created": [now],
        "conv_rate": [1.0],
        "acc_rate": [1.0],
        "avg_daily_trips": [1000],
        "driver_metadata": [{"vehicle_type": "truck", "rating": "5.0"}],
        "driver_config": [json.dumps({"max_distance_km": 500})],
        "driver_profile": [{"name": "driver_1001_updated", "age": "30"}],
    }
    repo.store().push("driver_stats_push_source", pd.DataFrame(pushed), to=PushMode.ONLINE)
    ours = _ask_drivers(repo.store())
    assert ours["driver_profile", 200].value == {"name": "driver_1001_updated", "age": "30"}

    repo.use(repo.stock)
    repo.feast("apply")
    back = _ask_drivers(repo.store())
    assert _corrections(back, ours, now) == {"missing entity"}


def _ask_drivers(store: FeatureStore) -> Answers:
    rows = [{"driver_id": i, "val_to_add": 1, "val_to_add_2": 2} for i in (1001, 1005, 1, 1001)]
    answers: dict[tuple[str, int], Cell] = {}
    for number in range(3):
        service = store.get_feature_service(f"driver_activity_v{number + 1}")
        for (feature, row), cell in ask(store, service, rows).items():
            answers[feature, 100 * number + row] = cell
    return answers


def test_expiry_that_stock_set_does_not_take_rows_of_ours(
    market: StrangerRepo, client: Redis, now: datetime
) -> None:
    """D29: stock's `key_ttl_seconds` puts an end to a key, whoever writes to it afterwards."""
    market.use(market.stock)
    keys = [key for key in client.scan_iter() if key.endswith(market.stock["project"].encode())]
    for key in keys:
        client.expire(key, 3600)
    market.use(market.ours)
    market.feast("apply")
    market.feast(f"materialize-incremental {_iso(now)}")
    # Those that the run had no row for stay as they were.
    written = [key for key in keys if client.hexists(key, "_order:profiles")]
    assert len(written) == 6
    assert [client.ttl(key) for key in written] == [-1] * 6


def test_push_of_a_stranger_is_served_and_stock_reads_it(
    market: StrangerRepo, now: datetime
) -> None:
    pushed = pd.DataFrame(
        {
            "email": ["new@x"],
            "seller_id": [1],
            "n_orders": [4],
            "spend": [1.5],
            "event_timestamp": [now],
        }
    )
    key = [{"email": "new@x", "seller_id": 1}]
    features = ["dealings:spend", "dealings:n_orders", "per_order:spend_per_order"]
    market.use(market.ours)
    market.store().push("dealings_push", pushed, to=PushMode.ONLINE)
    ours = ask(market.store(), features, key)
    assert ours["spend_per_order", 0].value == 0.375
    market.use(market.stock)
    assert not differences(ours, ask(market.store(), features, key))
