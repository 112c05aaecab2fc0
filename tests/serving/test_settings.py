from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evenstore.errors import ConfigurationError
from serving.settings import GatewaySettings, Limits, WorkerSettings


def test_worker_settings_survive_the_pipe() -> None:
    settings = WorkerSettings(
        name="worker 2",
        listen_fd=3,
        schema_path="/home/schema.json",
        redis_url="redis://:p%40ss@host:6379/0",
        redis_timeout_s=0.5,
        max_redis_connections=4,
        schema_poll_s=0.25,
        drain_s=7,
        limits=Limits(max_features=5),
    )
    line = settings.to_json()
    assert "\n" not in line
    assert WorkerSettings.from_json(line.encode() + b"\n") == settings


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"limits": {}}', b"\xff"])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ConfigurationError, match="evenstore-serve"):
        WorkerSettings.from_json(line)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"port": 70_000}, "not a port: 70000"),
        ({"port": -1}, "not a port: -1"),
        ({"n_workers": 0}, "--workers is 0"),
        ({"registry_poll_s": 0.0}, "--registry-poll-s is 0.0"),
        ({"redis_timeout_s": float("nan")}, "--redis-timeout-s is nan"),
        ({"limits": Limits(max_values=0)}, "--max-values is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        GatewaySettings(repo_path=Path("repo"), home=Path("home"), **wrong)
