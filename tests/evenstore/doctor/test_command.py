"""`evenstore doctor` as a user runs it, on whole repos."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from evenstore.cli import main
from evenstore.doctor.finding import CHECKS
from evenstore.online.connection import open_redis
from tests.evenstore.doctor.look import DRIVER, SCHEMA, healthy_repo, used_memory_bytes
from tests.evenstore.online.stock import stock_connection
from tests.support.feast_repo import FeastRepo

_DAY = timedelta(days=1)
_DEAD = "redis://127.0.0.1:1/0"


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """The test server with a memory limit, as one in production has."""
    with open_redis(redis_url) as opened:
        opened.config_set("maxmemory", "4gb")
        yield opened
        opened.config_set("maxmemory", "0")
        opened.config_set("maxmemory-policy", "noeviction")


def _run(
    capsys: pytest.CaptureFixture[str], repo: Path, *words: str, code: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Run the command; returns its JSON, and what is not well with the worst of each check."""
    assert main(["doctor", "--repo", str(repo), "--json", *words]) == code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    problems: dict[str, str] = {}
    for found in report["findings"]:
        assert set(found) == {"check", "severity", "what", "consequence", "remedy"}
        assert found["check"] in CHECKS
        if found["severity"] != "ok":
            assert found["consequence"]
            assert found["remedy"]
            problems[found["check"]] = max(
                problems.get(found["check"], "info"),
                found["severity"],
                key=["info", "warning", "error"].index,
            )
    return report, problems


def _applied(repo: FeastRepo) -> FeastRepo:
    repo.apply(DRIVER, repo.view("stats", [DRIVER], SCHEMA, ttl=_DAY))
    return repo


