"""The place in which one golden run happens: a folder of its own, and keys of its own in Redis.

What a run leaves behind when it is killed is found by the next one: folders by the process that
their name and content state, keys by a record that is written before the first of them. Keys also
expire by themselves, so that nothing stays where no run follows.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from evenstore.online.connection import execute
from evenstore.online.loads import loads_key
from evenstore.online.row_schemas import schemas_key
from evenstore.processes import deferred_signals, process_start

__all__ = ["Owner", "WorldKeys", "open_folder", "remove_dead_folders"]

_FOLDER_PREFIX = "evenstore-golden-"
_OWNER_FILE = "owner.json"
_KEYS_PER_COMMAND = 1_000
_KEY_LIFE_S = 3_600
# A run on another machine is over when it has not said for this long that it is not; it says so
# after each step, and the first one waits for the sources to be copied.
_LEASE_S = 3_600


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that a run belongs to, told from a later one with its pid."""

    host: str
    pid: int
    started: str

    @classmethod
    def of_this_process(cls) -> Owner:
        """Return this process."""
        return cls(socket.gethostname(), os.getpid(), process_start(os.getpid()) or "")

    @property
    def is_here(self) -> bool:
        """Tell whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def is_alive(self) -> bool:
        """Tell whether the process runs; only where it is of this machine."""
        return process_start(self.pid) == self.started


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a private folder for the block, and remove it whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    try:
        (folder / _OWNER_FILE).write_text(json.dumps(asdict(Owner.of_this_process())))
        yield folder
    finally:
        with deferred_signals():
            shutil.rmtree(folder, ignore_errors=True)


def remove_dead_folders() -> int:
    """Remove the folders of this user's runs that were killed; return how many."""
    n_removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        owner = _read_owner(folder)
        if owner is not None and owner.is_here and not owner.is_alive:
            shutil.rmtree(folder, ignore_errors=True)
            n_removed += 1
    return n_removed


class WorldKeys:
    """The keys in Redis of the golden runs of one project.

    Args:
        client: Redis.
        project: The repo's own project.
    """

    def __init__(self, client: redis.Redis, project: str) -> None:
        self._client = client
        self._project = project
        self._runs_key = f"evenstore:golden:{project}".encode()

    def project_of(self, run: str) -> str:
        """Return the name of a run's project."""
        return f"{self._project}__golden_{run}"

    @contextmanager
    def hold(self, run: str, keys: Sequence[bytes]) -> Iterator[None]:
        """Record a run before the block, and remove all its keys after it, whatever happens.

        Args:
            run: The run.
            keys: Every key of an entity that the run may write.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        try:
            self._record(run, keys)
            yield
        finally:
            # A second Ctrl-C shall not leave half of them.
            with deferred_signals():
                self.remove(run)

    def keep(self, run: str, keys: Sequence[bytes]) -> None:
        """Say that a run goes on, and when its keys expire if nothing is heard of it again.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        commands: list[tuple[bytes | int, ...]] = [
            (b"SET", self._lease_key(run), b"1", b"EX", _LEASE_S)
        ]
        all_keys = [*self._shared_keys(run), *keys]
        commands += [(b"EXPIRE", key, _KEY_LIFE_S) for key in all_keys]
        execute(self._client, commands)

    def remove_dead_runs(self) -> int:
        """Remove the keys of runs that were killed; return how many runs there were.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        (found,) = execute(self._client, [(b"HGETALL", self._runs_key)])
        if isinstance(found, list):  # Redis' own form, where the client makes no mapping of it.
            found = dict(zip(found[::2], found[1::2], strict=True))
        runs: dict[bytes, bytes] = found if isinstance(found, dict) else {}
        dead = [run.decode() for run, record in runs.items() if self._is_dead(run, record)]
        for run in dead:
            self.remove(run)
        return len(dead)

    def remove(self, run: str) -> None:
        """Remove everything that a run has written.

        Raises:
            OnlineStoreError: Redis refused or cannot be reached.
        """
        (keys,) = execute(self._client, [(b"SMEMBERS", self._keys_key(run))])
        many = keys if isinstance(keys, list | set) else []
        entity_keys = [key for key in many if isinstance(key, bytes)]
        for i in range(0, len(entity_keys), _KEYS_PER_COMMAND):
            execute(self._client, [(b"UNLINK", *entity_keys[i : i + _KEYS_PER_COMMAND])])
        shared = self._shared_keys(run)
        # Last, so that a call that was killed is done again by the next run.
        execute(
            self._client,
            [(b"UNLINK", *shared, self._lease_key(run)), (b"HDEL", self._runs_key, run.encode())],
        )

    def _record(self, run: str, keys: Sequence[bytes]) -> None:
        owner = json.dumps(asdict(Owner.of_this_process()))
        commands: list[tuple[bytes | str | int, ...]] = [
            (b"SET", self._lease_key(run), b"1", b"EX", _LEASE_S),
            (b"HSET", self._runs_key, run, owner),
        ]
        commands += [
            (b"SADD", self._keys_key(run), *keys[i : i + _KEYS_PER_COMMAND])
            for i in range(0, len(keys), _KEYS_PER_COMMAND)
        ]
        commands.append((b"EXPIRE", self._keys_key(run), _KEY_LIFE_S))
        execute(self._client, commands)

    def _is_dead(self, run: bytes, record: bytes) -> bool:
        try:
            owner = Owner(**json.loads(record))
        except (ValueError, TypeError):
            return True
        if owner.is_here:
            return not owner.is_alive
        (lease,) = execute(self._client, [(b"EXISTS", self._lease_key(run.decode()))])
        return not lease

    def _shared_keys(self, run: str) -> list[bytes]:
        project = self.project_of(run)
        return [loads_key(project), schemas_key(project), self._keys_key(run)]

    def _keys_key(self, run: str) -> bytes:
        return self._runs_key + f":{run}:keys".encode()

    def _lease_key(self, run: str) -> bytes:
        return self._runs_key + f":{run}:alive".encode()


def _read_owner(folder: Path) -> Owner | None:
    path = folder / _OWNER_FILE
    try:
        if path.stat().st_uid != os.getuid():
            return None
        return Owner(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
