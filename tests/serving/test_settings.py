from __future__ import annotations

import dataclasses
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
        ({"limits": Limits(max_receive_s=-1)}, "--max-receive-s is -1"),
        ({"max_in_flight": 0}, "--max-in-flight is 0"),
        ({"writer_timeout_s": 0}, "--writer-timeout-s is 0"),
        ({"compat": "feast"}, "--compat is 'feast'"),
        ({"log_format": "xml"}, "--log-format is 'xml'"),
        ({"access_log": "all"}, "--access-log is 'all'"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        GatewaySettings(repo_path=Path("repo"), home=Path("home"), **wrong)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_a_loopback_address_needs_no_keys(host: str) -> None:
    assert settings_for(host).is_loopback


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.7", "", "gateway.internal", "127.1.evil"],  # noqa: S104 - only said
)
def test_any_other_address_does(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"other machines.*\n\nhint: .*keys create"):
        settings_for(host)
    assert settings_for(host, insecure_no_keys=True).host == host
    assert settings_for(host, api_keys_path="keys.json").host == host


@pytest.mark.parametrize(
    ("options", "needs_key"),
    [
        ({}, False),
        ({"metrics_need_key": True}, False),
        ({"api_keys_path": "keys.json"}, False),
        ({"api_keys_path": "keys.json", "metrics_need_key": True}, True),
        ({"api_keys_path": "keys.json", "host": "10.0.0.7"}, True),
        ({"insecure_no_keys": True, "host": "10.0.0.7"}, False),
    ],
)
def test_metrics_need_a_key_where_others_can_reach_them(
    options: dict[str, Any], needs_key: bool
) -> None:
    assert worker_of(settings_for(**options)).metrics_need_key == needs_key


def test_a_worker_gets_all_that_it_shares_with_the_gateway() -> None:
    changed: dict[str, Any] = {
        "redis_timeout_s": 0.25,
        "drain_s": 4,
        "limits": Limits(max_features=5),
        "writes": False,
        "writer_timeout_s": 6.0,
        "materialize_timeout_s": 8.0,
        "api_keys_path": "keys.json",
        "compat": "strict",
        "max_in_flight": 7,
        "test_mode": True,
        "log_format": "plain",
        "access_log": "full",
    }
    gateway = settings_for(**changed)
    worker = worker_of(gateway)
    for name, setting in changed.items():
        assert getattr(worker, name) == setting
        assert getattr(GatewaySettings(Path("repo"), Path("home")), name) != setting
    shared = {field.name for field in dataclasses.fields(WorkerSettings)} & {
        field.name for field in dataclasses.fields(GatewaySettings)
    }
    assert shared == {*changed, "metrics_need_key"}
    assert (worker.metrics_folder, worker.writer_socket) == ("/m", None)
    assert WorkerSettings.from_json(worker.to_json()) == worker


def settings_for(host: str = "127.0.0.1", **options: Any) -> GatewaySettings:
    return GatewaySettings(repo_path=Path("repo"), home=Path("home"), host=host, **options)


def worker_of(settings: GatewaySettings) -> WorkerSettings:
    return settings.for_worker(
        "worker 1",
        listen_fd=3,
        schema_path="/schema.json",
        redis_url="redis://host",
        schema_poll_s=0.25,
        metrics_folder="/m",
    )
