"""Watermarks on a real Redis, against real files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from evenstore.compute.watermark import (
    Watermark,
    load_fingerprint,
    mark_store,
    write_watermark,
)
from evenstore.doctor.finding import Finding, Severity
from evenstore.doctor.watermark_checks import check_recorded_end, check_watermark
from evenstore.doctor.watermark_facts import gather_watermark_facts
from evenstore.online.connection import open_redis
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema, Layout
from tests.evenstore.doctor.look import fresh_rows
from tests.support.feast_repo import FeastRepo
from tests.support.plain_source import PLAIN_VIEW, open_plain_source

_NOW_US = 1_767_268_800_000_000
_HOUR_US = 3_600_000_000
_VIEW = replace(PLAIN_VIEW, ttl_us=24 * _HOUR_US)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


@pytest.fixture
def repo(tmp_path: Path) -> FeastRepo:
    made = FeastRepo(tmp_path)
    made.write_rows("stats", fresh_rows(10))
    return made


def _load(client: Redis, source: SourceFiles, *, end_us: int = _NOW_US - _HOUR_US) -> None:
    files = {
        identity.path: (identity.size_bytes, identity.modified_ns)
        for identity in fingerprint_files(source)
    }
    made = Watermark(end_us, files, load_fingerprint(_VIEW, source, Layout.PACKED), _NOW_US)
    write_watermark(client, "p", "stats", made, mark=mark_store(client, "p", "stats"))


def _check(
    client: Redis,
    source: SourceFiles | None,
    *,
    view: FeatureViewSchema = _VIEW,
    has_rows: bool | None = True,
    recorded_end_us: int | None = None,
) -> Finding:
    facts = gather_watermark_facts(
        client,
        "p",
        view,
        source,
        Layout.PACKED,
        has_rows=has_rows,
        recorded_end_us=recorded_end_us,
    )
    found = check_watermark(facts, now_us=_NOW_US)
    assert found.severity is Severity.OK or (found.consequence and found.remedy)
    return found


def _said(found: Finding, severity: Severity, text: str) -> bool:
    return found.severity is severity and text in found.what


def test_loaded_view_is_well_and_looking_changes_nothing(client: Redis, repo: FeastRepo) -> None:
    source = open_plain_source(repo.data / "stats")
    _load(client, source)
    before = client.hgetall("evenstore:watermarks:p")
    assert _said(_check(client, source), Severity.OK, "stats: loaded up to 2026-01-01T11:00:00Z")
    assert client.hgetall("evenstore:watermarks:p") == before
    assert client.dbsize() == 1


def test_view_that_was_never_loaded_is_found(client: Redis, repo: FeastRepo) -> None:
    source = open_plain_source(repo.data / "stats")
    bare = _check(client, source, has_rows=False)
    assert _said(bare, Severity.WARNING, "never materialized")
    assert "pushed" not in bare.what
    assert "pushed" in _check(client, source, has_rows=True).what
    assert client.dbsize() == 0


def test_redis_that_lost_its_watermark_is_found(client: Redis, repo: FeastRepo) -> None:
    source = open_plain_source(repo.data / "stats")
    _load(client, source)
    client.flushall()
    found = _check(client, source, recorded_end_us=_NOW_US)
    assert _said(found, Severity.WARNING, "Feast recorded a run up to 2026-01-01T12:00:00Z")


def test_watermark_without_rows_is_found(client: Redis, repo: FeastRepo) -> None:
    source = open_plain_source(repo.data / "stats")
    _load(client, source)
    assert _said(_check(client, source, has_rows=False), Severity.WARNING, "no row of it")
    assert _check(client, source, has_rows=None).severity is Severity.OK


def test_changed_schema_is_found(client: Redis, repo: FeastRepo) -> None:
    source = open_plain_source(repo.data / "stats")
    _load(client, source)
    longer = replace(_VIEW, ttl_us=48 * _HOUR_US)
    assert _said(_check(client, source, view=longer), Severity.WARNING, "has changed")


def test_load_older_than_the_ttl_is_found(client: Redis, repo: FeastRepo) -> None:
    source = open_plain_source(repo.data / "stats")
    _load(client, source, end_us=_NOW_US - 24 * _HOUR_US)
    assert _check(client, source).severity is Severity.OK
    _load(client, source, end_us=_NOW_US - 24 * _HOUR_US - 1)
    assert _said(_check(client, source), Severity.WARNING, "longer ago than its ttl")


def test_files_that_came_since_are_counted(client: Redis, repo: FeastRepo) -> None:
    _load(client, open_plain_source(repo.data / "stats"))
    repo.write_rows("stats", fresh_rows(5), file="late.parquet")
    found = _check(client, open_plain_source(repo.data / "stats"))
    assert _said(found, Severity.INFO, "1 files are new")


def test_source_that_cannot_be_opened_leaves_the_watermark(client: Redis, repo: FeastRepo) -> None:
    _load(client, open_plain_source(repo.data / "stats"))
    assert _check(client, None).severity is Severity.OK


def test_watermark_that_cannot_be_read_is_an_error(client: Redis, repo: FeastRepo) -> None:
    client.hset("evenstore:watermarks:p", "stats", "{")
    found = _check(client, open_plain_source(repo.data / "stats"))
    assert _said(found, Severity.ERROR, "cannot be read")
    assert "HDEL" in found.remedy


def test_other_engines_leave_what_feast_recorded() -> None:
    assert check_recorded_end("stats", _NOW_US).severity is Severity.OK
    assert check_recorded_end("stats", None).severity is Severity.WARNING
