"""A folder is written whole or not at all: beside its place, then put there by renames."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evenstore.errors import ConfigurationError

__all__ = ["refuse_foreign", "whole_folder"]


@contextmanager
def whole_folder(path: Path, *, is_ours: Callable[[Path], bool], kind: str) -> Iterator[Path]:
    """Give an empty folder to write into; it takes its place when the block succeeds.

    One of the same kind that is there already is replaced by two renames, between which there is
    none; any other folder with content is left alone.

    Args:
        path: Where the folder shall be.
        is_ours: Tells whether a folder with content may be replaced.
        kind: What the folder holds, for messages: `model`.

    Raises:
        ConfigurationError: The path is a file or a folder of something else, or cannot be written.
    """
    refuse_foreign(path, is_ours=is_ours, kind=kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            fresh = Path(folder) / "new"
            fresh.mkdir()
            yield fresh
            _swap(fresh, path, aside=Path(folder) / "old")
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def refuse_foreign(path: Path, *, is_ours: Callable[[Path], bool], kind: str) -> None:
    """Refuse a path that `whole_folder` would refuse; for a command, before its long work.

    Raises:
        ConfigurationError: The path is a file or a folder of something else, or cannot be written.
    """
    is_folder = path.is_dir()
    if path.exists() and not is_folder:
        msg = f"`{path}` is a file"
        raise ConfigurationError(msg, hint=f"give a folder for the {kind}")
    if is_folder and any(path.iterdir()) and not is_ours(path):
        msg = f"`{path}` holds something that is not a {kind}"
        raise ConfigurationError(msg, hint="give a new or an empty folder")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        tempfile.TemporaryDirectory(dir=above, prefix=f".{path.name}.").cleanup()
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _unwritable(path: Path, exc: OSError) -> ConfigurationError:
    msg = f"`{path}` cannot be written: {exc.strerror or exc}"
    return ConfigurationError(msg, hint="choose another folder")


def _swap(fresh: Path, path: Path, *, aside: Path) -> None:
    """Put a folder in place; no system call that every platform has swaps two folders at once."""
    had_old = path.is_dir()
    if had_old:
        path.rename(aside)
    try:
        fresh.rename(path)
    except BaseException:
        if had_old:
            aside.rename(path)
        raise
