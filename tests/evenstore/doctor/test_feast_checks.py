"""Settings of real feature_store.yaml files, of evenstore's stores and of stock's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evenstore.doctor.feast_checks import check_feast, check_version
from evenstore.doctor.feast_facts import gather_feast_facts, installed_feast, locate_redis
from evenstore.doctor.finding import Severity
from evenstore.errors import ConfigurationError, OnlineStoreUnavailableError
from evenstore.schema.repository import load_repository_config
from tests.evenstore.doctor.look import healthy_repo, severities
from tests.support.feast_repo import OUR_ENGINE, OUR_ONLINE_STORE, FeastRepo

_URL = "redis://127.0.0.1:1/0"
_STOCK = {"type": "redis", "connection_string": "127.0.0.1:1,db=2"}


def _problems(repo: FeastRepo) -> list[tuple[str, str]]:
    facts = gather_feast_facts(load_repository_config(repo.path))
    findings = check_feast(facts)
    for found in findings:
        assert found.severity is Severity.OK or (found.consequence and found.remedy)
    return [pair for pair in severities(findings) if pair[1] != "ok"]


def test_healthy_settings_have_nothing_to_mend(tmp_path: Path) -> None:
    assert _problems(healthy_repo(tmp_path, _URL)) == []


@pytest.mark.parametrize(
    ("overrides", "problems"),
    [
        ({"registry": "registry.db"}, ["registry-type", "serve-while-materializing"]),
        (
            {"registry": {"path": "registry.db", "serve_features_while_materializing": True}},
            ["registry-type"],
        ),
        ({"offline_store": "duckdb"}, ["offline-store"]),
        ({"batch_engine": "local"}, ["batch-engine"]),
        ({"online_store": _STOCK, "batch_engine": "local"}, ["online-store", "batch-engine"]),
        ({"online_store": {"type": "sqlite"}}, ["online-store", "batch-engine"]),
    ],
)
def test_each_setting_is_judged(
    tmp_path: Path, overrides: dict[str, Any], problems: list[str]
) -> None:
    found = _problems(healthy_repo(tmp_path, _URL, **overrides))
    assert [check for check, _ in found] == problems


def test_engine_without_its_store_is_an_error(tmp_path: Path) -> None:
    repo = healthy_repo(tmp_path, None, batch_engine={"type": OUR_ENGINE})
    assert _problems(repo) == [("online-store", "warning"), ("batch-engine", "error")]


def test_versions_of_views_are_found_where_the_store_cannot_read_them(tmp_path: Path) -> None:
    registry = {
        "registry_type": "sql",
        "path": f"sqlite:///{tmp_path}/registry.sqlite",
        "serve_features_while_materializing": True,
        "enable_online_feature_view_versioning": True,
    }
    can = healthy_repo(tmp_path / "sqlite", None, registry=registry)
    assert "view-versions" not in dict(_problems(can))
    facts = gather_feast_facts(load_repository_config(can.path))
    cannot = check_feast(replace(facts, reads_versions=False))
    assert severities(cannot, "view-versions") == [("view-versions", "warning")]


def test_keys_of_an_older_version_are_an_error(tmp_path: Path) -> None:
    repo = healthy_repo(tmp_path, None)
    facts = gather_feast_facts(load_repository_config(repo.path))
    # Feast itself warns of such a setting as it loads it.
    findings = check_feast(replace(facts, entity_key_version=2))
    assert severities(findings, "entity-key-version") == [("entity-key-version", "error")]


def test_installed_feast_is_in_range_and_another_is_not() -> None:
    assert check_version(installed_feast()).severity is Severity.OK
    for version in ("0.65.1", "0.68.0", "1.0.0"):
        found = check_version(version)
        assert found.severity is Severity.ERROR
        assert version in found.what
        assert "pip install" in found.remedy


@pytest.mark.parametrize(
    ("online_store", "url"),
    [
        ({"type": "sqlite"}, None),
        (_STOCK, "redis://127.0.0.1:1/2"),
        (
            {"type": "redis", "connection_string": "localhost:0,unix_socket_path=/a b/c.sock,db=3"},
            "unix:///a%20b/c.sock?db=3",
        ),
    ],
)
def test_redis_of_stock_settings_is_found(
    tmp_path: Path, online_store: dict[str, Any], url: str | None
) -> None:
    repo = healthy_repo(tmp_path, None, online_store=online_store)
    assert locate_redis(load_repository_config(repo.path), repo.path).url == url


@pytest.mark.parametrize(
    "online_store",
    [
        {**_STOCK, "redis_type": "redis_cluster"},
        {**_STOCK, "connection_string": "one:6379,two:6379"},
    ],
)
def test_stock_redis_of_several_servers_is_no_crash(
    tmp_path: Path, online_store: dict[str, Any]
) -> None:
    repo = healthy_repo(tmp_path, None, online_store=online_store)
    place = locate_redis(load_repository_config(repo.path), repo.path)
    assert place.url is None
    assert isinstance(place.problem, ConfigurationError)


def test_embedded_redis_that_does_not_run_is_told(tmp_path: Path) -> None:
    online = {"type": OUR_ONLINE_STORE, "connection_string": "embedded"}
    repo = healthy_repo(tmp_path / "repo", _URL, online_store=online)
    place = locate_redis(load_repository_config(repo.path), repo.path)
    assert isinstance(place.problem, OnlineStoreUnavailableError)
