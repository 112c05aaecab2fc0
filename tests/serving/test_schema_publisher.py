from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from evenstore.clock import FrozenClock, format_us
from evenstore.errors import ConfigurationError
from evenstore.schema.document import read_document
from serving.registry_source import RegistrySource
from serving.schema_publisher import SchemaPublisher
from serving.schema_status import SchemaStatus, read_schema_status
from serving.warm_start import find_warm_start
from tests.serving.stack import Stack
from tests.serving.tiny_repo import add_service

_THEN = 1_767_323_045_000_000


@pytest.fixture
def repo(stack: Stack, tmp_path: Path) -> Path:
    """A copy of the applied repo, to change."""
    return Path(shutil.copytree(stack.repo, tmp_path / "repo"))


def open_publisher(repo: Path, folder: Path, now_us: int = _THEN) -> SchemaPublisher:
    folder.mkdir(exist_ok=True)
    return SchemaPublisher("tiny", folder, FrozenClock(now_us), lambda: RegistrySource(repo))


def status_of(publisher: SchemaPublisher) -> SchemaStatus:
    status = read_schema_status(publisher.status_path)
    assert status is not None
    return status


async def next_status(publisher: SchemaPublisher, source: str) -> SchemaStatus:
    for _ in range(1_000):
        if status_of(publisher).schema_source == source:
            break
        await asyncio.sleep(0.02)
    return status_of(publisher)


def test_status_says_when_the_registry_was_compiled(repo: Path, tmp_path: Path) -> None:
    publisher = open_publisher(repo, tmp_path / "home")
    asyncio.run(publisher.publish_first())
    status = status_of(publisher)
    assert (status.schema_source, status.problem) == ("registry", None)
    assert status.compiled_at == format_us(_THEN)


def test_registry_that_is_away_and_comes_back_shows(repo: Path, tmp_path: Path) -> None:
    asyncio.run(open_publisher(repo, tmp_path / "home").publish_first())
    registry = repo / "registry.db"
    registry.rename(repo / "away.db")

    async def lose_and_find() -> list[SchemaStatus]:
        publisher = open_publisher(repo, tmp_path / "home", _THEN + 1_000_000)
        await publisher.publish_first()
        seen = [status_of(publisher)]
        (repo / "away.db").rename(registry)
        following = asyncio.create_task(publisher.follow(poll_s=0.01))
        seen.append(await next_status(publisher, "registry"))
        registry.unlink()
        seen.append(await next_status(publisher, "last-good"))
        following.cancel()
        return seen

    down, back, lost = asyncio.run(lose_and_find())
    assert (down.schema_source, down.compiled_at) == ("last-good", format_us(_THEN))
    assert "no registry at" in str(down.problem)
    assert (back.compiled_at, back.problem) == (format_us(_THEN + 1_000_000), None)
    assert lost.compiled_at == back.compiled_at
    assert lost.registry_fingerprint == down.registry_fingerprint


def test_without_any_schema_there_is_no_start(repo: Path, tmp_path: Path) -> None:
    (repo / "registry.db").unlink()
    with pytest.raises(
        ConfigurationError, match="the registry cannot be used: there is no registry"
    ):
        asyncio.run(open_publisher(repo, tmp_path / "home").publish_first())


def test_status_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_schema_status(tmp_path / "none.json") is None
    (tmp_path / "cut.json").write_text('{"schema_source"')
    assert read_schema_status(tmp_path / "cut.json") is None


def test_unchanged_repo_is_served_from_what_was_compiled(
    stack: Stack, repo: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert find_warm_start(repo, home) is None
    asyncio.run(open_publisher(repo, home).publish_first())
    found = find_warm_start(repo, home)
    assert found is not None
    assert (found.project, found.redis_url) == ("tiny", stack.redis.url)
    publisher = open_publisher(repo, home, _THEN + 1)
    publisher.adopt(found.schema, found.registry.is_unchanged)
    assert status_of(publisher).compiled_at == format_us(_THEN)


@pytest.mark.parametrize("is_lost", [False, True])
def test_registry_of_an_adopted_schema_is_not_opened_before_it_changes(
    repo: Path, tmp_path: Path, *, is_lost: bool
) -> None:
    home = tmp_path / "home"
    asyncio.run(open_publisher(repo, home).publish_first())
    found = find_warm_start(repo, home)
    assert found is not None
    opened = []

    def open_source() -> RegistrySource:
        opened.append(repo)
        return RegistrySource(repo)

    publisher = SchemaPublisher("tiny", home, FrozenClock(_THEN), open_source)
    publisher.adopt(found.schema, found.registry.is_unchanged)

    async def look_twice() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await publisher.follow(poll_s=0.001)

    asyncio.run(look_twice())
    assert opened == [], "Feast need not be imported"
    if is_lost:
        (repo / "registry.db").unlink()
    else:
        add_service(repo, "added", ["f_int64"])

    async def look() -> None:
        assert (await publisher._compile() is None) is not is_lost

    asyncio.run(look())
    assert opened == [repo]
    names = {service.name for service in read_document(publisher.document).feature_services}
    assert ("added" in names) is not is_lost


def change_registry(repo: Path, _home: Path) -> None:
    add_service(repo, "added", ["f_int64"])


def change_configuration(repo: Path, _home: Path) -> None:
    path = repo / "feature_store.yaml"
    path.write_text(path.read_text() + "\n# another\n")


def change_document(_repo: Path, home: Path) -> None:
    path = home / "tiny.schema.json"
    path.write_text(path.read_text()[:-2])


def change_software(_repo: Path, home: Path) -> None:
    path = home / "tiny.origin.json"
    path.write_text(path.read_text().replace("evenstore ", "evenstore 0."))


def lose_registry(repo: Path, _home: Path) -> None:
    (repo / "registry.db").unlink()


@pytest.mark.parametrize(
    "change",
    [change_registry, change_configuration, change_document, change_software, lose_registry],
)
def test_whatever_changed_is_compiled_anew(repo: Path, tmp_path: Path, change: object) -> None:
    home = tmp_path / "home"
    asyncio.run(open_publisher(repo, home).publish_first())
    assert find_warm_start(repo, home) is not None
    assert callable(change)
    change(repo, home)
    assert find_warm_start(repo, home) is None


def test_configuration_named_elsewhere_is_left_to_feast(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(open_publisher(repo, tmp_path / "home").publish_first())
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(repo / "feature_store.yaml"))
    assert find_warm_start(repo, tmp_path / "home") is None
