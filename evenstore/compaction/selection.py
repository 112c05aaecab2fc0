"""Which files of a source are rewritten, and why.

A file that compaction wrote says in its metadata what it is sorted by; of any other it is not
known. Files are rewritten together with those of their own folder that have the same columns, so
that partitions stay and every column keeps its exact type.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.errors import OfflineStoreError, SourceUnavailableError
from evenstore.schema.files import FileIdentity

__all__ = ["SORTED_BY", "FileToCompact", "SourceFile", "describe_order", "read_files", "select"]

SORTED_BY = b"evenstore.sorted_by"
"""The metadata of a compacted file: its sort columns, as JSON."""

_TRANSFORM_MARK = b"evenstore.sql_fingerprint"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source.

    Attributes:
        identity: The file.
        schema: Its Arrow schema, metadata left out.
        metadata: Of the file.
        n_rows: Its rows.
        compression: Of its first column.
    """

    identity: FileIdentity
    schema: pa.Schema
    metadata: Mapping[bytes, bytes]
    n_rows: int
    compression: str

    @property
    def folder(self) -> str:
        """The folder that it is in."""
        return os.path.dirname(self.identity.path)  # noqa: PTH120 - a thousand paths.


@dataclass(frozen=True, slots=True)
class FileToCompact:
    """A file that is rewritten, and why."""

    file: SourceFile
    reason: str


def describe_order(columns: Sequence[str]) -> bytes:
    """Write sort columns as a file's metadata says them."""
    return json.dumps(list(columns)).encode()


def read_files(identities: Iterable[FileIdentity], *, where: str) -> list[SourceFile]:
    """Read the footers of some files.

    Raises:
        SourceUnavailableError: One is gone, or is no Parquet file.
        OfflineStoreError: One was made by `evenstore transform`, which replaces it by its name.
    """
    files = [_read_file(identity, where) for identity in identities]
    for file in files:
        if _TRANSFORM_MARK in file.metadata:
            msg = f"{where}: `{file.identity.path}` was made by `evenstore transform`"
            hint = "transform keeps one sorted file a day and replaces it: leave them to it"
            raise OfflineStoreError(msg, hint=hint)
    return files


def _read_file(identity: FileIdentity, where: str) -> SourceFile:
    try:
        metadata: Any = pq.read_metadata(identity.path)
        schema = metadata.schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as exc:
        msg = f"{where}: cannot read `{identity.path}`: {exc}"
        raise SourceUnavailableError(msg, hint="was it replaced meanwhile? run again") from exc
    compression = "snappy"
    if metadata.num_row_groups and metadata.num_columns:
        compression = metadata.row_group(0).column(0).compression.lower()
    return SourceFile(
        identity,
        schema.remove_metadata(),
        {**(metadata.metadata or {}), **(schema.metadata or {})},
        metadata.num_rows,
        "none" if compression == "uncompressed" else compression,
    )


def select(
    files: Iterable[SourceFile], *, sorted_by: bytes, target_rows: int
) -> list[list[FileToCompact]]:
    """Choose the files to rewrite: what is not sorted, and what is small beside others.

    Args:
        files: Of one source.
        sorted_by: What they are to be sorted by.
        target_rows: Rows that a file should have; one of less than half is small.

    Returns:
        Groups of files that are rewritten together.
    """
    groups: dict[tuple[str, pa.Schema], list[SourceFile]] = {}
    for file in files:
        groups.setdefault((file.folder, file.schema), []).append(file)
    chosen = [_choose(group, sorted_by, target_rows) for group in groups.values()]
    return [group for group in chosen if group]


def _choose(group: list[SourceFile], sorted_by: bytes, target_rows: int) -> list[FileToCompact]:
    chosen = []
    for file in group:
        if file.metadata.get(SORTED_BY) != sorted_by:
            chosen.append(FileToCompact(file, "not known to be sorted"))
        elif file.n_rows < target_rows / 2:
            chosen.append(FileToCompact(file, "small"))
    is_one_small = len(chosen) == 1 and chosen[0].reason == "small"
    return [] if is_one_small else chosen
