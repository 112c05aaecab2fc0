"""A file is written whole or not at all: to a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evenstore.errors import ConfigurationError

__all__ = ["whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the name when the block succeeds.

    Missing folders are made. Two writers at the same time do not disturb each other: the last one
    wins.

    Raises:
        ConfigurationError: The file or its folder cannot be written, or something that is no plain
            file (a folder, a device) has the name.
    """
    if path.exists() and not path.is_file():
        # Root could otherwise put a file in the place of /dev/null.
        msg = f"cannot write `{path}`: it is not a plain file"
        raise ConfigurationError(msg, hint="name a file, new or old")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as exc:
        msg = f"cannot write `{path}`: {exc.strerror or exc}"
        raise ConfigurationError(msg, hint="name a path that can be written") from exc
    finally:
        # Where the folder cannot be entered there is nothing to remove either.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