@pytest.mark.slow
def test_healthy_repo_passes_strictly_and_each_planted_fault_is_found(
    tmp_path: Path, redis_url: str, client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = _applied(healthy_repo(tmp_path, redis_url))
    _, problems = _run(capsys, repo.path, "--strict", code=1)
    assert problems == {"watermark": "warning"}

    repo.store().materialize(datetime.now(tz=UTC) - _DAY, datetime.now(tz=UTC))
    capsys.readouterr()
    keys = {key: client.dump(key) for key in client.scan_iter("*")}
    report, problems = _run(capsys, repo.path, "--strict", code=0)
    assert problems == {}
    assert report["verdict"] == "ok"
    (forecast,) = report["forecasts"]
    assert (forecast["view"], forecast["n_entities"]) == ("stats", 30)
    assert forecast["is_loaded"]
    assert {key: client.dump(key) for key in client.scan_iter("*")} == keys
    assert main(["doctor", "--repo", str(repo.path), "--strict"]) == 0
    assert "0 errors and 0 warnings" in capsys.readouterr().out

    client.config_set("maxmemory-policy", "allkeys-lru")
    _, problems = _run(capsys, repo.path, code=1)
    assert problems == {"redis-eviction": "error"}
    client.config_set("maxmemory-policy", "noeviction")

    client.flushall()
    _, problems = _run(capsys, repo.path, code=0)
    assert problems == {"watermark": "warning"}


@pytest.mark.slow
def test_load_that_does_not_fit_is_an_error(
    tmp_path: Path, redis_url: str, client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = _applied(healthy_repo(tmp_path, redis_url))
    client.config_set("maxmemory", str(used_memory_bytes(client) + 1_500))
    report, problems = _run(capsys, repo.path, code=1)
    assert problems["memory-forecast"] == "error"
    assert problems["redis-headroom"] == "error"
    assert report["headroom_bytes"] < 100_000
    _, problems = _run(capsys, repo.path, "--count-seconds", "0", code=1)
    assert problems["memory-forecast"] == "info"


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_repo_of_stock_feast_is_examined(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    online = {"type": "redis", "connection_string": stock_connection(redis_url)}
    stock = {"online_store": online, "registry": "registry.db", "batch_engine": "local"}
    repo = _applied(healthy_repo(tmp_path, None, offline_store="file", **stock))
    _, problems = _run(capsys, repo.path, code=0)
    assert problems == {
        "registry-type": "warning",
        "serve-while-materializing": "warning",
        "offline-store": "warning",
        "online-store": "warning",
        "batch-engine": "warning",
        "watermark": "warning",
    }
    repo.store().materialize(datetime.now(tz=UTC) - _DAY, datetime.now(tz=UTC))
    capsys.readouterr()
    report, problems = _run(capsys, repo.path, code=0)
    assert "watermark" not in problems
    assert [forecast["n_entities"] for forecast in report["forecasts"]] == [30]


def test_repo_without_any_redis_is_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = _applied(healthy_repo(tmp_path, None, registry="registry.db"))
    _, problems = _run(capsys, repo.path, code=0)
    assert problems["redis-reachable"] == "info"
    assert problems["online-store"] == "warning"
    cluster = {"type": "redis", "redis_type": "redis_cluster", "connection_string": "db:6379"}
    repo = healthy_repo(tmp_path, None, registry="registry.db", online_store=cluster)
    _, problems = _run(capsys, repo.path, code=0)
    assert problems["redis-topology"] == "warning"


def test_redis_that_is_down_is_an_error_and_the_rest_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _applied(healthy_repo(tmp_path, None, registry="registry.db"))
    repo = healthy_repo(tmp_path, _DEAD, registry="registry.db")
    report, problems = _run(capsys, repo.path, code=1)
    assert problems["redis-reachable"] == "error"
    assert "view-source" in {found["check"] for found in report["findings"]}


def test_repo_that_was_never_applied_is_an_error_and_redis_is_looked_at(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = healthy_repo(tmp_path, redis_url, registry={"path": "registry.db"})
    report, problems = _run(capsys, repo.path, code=1)
    assert problems["feast-registry"] == "error"
    assert "redis-version" in {found["check"] for found in report["findings"]}
    assert not (repo.path / "registry.db").exists()


def test_registry_without_views_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = healthy_repo(tmp_path, None, registry="registry.db")
    repo.apply(DRIVER)
    _, problems = _run(capsys, repo.path, code=0)
    assert problems["feast-registry"] == "warning"


def test_folder_without_repo_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, problems = _run(capsys, tmp_path, code=1)
    assert problems == {"feast-config": "error"}


def test_registry_that_does_not_answer_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = {"registry_type": "sql", "path": f"sqlite:///{tmp_path}/no/such/registry.sqlite"}
    repo = healthy_repo(tmp_path, None, registry=registry)
    _, problems = _run(capsys, repo.path, code=1)
    assert problems["feast-registry"] == "error"


def test_user_without_config_and_scan_is_told_what_to_allow(
    tmp_path: Path, client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = ("reset", "on", ">secret", "~*", "+@all", "-config", "-scan")
    client.execute_command("ACL", "SETUSER", "reader", *rules)
    try:
        path = client.connection_pool.connection_kwargs["path"]
        url = f"unix://reader:secret@{path}"
        repo = _applied(healthy_repo(tmp_path, url, registry="registry.db"))
        report, problems = _run(capsys, repo.path, code=0)
    finally:
        client.execute_command("ACL", "DELUSER", "reader")
    assert problems["redis-access"] == "info"
    assert problems["memory-forecast"] == "info"
    assert "secret" not in json.dumps(report)
    remedies = " ".join(found["remedy"] for found in report["findings"])
    assert "+config|get" in remedies
    assert "+scan" in remedies


@pytest.mark.parametrize(("mode", "severity"), [("1", "warning"), ("", "error")])
def test_clock_that_stands_still_is_found(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    severity: str,
) -> None:
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", "2026-01-01T00:00:00Z")
    monkeypatch.setenv("EVENSTORE_TEST_MODE", mode)
    _, problems = _run(capsys, tmp_path, code=1)
    assert problems == {"frozen-clock": severity, "feast-config": "error"}


def test_every_check_has_a_section_in_the_reference() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "doctor.md"
    _, text = page.read_text(encoding="utf-8").split("\n## Checks\n")
    rows = re.findall(r"^\| `([a-z-]+)` \|(.+)\|$", text, re.MULTILINE)
    assert tuple(check for check, _ in rows) == CHECKS
    for check, cells in rows:
        columns = [cell.strip() for cell in cells.split(" | ")]
        assert len(columns) == 3, check
        assert all(columns), check
