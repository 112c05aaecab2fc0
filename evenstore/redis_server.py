"""The embedded Redis: a real redis-server that belongs to one home folder.

It listens on a private unix socket only, keeps its data in `<home>/redis`, and ends with the
process that started it, however that process ends, unless it was started detached. A server named
by `EVENSTORE_REDIS_URL` is used instead; it is never started, stopped or flushed from here.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from evenstore.errors import ConfigurationError, OnlineStoreError, OnlineStoreUnavailableError
from evenstore.processes import deferred_signals, process_start, spawn
from evenstore.redis_binary import find_redis_server
from evenstore.redis_state import (
    SOCKET_NAME,
    RedisRecord,
    discard,
    has_state,
    is_listening,
    live_record,
    write_record,
)
from evenstore.redis_url import CONNECTION_HINT, parse_connection, redact_url

if TYPE_CHECKING:
    from redis import Redis

__all__ = [
    "RedisServer",
    "default_home",
    "embedded_redis",
    "resolve_connection",
    "running_redis",
    "start_redis",
    "stop_redis",
]

_URL_VARIABLE = "EVENSTORE_REDIS_URL"
# The kernel's limit is 104 bytes on macOS and 108 on Linux, the closing zero byte included.
_SOCKET_PATH_BYTES = 100
_LOG_NAME = "redis.log"
_PING_S = 2.0
_ANSWER_S = 10.0
_LOADING_S = 600.0
_EXIT_S = 5.0
_POLL_S = 0.02
_OWNER_POLL_S = 1.0
_TAIL_LINES = 8


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A Redis and where it came from; plain data, it holds no connection."""

    url: str = field(repr=False)
    """`redis://`, `rediss://` or `unix://`; it may hold a password, see `redact_url`."""
    pid: int | None
    """None for a server named by `EVENSTORE_REDIS_URL`."""
    is_external: bool
    """Named by `EVENSTORE_REDIS_URL`."""
    was_running: bool
    """Found alive, not started by this call."""


