from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from redis import Redis

from evenstore.online.connection import open_redis
from parity.golden_run.world import Owner, WorldKeys, open_folder, remove_dead_folders

PROJECT = "shop"
KEYS = [f"key {i}".encode() for i in range(2_500)]
OTHERS = "key of somebody else"

KILLED = """\
import os, signal, sys, tempfile
from evenstore.online.connection import execute, open_redis
from parity.golden_run.world import WorldKeys, open_folder
tempfile.tempdir = sys.argv[2]
keys = [f"key {i}".encode() for i in range(2_500)]
client = open_redis(sys.argv[1])
world = WorldKeys(client, "shop")
with open_folder() as folder, world.hold("dead", keys):
    execute(client, [(b"SET", key, b"row") for key in keys])
    execute(client, [(b"HSET", f"evenstore:watermarks:{world.project_of('dead')}", "v", "w")])
    world.keep("dead", keys)
    os.kill(os.getpid(), getattr(signal, sys.argv[3]))
    signal.pause()
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def end_by(signal_name: str, redis_url: str, folders: Path) -> int:
    command = [sys.executable, "-c", KILLED, redis_url, str(folders), signal_name]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def stored(redis_url: str) -> set[bytes]:
    with Redis.from_url(redis_url) as client:
        return set(client.scan_iter())


def test_a_killed_run_is_found_and_removed_and_nothing_else_is(
    redis_url: str, folders: Path
) -> None:
    with open_redis(redis_url) as client:
        client.set(OTHERS, "mine")
        assert end_by("SIGKILL", redis_url, folders) == -signal.SIGKILL
        assert len(list(folders.iterdir())) == 1
        # Where no run follows, they expire by themselves; a record alone holds nothing.
        lives = {key: client.ttl(key) for key in stored(redis_url)}
        assert len(lives) > len(KEYS)
        lasting = {key for key, life_s in lives.items() if life_s == -1}
        assert lasting == {OTHERS.encode(), f"evenstore:golden:{PROJECT}".encode()}

        assert WorldKeys(client, "another").remove_dead_runs() == 0
        assert WorldKeys(client, PROJECT).remove_dead_runs() == 1
        assert remove_dead_folders() == 1
    assert stored(redis_url) == {OTHERS.encode()}
    assert not list(folders.iterdir())


def test_an_interrupted_run_removes_its_own(redis_url: str, folders: Path) -> None:
    assert end_by("SIGINT", redis_url, folders) not in {0, -signal.SIGKILL}
    assert stored(redis_url) == set()
    assert not list(folders.iterdir())


@pytest.mark.usefixtures("folders")
def test_a_run_that_goes_on_is_left_alone(redis_url: str) -> None:
    with open_redis(redis_url) as client:
        keys = WorldKeys(client, PROJECT)
        with open_folder() as folder, keys.hold("mine", KEYS[:3]):
            client.set(KEYS[0], "row")
            assert keys.remove_dead_runs() == 0
            assert remove_dead_folders() == 0
            assert folder.is_dir()
            assert client.get(KEYS[0]) == b"row"
    assert stored(redis_url) == set()


def test_a_run_of_another_machine_is_over_when_its_lease_is(redis_url: str) -> None:
    owner = json.dumps({"host": "elsewhere", "pid": 1, "started": "then"})
    with open_redis(redis_url) as client:
        keys = WorldKeys(client, PROJECT)
        client.hset(f"evenstore:golden:{PROJECT}", "far", owner)
        client.set(f"evenstore:golden:{PROJECT}:far:alive", "1")
        assert keys.remove_dead_runs() == 0
        client.delete(f"evenstore:golden:{PROJECT}:far:alive")
        assert keys.remove_dead_runs() == 1
    assert stored(redis_url) == set()


def test_a_folder_of_another_program_is_left_alone(folders: Path) -> None:
    (folders / "evenstore-golden-mine").mkdir()
    strange = folders / "evenstore-golden-strange"
    strange.mkdir()
    (strange / "owner.json").write_text('{"host": 1}')
    assert remove_dead_folders() == 0
    assert len(list(folders.iterdir())) == 2


def test_this_process_is_alive() -> None:
    owner = Owner.of_this_process()
    assert owner.is_here
    assert owner.is_alive
    assert not Owner(owner.host, owner.pid, "another start").is_alive
