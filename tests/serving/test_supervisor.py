from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.listener import bind_socket, start_listening
from serving.settings import GatewaySettings
from serving.supervisor import gateway_folder
from tests.serving import rows
from tests.serving.processes import (
    Running,
    is_alive,
    run_gateway,
    serve_command,
    wait_until,
)
from tests.serving.stack import Stack
from tests.serving.tiny_repo import add_service

pytestmark = pytest.mark.e2e

REQUEST = {"feature_service": "all_types", "entities": {"customer_id": [rows.FRESH]}}


@pytest.fixture
def repo(stack: Stack, tmp_path: Path) -> Path:
    """A copy of the applied repo, to change."""
    return Path(shutil.copytree(stack.repo, tmp_path / "repo"))


def fail(repo: Path, home: Path, *, port: int = 0) -> str:
    """Run a gateway that cannot start; returns what it says."""
    ended = subprocess.run(
        serve_command(repo, home, port=port), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


def send_half(url: str) -> Iterator[bytes]:
    """Begin a request; the first item says that the gateway has it, the second is its answer."""
    body = b'{"feature_service": "all_types", "entities": {"customer_id": [7]}}'
    head = f"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    parts = httpx.URL(url)
    with socket.create_connection((parts.host, parts.port or 80)) as connection:
        connection.sendall(head.encode() + body[:10])
        yield b""
        connection.sendall(body[10:])
        yield connection.makefile("rb").read()


def test_gateway_follows_the_registry_replaces_workers_and_drains(
    repo: Path, tmp_path: Path
) -> None:
    with run_gateway(repo, tmp_path / "home", "--workers", "2") as gateway:
        assert gateway.get("/readyz").json()["project"] == "tiny"
        workers = gateway.children()
        assert len(workers) == 2
        assert_no_secrets(workers)
        check_registry_change(gateway, repo)
        check_replacement(gateway, workers)
        check_drain(gateway)


def assert_no_secrets(pids: list[int]) -> None:
    for pid in pids:
        command = ["ps", "-o", "args=", "-p", str(pid)]
        args = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "serving.worker" in args
        assert "redis://" not in args


def check_registry_change(gateway: Running, repo: Path) -> None:
    def is_served() -> bool:
        assert gateway.post(REQUEST).status_code == 200
        return gateway.post({**REQUEST, "feature_service": "added"}).status_code == 200

    assert not is_served()
    add_service(repo, "added", ["f_int64"])
    wait_until(is_served, "the new service is served")


def check_replacement(gateway: Running, workers: list[int]) -> None:
    subprocess.run(["kill", "-KILL", str(workers[0])], check=True)
    wait_until(lambda: "worker 1 is back" in gateway.log, "the worker is replaced")
    replaced = gateway.children()
    assert len(replaced) == 2
    assert workers[0] not in replaced
    assert gateway.post(REQUEST).status_code == 200


def check_drain(gateway: Running) -> None:
    workers = gateway.children()
    half = send_half(gateway.url)
    next(half)
    # Once another connection's request is answered, the half one has been taken by its worker.
    assert all(gateway.post(REQUEST).status_code == 200 for _ in range(5))
    gateway.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in gateway.log, "the gateway stops")
    assert next(half).startswith(b"HTTP/1.1 200 OK")
    assert gateway.process.wait(timeout=120) == 0
    assert not any(is_alive(pid) for pid in workers)
    with pytest.raises(httpx.TransportError):
        gateway.post(REQUEST)


def test_gateway_starts_from_the_last_good_schema_and_ends_when_interrupted(
    stack: Stack, repo: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    folder = gateway_folder(GatewaySettings(repo, home))
    folder.mkdir(parents=True)
    shutil.copy(stack.schema_path, folder / "tiny.schema.json")
    (repo / "registry.db").unlink()
    with run_gateway(repo, home) as gateway:
        assert "starting from the last good schema" in gateway.log
        assert gateway.post(REQUEST).status_code == 200
        assert gateway.get("/readyz").json()["schema_source"] == "last-good"
        shutil.copy(stack.repo / "registry.db", repo / "registry.db")
        wait_until(lambda: "the registry can be read again" in gateway.log, "the registry is back")
        assert gateway.get("/readyz").json()["schema_source"] == "registry"
        workers = gateway.children()
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(timeout=120) == 0
        assert not any(is_alive(pid) for pid in workers)


def test_busy_port_is_named(repo: Path, tmp_path: Path) -> None:
    with bind_socket("127.0.0.1", 0) as taken:
        start_listening(taken)
        port = taken.getsockname()[1]
        said = fail(repo, tmp_path / "home", port=port)
    assert f"error: port {port} on 127.0.0.1 is taken" in said
    assert "hint: " in said
    assert not (tmp_path / "home").exists()
