"""A remote store as DuckDB reads it: fsspec's interface over a pyarrow file system.

DuckDB's own readers of remote files are extensions, which it would have to download.
"""

from __future__ import annotations

import re
from typing import Any

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from pyarrow import fs

from evenstore.clock import us_to_datetime
from evenstore.schema.files import RemoteStore
from evenstore.schema.remote import inner_path, open_filesystem

__all__ = ["SessionFileSystem"]

_ESCAPED = re.compile(r"\[([*?\[])\]")


class SessionFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec is not typed.
    """Reads one store for one session.

    What it has learned of a file it does not ask again: DuckDB asks six times for each, and the
    files of a source are immutable.
    """

    cachable = False

    def __init__(self, store: RemoteStore) -> None:
        super().__init__()
        self.protocol = store.session_scheme
        self._store = store
        self._filesystem = open_filesystem(store)
        self._infos: dict[str, dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def _inner(self, path: str) -> str:
        return inner_path(self._store, f"{self._store.scheme}://{path.partition('://')[2]}")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe a file; raises FileNotFoundError when there is none."""
        if path not in self._infos:
            found = self._filesystem.get_file_info(self._inner(path))
            if found.type is not fs.FileType.File:
                raise FileNotFoundError(path)
            self._infos[path] = {
                "name": path,
                "size": found.size,
                "type": "file",
                # DuckDB wants an instant also where a store gives none.
                "modified": found.mtime or us_to_datetime(0),
            }
        return self._infos[path]

    def modified(self, path: str) -> Any:
        """Say when a file was written."""
        return self.info(path)["modified"]

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return the one file that the pattern stands for: its name is all that is escaped."""
        return [_ESCAPED.sub(r"\1", path)]

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:  # noqa: ARG002 - DuckDB's call.
        """Open a file for reading."""
        return self._filesystem.open_input_file(self._inner(path))
