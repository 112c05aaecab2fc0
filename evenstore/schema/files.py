"""A view's batch source as plain data: its files, and what its columns are called there."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar

from evenstore.dtypes import Dtype

__all__ = [
    "FileIdentity",
    "PathColumn",
    "PathValue",
    "RemoteStore",
    "SourceFiles",
    "TimestampColumn",
]

_T = TypeVar("_T")

PathValue = int | float | str | bool | None
"""One value of a column that lives in the paths; instants are int64 microseconds, UTC."""


@dataclass(frozen=True, slots=True)
class TimestampColumn:
    """A source's timestamp column; `has_ns` where DuckDB reads it with nanoseconds."""

    name: str
    has_ns: bool = False


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells one version of a file from another, without reading it.

    Attributes:
        path: Absolute path or URL.
        size_bytes: Its length.
        modified_ns: When it was written, nanoseconds; 0 where a remote store does not say.
        inode: 0 on a remote store.
    """

    path: str
    size_bytes: int
    modified_ns: int
    inode: int = 0


@dataclass(frozen=True, slots=True)
class PathColumn:
    """A column whose values are not in the files but in their paths, or in a table's log.

    Attributes:
        name: The source column.
        dtype: The declared type that the values were read as; UNIX_TIMESTAMP with microseconds.
        values: One for each of the source's files.
    """

    name: str
    dtype: Dtype
    values: tuple[PathValue, ...]


@dataclass(frozen=True, slots=True)
class RemoteStore:
    """Where remote files are, as data from which a file system can be opened.

    Attributes:
        scheme: Of the URLs, for example `s3`.
        account: Storage account of an Azure URL; empty elsewhere.
        endpoint: Of an S3-compatible store that is not AWS; empty for the environment's.
        options: Credentials that come with the source. Never shown; without them those of the
            environment are used.
    """

    scheme: str
    account: str = ""
    endpoint: str = ""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def session_scheme(self) -> str:
        """The scheme that a DuckDB session knows the store by.

        Two stores of one scheme can be read in one session; secrets are no part of the name.
        """
        who = dict(self.options).get("AWS_ACCESS_KEY_ID", "")
        if not (self.account or self.endpoint or who):
            return self.scheme
        told_apart = "\0".join((self.account, self.endpoint, who)).encode()
        return f"{self.scheme}-{hashlib.sha256(told_apart).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of one view's batch source, and what its columns are called there.

    Attributes:
        paths: Absolute paths, or URLs on a remote store; at least one.
        event: The event timestamp column.
        created: The created timestamp column, None where the source has none.
        columns: `(declared name, source column)` for every join key and feature.
        timestamp_features: Source columns of UNIX_TIMESTAMP features that have nanoseconds.
        name: Of the view or data source, for messages.
        path_columns: The used columns that live in the paths.
        store: The remote store that all paths are on, None for local files.
        identities: The files as they were when the source was opened, in the order of `paths`.
        is_uniform: Whether all files are known to have the same columns in the same order.
        ranged: Columns whose ranges `evenstore.schema.footer.footers_of` gives.
    """

    paths: tuple[str, ...]
    event: TimestampColumn
    created: TimestampColumn | None
    columns: tuple[tuple[str, str], ...]
    timestamp_features: frozenset[str] = frozenset()
    name: str = ""
    path_columns: tuple[PathColumn, ...] = ()
    store: RemoteStore | None = None
    identities: tuple[FileIdentity, ...] = ()
    ranged: tuple[str, ...] = ()
    is_uniform: bool = False

    def only(self, paths: Collection[str]) -> SourceFiles:
        """Return the same source with some of its files."""
        kept = [i for i, path in enumerate(self.paths) if path in paths]

        def narrow(values: tuple[_T, ...]) -> tuple[_T, ...]:
            return tuple(values[i] for i in kept)

        return dataclasses.replace(
            self,
            paths=narrow(self.paths),
            identities=narrow(self.identities) if self.identities else (),
            path_columns=tuple(
                dataclasses.replace(column, values=narrow(column.values))
                for column in self.path_columns
            ),
        )

    @property
    def scan_paths(self) -> tuple[str, ...]:
        """The paths as a DuckDB session knows them."""
        if self.store is None or self.store.session_scheme == self.store.scheme:
            return self.paths
        scheme = self.store.session_scheme
        return tuple(f"{scheme}://{path.partition('://')[2]}" for path in self.paths)
