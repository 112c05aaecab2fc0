"""What views take in Redis: sampled and estimated against what a real Redis says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from evenstore.clock import SystemClock
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.packed_key import PackedKeyEncoder
from evenstore.codec.packed_row import view_id
from evenstore.doctor.entity_count import count_entities
from evenstore.doctor.entity_layout import StoredEntity
from evenstore.doctor.entity_sample import EntitySample, sample_entity_keys
from evenstore.doctor.finding import Severity
from evenstore.doctor.forecast import (
    ViewForecast,
    check_encoding,
    check_forecast,
    check_layout,
    forecast_views,
)
from evenstore.doctor.redis_facts import HashLimits
from evenstore.doctor.row_size import estimate_row_bytes
from evenstore.dtypes import Dtype
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import FormatVersionError
from evenstore.online.connection import execute, open_redis
from evenstore.schema.model import FeatureViewSchema, Field, Layout
from tests.evenstore.doctor.look import fresh_rows, used_memory_bytes
from tests.support.feast_repo import FeastRepo
from tests.support.packed_entity import join_slots
from tests.support.plain_source import PLAIN_VIEW, open_plain_source

_KEY = (Field("driver_id", Dtype.INT64),)
_LIMITS = HashLimits(64, 512)
_EMPTY = EntitySample((), 0, 0, is_whole=True)
# Sizes of values as both layouts store them; the head of a packed row is about as long as this.
_MESSAGE = {Dtype.INT64: 5, Dtype.FLOAT64: 9, Dtype.STRING: 26}
_PACKED = {Dtype.INT64: 4, Dtype.FLOAT64: 8, Dtype.STRING: 25}
_PACKED_HEAD = b"\1" * 22


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _view(name: str, dtype: Dtype = Dtype.FLOAT64, n_features: int = 10) -> FeatureViewSchema:
    features = tuple(Field(f"f{i}", dtype) for i in range(n_features))
    return FeatureViewSchema(name, _KEY, features, None)


def _store(
    client: Redis,
    views: list[FeatureViewSchema],
    layout: Layout,
    *,
    n_entities: int,
    project: str = "tiny",
) -> None:
    """Store rows of random values, as long as real ones."""
    commands: list[tuple[bytes, ...]] = []
    for number in range(n_entities):
        if layout is Layout.PACKED:
            rows = {
                view_id(view.name): _PACKED_HEAD
                + os.urandom(sum(_PACKED[field.dtype] for field in view.features))
                for view in views
            }
            key = PackedKeyEncoder(_KEY, project).encode((number,))
            commands.append((b"SET", key, join_slots(rows)))
            continue
        pairs: list[bytes] = []
        for view in views:
            fields = FeastRowLayout(view)
            pairs += [fields.timestamp_field, b"\1" * 14, fields.order_field, b"\1" * 38]
            names = zip(fields.feature_fields.values(), view.features, strict=True)
            for name, field in names:
                pairs += [name, os.urandom(_MESSAGE[field.dtype])]
        commands.append((b"HSET", EntityKeyEncoder(_KEY, project).encode((number,)), *pairs))
    execute(client, commands)


@pytest.mark.parametrize("layout", Layout)
def test_sample_counts_the_projects_entities_and_no_others(client: Redis, layout: Layout) -> None:
    stats, other = _view("stats"), _view("other", n_features=2)
    _store(client, [stats, other], layout, n_entities=30)
    _store(client, [stats], layout, n_entities=20, project="my_tiny")
    client.set("someone's", "key")
    sample = sample_entity_keys(client, "tiny", [stats, other, _view("absent")], layout)
    assert (sample.n_entities, sample.n_other_entities, sample.is_whole) == (30, 0, True)
    assert len(sample.of_view("stats")) == len(sample.of_view("other")) == 30
    assert sample.of_view("absent") == ()
    assert sample.shows_absence
    for entity in sample.entities:
        assert entity.is_compact
        assert sum(entity.view_bytes.values()) < entity.n_bytes


@pytest.mark.parametrize("layout", Layout)
def test_sample_is_bounded_and_scaled(client: Redis, layout: Layout) -> None:
    stats = _view("stats", n_features=1)
    _store(client, [stats], layout, n_entities=4_000)
    sample = sample_entity_keys(client, "tiny", [stats], layout, n_wanted=50, n_scanned_most=1_500)
    assert len(sample.entities) == 50
    assert not sample.is_whole
    assert not sample.shows_absence
    # All keys are the project's: the scale leaves nothing to chance.
    assert sample.n_entities == 4_000


def test_key_of_another_type_under_the_projects_name_is_passed_over(client: Redis) -> None:
    client.set(EntityKeyEncoder(_KEY, "tiny").encode((1,)), "text")
    client.lpush(PackedKeyEncoder(_KEY, "tiny").encode((1,)), "text")
    for layout in Layout:
        assert sample_entity_keys(client, "tiny", [], layout).entities == ()


def test_row_of_a_later_format_is_refused(client: Redis) -> None:
    client.set(PackedKeyEncoder(_KEY, "tiny").encode((1,)), b"\xff")
    with pytest.raises(FormatVersionError):
        sample_entity_keys(client, "tiny", [_view("stats")], Layout.PACKED)


@pytest.mark.parametrize(("layout", "other"), [tuple(Layout), tuple(Layout)[::-1]])
def test_rows_of_the_other_layout_are_found(client: Redis, layout: Layout, other: Layout) -> None:
    stats = _view("stats")
    _store(client, [stats], layout, n_entities=5)
    sample = sample_entity_keys(client, "tiny", [stats], layout)
    assert check_layout(sample, layout).severity is Severity.OK
    found = check_layout(sample_entity_keys(client, "tiny", [stats], other), other)
    assert found.severity is Severity.WARNING
    assert "5 entities" in found.what
    assert f"`layout: {layout.value}`" in found.remedy


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    ("dtype", "n_features"),
    [(Dtype.INT64, 1), (Dtype.INT64, 10), (Dtype.FLOAT64, 30), (Dtype.STRING, 5)],
)
def test_estimate_is_near_what_redis_takes(
    client: Redis, layout: Layout, dtype: Dtype, n_features: int
) -> None:
    view = _view("stats", dtype, n_features)
    before = used_memory_bytes(client)
    _store(client, [view], layout, n_entities=2_000)
    taken = (used_memory_bytes(client) - before) / 2_000
    estimated = estimate_row_bytes(view, "tiny", layout)
    assert 0.9 * taken < estimated < 1.3 * taken
    (forecast,) = forecast_views(
        [view],
        "tiny",
        layout,
        sample_entity_keys(client, "tiny", [view], layout),
        n_offline={},
        limits=_LIMITS,
    )
    assert forecast.is_loaded
    assert forecast.n_entities == 2_000
    # MEMORY USAGE leaves the table of keys out.
    assert 0.8 * taken < forecast.bytes_per_entity <= taken


def test_only_the_first_view_on_a_key_pays_for_it_and_loose_hashes_cost_more() -> None:
    views = [_view("first"), _view("second")]
    forecasts = forecast_views(
        views,
        "tiny",
        Layout.FEAST,
        _EMPTY,
        n_offline={"first": 10, "second": 10},
        limits=_LIMITS,
    )
    assert forecasts[0].bytes_per_entity > forecasts[1].bytes_per_entity + 80
    assert [forecast.needed_bytes for forecast in forecasts] == [
        10 * forecast.bytes_per_entity for forecast in forecasts
    ]
    compact = estimate_row_bytes(views[0], "tiny", Layout.FEAST, limits=_LIMITS)
    loose = estimate_row_bytes(views[0], "tiny", Layout.FEAST, limits=HashLimits(64, 11))
    assert loose > 1.3 * compact


def test_shared_entities_are_divided_by_what_views_store() -> None:
    entity = StoredEntity(n_bytes=400, view_bytes={"stats": 300, "other": 100})
    alone = StoredEntity(n_bytes=100, view_bytes={"other": 50})
    sample = EntitySample((entity, alone), 2_000, 0, is_whole=False)
    stats, other = forecast_views(
        [_view("stats"), _view("other")],
        "tiny",
        Layout.FEAST,
        sample,
        n_offline={},
        limits=None,
    )
    assert (stats.n_entities, stats.bytes_per_entity) == (1_000, 300)
    assert (other.n_entities, other.bytes_per_entity) == (2_000, 100)
    assert stats.needed_bytes == 0


@pytest.mark.parametrize(
    ("headroom", "severity"),
    [(10_000, "ok"), (3_500, "warning"), (2_900, "error"), (None, "info")],
)
def test_load_that_does_not_fit_is_found(headroom: int | None, severity: str) -> None:
    forecasts = [
        ViewForecast("loaded", 1_000_000, 300, is_loaded=True),
        ViewForecast("new", 10, 300, is_loaded=False),
    ]
    *views, total = check_forecast(forecasts, headroom)
    assert [found.severity for found in views] == [Severity.OK, Severity.OK]
    assert total.severity.value == severity
    assert total.what.startswith("to load new Redis needs about 3.0 kB")
    loaded_only = check_forecast(forecasts[:1], headroom)
    assert [found.severity for found in loaded_only] == [Severity.OK]


def test_view_that_cannot_be_counted_is_told() -> None:
    (found,) = check_forecast([ViewForecast("new", None, 300, is_loaded=False)], 10)
    assert found.severity is Severity.INFO
    assert "--count-seconds" in found.remedy


def test_hashes_that_are_not_compact_are_found(client: Redis) -> None:
    short = _view("stats")
    _store(client, [short], Layout.FEAST, n_entities=3)
    sample = sample_entity_keys(client, "tiny", [short], Layout.FEAST)
    assert check_encoding(sample, [short], _LIMITS).severity is Severity.OK
    key = EntityKeyEncoder(_KEY, "tiny").encode((1,))
    execute(client, [(b"HSET", key, FeastRowLayout(short).feature_fields["f0"], b"x" * 90)])
    sample = sample_entity_keys(client, "tiny", [short], Layout.FEAST)
    found = check_encoding(sample, [short], _LIMITS)
    assert found.severity is Severity.WARNING
    assert found.what.startswith("1 of 3 sampled hashes are not compact")
    assert "hash-max-ziplist-value 90" in found.remedy


def test_views_with_too_many_fields_together_are_found_before_they_are_loaded() -> None:
    views = [_view("stats", n_features=300), _view("other", n_features=300)]
    elsewhere = replace(_view("far", n_features=300), join_keys=(Field("item", Dtype.STRING),))
    assert check_encoding(_EMPTY, [views[0], elsewhere], _LIMITS).severity is Severity.OK
    found = check_encoding(_EMPTY, [*views, elsewhere], _LIMITS)
    assert found.severity is Severity.WARNING
    assert found.what.startswith("the views on driver_id have 604 fields together")
    assert check_encoding(_EMPTY, views, None).severity is Severity.OK


def test_entities_are_counted_offline(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    repo.write_rows("stats", fresh_rows(500))
    repo.write_rows("stats", fresh_rows(900, age=timedelta(days=3)), file="old.parquet")
    source = open_plain_source(repo.data / "stats")

    def count(view: FeatureViewSchema, limit_s: float = 60.0) -> int | None:
        now_us = SystemClock().now_us()
        limits = SessionLimits()
        return count_entities(source, view, now_us=now_us, limits=limits, limit_s=limit_s)

    everything = count(PLAIN_VIEW)
    valid = count(replace(PLAIN_VIEW, ttl_us=86_400_000_000))
    assert everything is not None
    assert valid is not None
    assert 700 < everything < 1_100
    assert 400 < valid < 600
    assert count(replace(PLAIN_VIEW, join_keys=())) == 1
    assert count(PLAIN_VIEW, limit_s=0) is None


def test_count_ends_when_its_time_is_over(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    repo.write_rows("stats", fresh_rows(300_000))
    source = open_plain_source(repo.data / "stats")
    # A microsecond is over before the file is open: the query is interrupted, and nothing breaks.
    now_us = SystemClock().now_us()
    for _ in range(3):
        counted = count_entities(
            source, PLAIN_VIEW, now_us=now_us, limits=SessionLimits(), limit_s=1e-6
        )
        assert counted is None or counted > 200_000


def test_source_that_is_gone_is_not_counted(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    path = repo.write_rows("stats", fresh_rows(10))
    source = open_plain_source(repo.data / "stats")
    path.unlink()
    counted = count_entities(source, PLAIN_VIEW, now_us=0, limits=SessionLimits(), limit_s=60.0)
    assert counted is None
