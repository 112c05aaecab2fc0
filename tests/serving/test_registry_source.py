from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from feast import Entity
from feast.types import ComplexFeastType, Float64, Int64, PrimitiveFeastType
from feast.value_type import ValueType

from evenstore.errors import ConfigurationError
from serving.registry_source import RegistrySource
from tests.serving.stack import Stack
from tests.serving.tiny_repo import add_service
from tests.support.feast_repo import FeastRepo


@pytest.fixture
def repo(stack: Stack, tmp_path: Path) -> Path:
    """A copy of the applied repo, to change."""
    return Path(shutil.copytree(stack.repo, tmp_path / "repo"))


def test_registry_is_compiled_once_per_change(repo: Path) -> None:
    source = RegistrySource(repo)
    first = source.read()
    assert first is not None
    assert source.read() is None
    add_service(repo, "added", ["f_int64"])
    second = source.read()
    assert second is not None
    added = {service.name for service in second.feature_services}
    assert added - {service.name for service in first.feature_services} == {"added"}


def test_registry_under_way_is_not_an_empty_one(repo: Path) -> None:
    source = RegistrySource(repo)
    content = (repo / "registry.db").read_bytes()
    (repo / "registry.db").write_bytes(b"")
    assert source.read() is None
    (repo / "registry.db").write_bytes(content)
    assert source.read() is not None


def test_missing_registry_is_an_error_and_is_not_made(repo: Path) -> None:
    (repo / "registry.db").unlink()
    with pytest.raises(ConfigurationError, match=r"no registry at .*\n\nhint: run `feast apply`"):
        RegistrySource(repo).read()
    assert not (repo / "registry.db").exists()


def test_folder_without_a_feast_repo_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no Feast repo"):
        RegistrySource(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "project: [", "project: no spaces please\n", "online_store: 1"]
)
def test_unusable_configuration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"feature_store\.yaml cannot be used"):
        RegistrySource(tmp_path)


def test_redis_is_that_of_the_online_store(stack: Stack) -> None:
    assert RegistrySource(stack.repo).redis_url() == stack.redis.url


def test_online_store_elsewhere_is_refused(repo: Path) -> None:
    path = repo / "feature_store.yaml"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("online_store")]
    path.write_text("\n".join([*kept, "online_store: {type: sqlite}"]))
    with pytest.raises(ConfigurationError, match="no connection_string"):
        RegistrySource(repo).redis_url()


def test_views_whose_rows_go_by_a_version_are_compiled(tmp_path: Path, redis_url: str) -> None:
    registry = {"path": "registry.db", "enable_online_feature_view_versioning": True}
    versions = FeastRepo(tmp_path / "repo", redis_url=redis_url, overrides={"registry": registry})
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    schema: dict[str, PrimitiveFeastType | ComplexFeastType] = {"driver_id": Int64, "trips": Int64}
    versions.apply(driver, versions.view("stats", [driver], schema))
    first = RegistrySource(versions.path).read()
    assert first is not None
    versions.apply(driver, versions.view("stats", [driver], schema | {"rating": Float64}))

    second = RegistrySource(versions.path).read()
    assert second is not None
    stored = [
        {view.name: view.stored_as for view in each.feature_views} for each in (first, second)
    ]
    assert stored == [
        {"stats": "stats", "stats@v0": "stats"},
        {"stats": "stats_v1", "stats@v0": "stats", "stats@v1": "stats_v1"},
    ]
