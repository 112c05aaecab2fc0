"""Reads of files that are replaced or removed meanwhile: noticed, and run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from evenstore.errors import OfflineStoreError, SourceChangedError, SourceUnavailableError
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files

__all__ = ["list_again", "retry_on_change", "unchanged_sources"]

_T = TypeVar("_T")
_ATTEMPTS = 5


def retry_on_change(run: Callable[[], _T]) -> _T:
    """Call until the files stay the same for the length of a call.

    Args:
        run: Finds the files anew each time.

    Raises:
        SourceChangedError: They changed every time.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return run()
        except SourceChangedError:
            continue
    return run()


def list_again(open_files: Callable[[], _T]) -> _T:
    """Call until no file is removed between its listing and the reading of its footer.

    Args:
        open_files: Lists files, and reads their footers.

    Raises:
        SourceUnavailableError: The same file is missing twice, or a file cannot be read.
    """
    missing = ""
    for _ in range(_ATTEMPTS - 1):
        try:
            return open_files()
        except SourceUnavailableError as exc:
            if not isinstance(exc.__cause__, FileNotFoundError) or exc.message == missing:
                raise
            missing = exc.message
    return open_files()


@contextmanager
def unchanged_sources(sources: Iterable[SourceFiles]) -> Iterator[None]:
    """Vouch that a block that reads files more than once has read the same files.

    Raises:
        SourceChangedError: A file was replaced or removed since it was listed.
    """
    read = tuple(dict.fromkeys(sources))
    try:
        yield
    except OfflineStoreError as exc:
        _check_files(read, cause=exc)
        raise
    _check_files(read, cause=None)


def _check_files(sources: Iterable[SourceFiles], *, cause: Exception | None) -> None:
    for source in sources:
        try:
            is_same = not source.identities or fingerprint_files(source) == source.identities
        except SourceUnavailableError:
            is_same = False
        if not is_same:
            msg = f"{source.name}: a file was replaced or removed while it was read"
            raise SourceChangedError(msg, hint="run again") from cause
