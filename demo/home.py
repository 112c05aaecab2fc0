"""The folder that the walk-through works in.

Made by it, marked by it, and only then cleared by it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenstore.errors import ConfigurationError

__all__ = ["claim_home", "clear_home", "remove_home"]

_MARKER = "made-by-demo"
_LOCK = "demo.lock"
# What `evenstore redis` and this module make: their presence alone makes no home somebody else's.
_NEUTRAL = frozenset({"redis", _LOCK, _MARKER})
_FOLDERS = ("shop", "features", "models", "reports", "feature_repo", "serving")
_FILES = ("registry.db", "parity.json", "demo.log", "gateway.log")


@contextmanager
def claim_home(home: Path) -> Iterator[None]:
    """Make and mark the home, and keep other walk-throughs out of it for the block.

    Raises:
        ConfigurationError: The folder holds what no walk-through made, cannot be used, or another
            one is at work in it.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        foreign = sorted({path.name for path in home.iterdir()} - _NEUTRAL)
        if foreign and not (home / _MARKER).exists():
            msg = f"`{home}` is not empty, and no walk-through made it: {', '.join(foreign[:5])}"
            raise ConfigurationError(msg, hint="set `EVENSTORE_HOME` to a new or empty folder")
        lock = (home / _LOCK).open("w", encoding="utf-8")
        (home / _MARKER).touch()
    except OSError as exc:
        msg = f"cannot use `{home}`: {exc.strerror}"
        raise ConfigurationError(
            msg, hint="set `EVENSTORE_HOME` to a folder you can write to"
        ) from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            msg = f"another `make demo` or `make serve` is at work in `{home}`"
            raise ConfigurationError(msg, hint="wait for it, or stop it with Ctrl-C") from exc
        yield


def clear_home(home: Path) -> None:
    """Remove what an earlier walk-through made in a claimed home; Redis is not touched."""
    for name in _FOLDERS:
        shutil.rmtree(home / name, ignore_errors=True)
    for name in _FILES:
        (home / name).unlink(missing_ok=True)


def remove_home(home: Path) -> None:
    """Remove a claimed home whose Redis and gateway are stopped."""
    clear_home(home)
    shutil.rmtree(home / "redis", ignore_errors=True)
    for name in (_MARKER, _LOCK):
        (home / name).unlink(missing_ok=True)
