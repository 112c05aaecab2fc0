"""What is left of a golden run that is interrupted, stopped or killed: nothing, at last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evenstore.clock import SystemClock
from parity.golden_run.run import run_golden_set
from tests.parity.golden_run.conftest import GoldenShop
from tests.parity.golden_run.shop import PROJECT
from tests.support.redis_process import wait_until
from tests.support.scale import full_only

pytestmark = [
    *(full_only, pytest.mark.redis, pytest.mark.slow, pytest.mark.e2e),
    pytest.mark.xdist_group("golden_shop"),
]


@contextmanager
def begun_run(shop: GoldenShop, folders: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command until its rows are in Redis and its gateway is starting."""
    command = [str(Path(sys.executable).parent / "evenstore-parity"), "golden", "run"]
    with subprocess.Popen(
        [*command, "--repo", str(shop.repo), "--golden", str(shop.golden_path)],
        env={**os.environ, "TMPDIR": str(folders)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            # A look costs a process: not as often as `wait_until` would.
            while process.poll() is None and not gateways(folders):
                time.sleep(0.2)
            yield process
        finally:
            process.kill()


def gateways(folders: Path) -> list[str]:
    """Return the command lines of gateways that serve a repo in a folder."""
    listed = subprocess.run(
        ["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
    )
    return [
        line
        for line in listed.stdout.splitlines()
        if "--owner-pid" in line and str(folders) in line
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_run_leaves_nothing_behind(
    golden_shop: GoldenShop, tmp_path: Path, number: signal.Signals
) -> None:
    golden_shop.redis.flushall()
    with begun_run(golden_shop, tmp_path) as process:
        assert golden_shop.redis.hlen(f"evenstore:golden:{PROJECT}") == 1
        process.send_signal(number)
        _, told = process.communicate()
    assert process.returncode == 130
    assert b"interrupted" in told
    assert golden_shop.redis.dbsize() == 0
    assert not list(tmp_path.iterdir())
    assert not gateways(tmp_path)


def test_what_a_killed_run_left_is_removed_by_the_next(
    golden_shop: GoldenShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden_shop.redis.flushall()
    golden_shop.redis.set("somebody", "else")
    with begun_run(golden_shop, tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert golden_shop.redis.hlen(f"evenstore:golden:{PROJECT}") == 1
    assert wait_until(lambda: not gateways(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = run_golden_set(golden_shop.run, SystemClock())
    assert report.violations == []
    assert set(golden_shop.redis.scan_iter()) == {b"somebody"}
    assert not list(tmp_path.iterdir())