def default_home(repo_path: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Return `$EVENSTORE_HOME`, else `.evenstore` beside the feature repo; creates nothing."""
    named = _variables(environ).get("EVENSTORE_HOME")
    return (
        Path(named).expanduser().resolve() if named else repo_path.resolve().parent / ".evenstore"
    )


def start_redis(
    home: Path, *, environ: Mapping[str, str] | None = None, detached: bool = False
) -> RedisServer:
    """Return a Redis that answers: the external one, the one of this home, or a new one.

    Args:
        home: Its folder `redis` holds the data, log, state file and, if short enough, the socket.
        environ: Where PATH and `EVENSTORE_REDIS_URL` are looked up.
        detached: Leave a new server up when this process ends. A server found alive keeps the
            lifetime that its starter gave it.

    Guarantees:
        Starts of one home at the same time, in any number of processes, give one server. A failed
        or interrupted start leaves no process and no state file.

    Raises:
        ConfigurationError: No server program, or the home cannot be used.
        OnlineStoreUnavailableError: The server does not answer; with the last lines of its log.
    """
    if external := _external_server(environ):
        _require_answer(external)
        return external
    with _locked_folder(home) as folder:
        if record := live_record(folder):
            _await_ready(folder, record)
            return _as_server(record, was_running=True)
        record = _launch(folder, find_redis_server(environ), detached=detached)
        return _as_server(record, was_running=False)


def running_redis(home: Path, environ: Mapping[str, str] | None = None) -> RedisServer | None:
    """Return the Redis that `start_redis` would find, without starting one.

    Removes the state of a server that has ended, and waits for a start under way elsewhere.

    Raises:
        OnlineStoreUnavailableError: The server named by `EVENSTORE_REDIS_URL` does not answer.
    """
    if external := _external_server(environ):
        _require_answer(external)
        return external
    return _embedded_server(home)


def stop_redis(home: Path) -> bool:
    """Stop the embedded server of a home, whoever started it; tell whether there was one.

    Raises:
        OnlineStoreError: The process outlived even SIGKILL.
    """
    return _stop(home, only_pid=None)


@contextmanager
def embedded_redis(
    home: Path, *, environ: Mapping[str, str] | None = None
) -> Iterator[RedisServer]:
    """Run the block with a Redis that answers, and stop at its end only what was started here.

    Raises:
        EvenstoreError: As `start_redis` and `stop_redis`.
    """
    server = start_redis(home, environ=environ)
    try:
        yield server
    finally:
        if not server.was_running:
            _stop(home, only_pid=server.pid)


def resolve_connection(
    connection_string: str, repo_path: Path, environ: Mapping[str, str] | None = None
) -> str:
    """Turn a `connection_string` of feature_store.yaml into a URL, without connecting to it.

    Args:
        connection_string: `embedded`, a URL (returned as it is), or Feast's form
            `host:port,db=0,username=...,password=...,ssl=true`.
        repo_path: The feature repo, which decides the home of `embedded`.
        environ: Where the `EVENSTORE_` variables are looked up.

    Raises:
        ConfigurationError: None of these forms.
        OnlineStoreUnavailableError: `embedded`, and no server runs.
    """
    if connection_string != "embedded":
        return parse_connection(connection_string, where="connection_string")
    home = default_home(repo_path, environ)
    if server := _external_server(environ) or _embedded_server(home):
        return server.url
    msg = f"no embedded Redis runs for `{home}`"
    hint = f"start it: `evenstore redis start`, or set {_URL_VARIABLE}"
    raise OnlineStoreUnavailableError(msg, hint=hint)


def _variables(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _as_server(record: RedisRecord, *, was_running: bool) -> RedisServer:
    return RedisServer(record.url, record.pid, is_external=False, was_running=was_running)


def _external_server(environ: Mapping[str, str] | None) -> RedisServer | None:
    named = _variables(environ).get(_URL_VARIABLE)
    if not named:
        return None
    url = parse_connection(named, where=f"`{_URL_VARIABLE}`")
    return RedisServer(url, None, is_external=True, was_running=True)


def _embedded_server(home: Path) -> RedisServer | None:
    if not has_state(home):
        return None
    with _locked_folder(home) as folder:
        record = live_record(folder)
        return None if record is None else _as_server(record, was_running=True)


def _require_answer(server: RedisServer) -> None:
    from redis.exceptions import RedisError

    try:
        _ping(server.url)
    except RedisError as exc:
        msg = f"no Redis answers at {redact_url(server.url)}: {exc}"
        hint = f"start that server, correct `{_URL_VARIABLE}`, or unset it for an embedded one"
        raise OnlineStoreUnavailableError(msg, hint=hint) from exc
    except (TypeError, ValueError):
        # Not chained: the URL parser quotes what it could not read, which may be a password.
        msg = f"`{_URL_VARIABLE}` cannot be used: {redact_url(server.url)}"
        raise ConfigurationError(msg, hint=CONNECTION_HINT) from None


def _open_client(url: str) -> Redis:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # By default redis-py tries three more times with growing pauses; the callers here poll.
    once = Retry(NoBackoff(), retries=0)
    return Redis.from_url(url, socket_connect_timeout=_PING_S, socket_timeout=_PING_S, retry=once)


def _ping(url: str) -> None:
    with _open_client(url) as client:
        client.ping()


@contextmanager
def _locked_folder(home: Path) -> Iterator[Path]:
    """Yield `<home>/redis`; at most one process at a time starts, stops or cleans up there."""
    folder = home.resolve() / "redis"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = (folder / "lock").open("ab")
    except OSError as exc:
        msg = f"cannot use `{folder}`: {exc.strerror}"
        hint = "set `EVENSTORE_HOME` to a folder you can write to"
        raise ConfigurationError(msg, hint=hint) from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _launch(folder: Path, binary: Path, *, detached: bool) -> RedisRecord:
    socket_path = _choose_socket(folder)
    url = "unix://" + quote(str(socket_path))
    record = None
    try:
        with deferred_signals():
            pid = spawn(_server_command(binary, folder, socket_path), log=folder / _LOG_NAME)
            started = process_start(pid) or "ended at once"
            record = RedisRecord(url, pid, started, str(binary), str(socket_path.parent))
            write_record(folder, record)
            if not detached:
                spawn(_watchdog_command(folder, record), log=folder / _LOG_NAME)
        _await_ready(folder, record)
    except BaseException:
        if record is not None:
            _end_process(record)
            discard(folder, record)
        raise
    return record


def _choose_socket(folder: Path) -> Path:
    """Return a socket path that the kernel takes: in the home, else in a new private folder."""
    socket_path = folder / SOCKET_NAME
    if _is_bindable(socket_path):
        if is_listening(socket_path):
            # Two servers that append to one file would ruin it.
            msg = f"a Redis that no state file knows of answers at `{socket_path}`"
            hint = f"stop it: `redis-cli -s {socket_path} shutdown`"
            raise OnlineStoreUnavailableError(msg, hint=hint)
        return socket_path
    socket_path = Path(tempfile.mkdtemp(prefix="evenstore-"), SOCKET_NAME)
    if not _is_bindable(socket_path):
        socket_path.parent.rmdir()
        msg = f"too long for the path of a unix socket: `{folder}`, and `{socket_path.parent}` too"
        raise ConfigurationError(msg, hint="set `EVENSTORE_HOME` or `TMPDIR` to a shorter path")
    return socket_path


def _is_bindable(socket_path: Path) -> bool:
    return len(os.fsencode(socket_path)) <= _SOCKET_PATH_BYTES


def _server_command(binary: Path, folder: Path, socket_path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "protected-mode": "yes",
        "dir": str(folder),
        "logfile": str(folder / _LOG_NAME),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
    }
    return [
        str(binary),
        *(text for name, value in options.items() for text in (f"--{name}", value)),
    ]


def _watchdog_command(folder: Path, record: RedisRecord) -> list[str]:
    owner = os.getpid()
    arguments = [str(folder), str(record.pid), str(owner), process_start(owner) or ""]
    return [sys.executable, "-P", "-m", "evenstore.redis_server", *arguments]


def _await_ready(folder: Path, record: RedisRecord) -> None:
    """Return when PING answers; a server that says it is loading its file gets more time."""
    from redis.exceptions import BusyLoadingError, RedisError

    begin_s = time.monotonic()
    limit_s = _ANSWER_S
    while record.is_alive() and time.monotonic() - begin_s < limit_s:
        try:
            _ping(record.url)
        except BusyLoadingError:
            limit_s = _LOADING_S
        except RedisError:
            limit_s = _ANSWER_S
        else:
            return
        time.sleep(_POLL_S)
    log = folder / _LOG_NAME
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    what = "does not answer" if record.is_alive() else "ended at its start"
    msg = "\n  ".join([f"`{record.binary}` {what}; its log ends with:", *lines[-_TAIL_LINES:]])
    raise OnlineStoreUnavailableError(msg, hint=f"the whole log is `{log}`")


def _stop(home: Path, *, only_pid: int | None) -> bool:
    if not has_state(home):
        return False
    with _locked_folder(home) as folder:
        record = live_record(folder)
        if record is None or only_pid not in (None, record.pid):
            return False
        _end_process(record)
        discard(folder, record)
        return True


def _end_process(record: RedisRecord) -> None:
    """Ask for SHUTDOWN, then signal; each step only while the pid is still this server's."""
    for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
        if not record.is_alive():
            return
        if signal_number is None:
            _request_shutdown(record.url)
        else:
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal_number)
        deadline_s = time.monotonic() + _EXIT_S
        while record.is_alive() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    if record.is_alive():
        msg = f"redis-server, process {record.pid}, does not end"
        raise OnlineStoreError(msg, hint=f"end it by hand: `kill -9 {record.pid}`")


def _request_shutdown(url: str) -> None:
    from redis.exceptions import RedisError

    # Nothing is lost without a snapshot: SHUTDOWN flushes the append-only file.
    with suppress(RedisError), _open_client(url) as client:
        client.shutdown(nosave=True)


def _watch(folder: str, server_pid: str, owner_pid: str, owner_start: str) -> None:
    """Stop a server when its owner has ended; runs as a process of its own.

    The owner is polled, because a pipe from it would stay open in each process that it forked.
    """
    home = Path(folder).parent
    while process_start(int(owner_pid)) == owner_start:
        if process_start(int(server_pid)) is None:
            return
        time.sleep(_OWNER_POLL_S)
    _stop(home, only_pid=int(server_pid))


if __name__ == "__main__":
    _watch(*sys.argv[1:])
