from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from evenstore.compute.lock import LockSettings, hold_view
from evenstore.errors import MaterializationError
from evenstore.online.connection import open_redis

_KEY = "evenstore:run:stats:p"
_LIMIT_S = 60.0
_SHORT = LockSettings(timeout_s=_LIMIT_S, lease_s=1.0)
_HOLD = """
import sys, time
from evenstore.compute.lock import LockSettings, hold_view
from evenstore.online.connection import open_redis
with open_redis(sys.argv[1]) as client, hold_view(client, "p", "stats", LockSettings(lease_s=3.0)):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def _left_ms(client: Redis) -> int:
    left: object = client.pttl(_KEY)
    assert isinstance(left, int)
    return left


def _hold_and_release(client: Redis, entered: threading.Event, leave: threading.Event) -> None:
    with hold_view(client, "p", "stats", _SHORT):
        entered.set()
        assert leave.wait(_LIMIT_S)


def test_second_run_of_a_view_waits_and_says_so(client: Redis) -> None:
    entered, leave = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold_and_release, args=(client, entered, leave))
    holder.start()
    assert entered.wait(_LIMIT_S)
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        leave.set()

    with hold_view(client, "p", "stats", _SHORT, tell=tell):
        assert leave.is_set()
    holder.join()

    assert len(said) == 1
    assert said[0].startswith("stats: waits for another run of this view (process ")
    assert client.exists(_KEY) == 0


def test_runs_of_other_views_and_projects_do_not_wait(client: Redis) -> None:
    with (
        hold_view(client, "p", "stats", LockSettings(timeout_s=0)),
        hold_view(client, "p", "other", LockSettings(timeout_s=0)),
        hold_view(client, "q", "stats", LockSettings(timeout_s=0)),
    ):
        assert client.exists(_KEY) == 1


def test_wait_has_an_end(client: Redis) -> None:
    with (
        hold_view(client, "p", "stats", _SHORT),
        pytest.raises(MaterializationError, match=r"stats: another run .* \(process ") as error,
        hold_view(client, "p", "stats", LockSettings(timeout_s=0)),
    ):
        pass

    assert error.value.hint is not None
    assert "lock_timeout_s" in error.value.hint


def test_lease_is_renewed_while_a_run_goes_on(client: Redis) -> None:
    with hold_view(client, "p", "stats", LockSettings(lease_s=3.0)):
        before_ms = left_ms = _left_ms(client)
        deadline_s = time.monotonic() + _LIMIT_S
        while 0 < left_ms <= before_ms:  # It falls until it is renewed.
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
            before_ms, left_ms = left_ms, _left_ms(client)
        assert left_ms > 0, "it ran out meanwhile"


def test_lock_of_a_failed_run_is_free(client: Redis) -> None:
    with pytest.raises(ZeroDivisionError), hold_view(client, "p", "stats", _SHORT):
        _ = 1 // 0

    assert client.exists(_KEY) == 0


def test_killed_run_blocks_the_next_one_for_a_lease_at_most(redis_url: str, client: Redis) -> None:
    killed = subprocess.Popen([sys.executable, "-c", _HOLD, redis_url], stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"held\n"
    killed.kill()
    killed.wait()
    killed.stdout.close()
    left_ms = _left_ms(client)

    with hold_view(client, "p", "stats", _SHORT):
        pass

    assert 0 < left_ms <= 3000


def test_lock_that_was_emptied_is_taken_again(client: Redis) -> None:
    with hold_view(client, "p", "stats", _SHORT):
        client.flushall()
        deadline_s = time.monotonic() + _LIMIT_S
        while not client.exists(_KEY):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)

    assert client.exists(_KEY) == 0


def test_run_that_lost_its_lease_goes_on_and_leaves_the_other_one_its_lock(client: Redis) -> None:
    told = threading.Event()
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        told.set()

    with hold_view(client, "p", "stats", _SHORT, tell=tell):
        client.set(_KEY, "process 1 on elsewhere/0")
        assert told.wait(_LIMIT_S)

    assert said == ["stats: another run has begun: both go on\n"]
    assert client.get(_KEY) == b"process 1 on elsewhere/0"


def test_unreachable_redis_is_an_error_of_the_run() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nowhere,
        pytest.raises(MaterializationError, match="stats: Redis cannot be reached"),
        hold_view(nowhere, "p", "stats"),
    ):
        pass
