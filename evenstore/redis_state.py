"""The state file of the embedded Redis: which process serves a home, and whether it still does."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from evenstore.processes import process_start

__all__ = [
    "SOCKET_NAME",
    "RedisRecord",
    "discard",
    "has_state",
    "is_listening",
    "live_record",
    "write_record",
]

SOCKET_NAME = "redis.sock"
_STATE_NAME = "server.json"


@dataclass(frozen=True, slots=True)
class RedisRecord:
    """The state file: which process serves a home."""

    url: str
    pid: int
    started: str
    binary: str
    socket_folder: str

    def is_alive(self) -> bool:
        """Tell whether this very process still runs."""
        # A process that took the pid over later has another start.
        return process_start(self.pid) == self.started


def has_state(home: Path) -> bool:
    """Tell whether a home has a state file, right or stale."""
    return (home / "redis" / _STATE_NAME).exists()


def live_record(folder: Path) -> RedisRecord | None:
    """Read the state file; what a server that has ended left behind is removed."""
    try:
        record = RedisRecord(**json.loads((folder / _STATE_NAME).read_text()))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError):
        (folder / _STATE_NAME).unlink()
        return None
    if record.is_alive():
        return record
    discard(folder, record)
    return None


def write_record(folder: Path, record: RedisRecord) -> None:
    """Write the state file atomically."""
    draft = folder / f"{_STATE_NAME}.new"
    draft.write_text(json.dumps(asdict(record), indent=2) + "\n")
    draft.replace(folder / _STATE_NAME)


def discard(folder: Path, record: RedisRecord) -> None:
    """Remove what a server that has ended left behind; nothing is killed."""
    socket_path = Path(record.socket_folder, SOCKET_NAME)
    # A server in another container may share the folder, whose pid means nothing here.
    if not is_listening(socket_path):
        socket_path.unlink(missing_ok=True)
    if socket_path.parent != folder:
        with suppress(OSError):
            socket_path.parent.rmdir()
    (folder / _STATE_NAME).unlink(missing_ok=True)


def is_listening(socket_path: Path) -> bool:
    """Tell whether some server accepts connections on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(str(socket_path))
        return True
    return False
