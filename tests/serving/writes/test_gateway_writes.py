"""Writes through a whole gateway: what was pushed is found by the next lookup of any worker."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from tests.serving.processes import Running, is_alive, run_gateway, wait_until
from tests.serving.writes.live_repo import EVENT, NOW, frame, write_live_repo
from tests.support.feast_repo import FeastRepo

pytestmark = [pytest.mark.redis, pytest.mark.e2e, pytest.mark.slow]


def test_pushes_are_found_and_a_killed_supervisor_leaves_nobody(
    tmp_path: Path, redis_url: str
) -> None:
    repo = write_live_repo(tmp_path / "repo", redis_url)
    with run_gateway(repo.path, tmp_path / "home") as gateway:
        # Nothing is started for writes before somebody writes.
        assert not writers_of(gateway)
        for trips in range(1, 20):
            event = EVENT.replace(second=trips)
            assert post(gateway, "/push", push(frame(trips, event=event))).status_code == 200
            assert look_up(gateway) == trips
        refused = post(gateway, "/push", {**push(frame(1)), "push_source_name": "nope"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            404,
            "unknown-push-source",
        )
        check_remote_store(repo, gateway)
        family = [*gateway.children(), *writers_of(gateway)]
        assert writers_of(gateway)
        gateway.process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "all processes end")


def check_remote_store(repo: FeastRepo, gateway: Running) -> None:
    """Write as Feast's own clients do that know nothing but the gateway's URL."""
    remote = {"type": "remote", "path": gateway.url}
    folder = repo.path.with_name("remote")
    overrides = {"registry": str(repo.path / "registry.db"), "online_store": remote}
    store = FeastRepo(folder, overrides=overrides | {"batch_engine": {"type": "local"}}).store()
    rows = pd.DataFrame(frame(99)).assign(event_timestamp=EVENT.replace(second=59), created=NOW)
    store.push("live", rows)
    assert look_up(gateway) == 99
    store.materialize_incremental(NOW, ["stats"], run_async=True)


def push(df: dict[str, Any]) -> dict[str, Any]:
    return {"push_source_name": "live", "df": df}


def post(gateway: Running, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(gateway.url + path, json=body, timeout=60)


def look_up(gateway: Running) -> Any:
    answer = gateway.post({"features": ["stats:trips"], "entities": {"driver_id": [1]}})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][1]["values"][0]


def writers_of(gateway: Running) -> list[int]:
    return [pid for pid in gateway.children() if "serving.writes.writer" in command_of(pid)]


def command_of(pid: int) -> str:
    listed = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(listed, capture_output=True, text=True, check=False).stdout
