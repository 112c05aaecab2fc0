"""The catalogue of an index: which segments it has, and which version of which files they hold.

It is the one file that is ever replaced. A segment that it does not name is not there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evenstore.schema.files import PathValue, SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema, fingerprint
from evenstore.whole_file import whole_file

__all__ = [
    "SEGMENTS",
    "Catalogue",
    "IndexKind",
    "IndexedFile",
    "SegmentEntry",
    "index_folder",
    "indexed_files",
    "read_catalogue",
    "remove_catalogue",
    "segment_folder",
    "source_fingerprint",
    "write_catalogue",
]

_VERSION = 2
_NAME = "catalogue.json"
_INDEX = '"index": '
SEGMENTS = "segments"
"""The folder of the segments, beside the catalogue."""

IndexKind = Literal["positions", "table"]
"""What an index holds beside keys and order: where rows are in the files, or the features."""


class IndexedFile(NamedTuple):
    """One version of a source file, with its values of the columns that live in the paths.

    A tuple, as a source may have a thousand of them and a join compares them all.
    """

    path: str
    size_bytes: int
    modified_ns: int
    inode: int
    path_values: tuple[PathValue, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment.

    Attributes:
        name: Of its folder.
        n_rows: Its rows.
        n_entities: Its distinct entity keys.
        files: What it was made of; positions count in this order.
        sizes: Length in bytes of each of its own files.
    """

    name: str
    n_rows: int
    n_entities: int
    files: tuple[IndexedFile, ...]
    sizes: dict[str, int]

    @property
    def n_bytes(self) -> int:
        """Its size on disk."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What an index holds.

    Attributes:
        kind: Positions or features.
        fingerprint: Of the columns, `source_fingerprint`.
        segments: No file is in two of them.
    """

    kind: IndexKind
    fingerprint: str
    segments: tuple[SegmentEntry, ...]


def index_folder(repo_path: Path, view_name: str) -> Path:
    """Return where a view's index is when nobody says otherwise."""
    name = urllib.parse.quote(view_name, safe="@ ").replace(".", "%2E")
    return repo_path / ".evenstore" / "index" / name


def segment_folder(folder: Path, entry: SegmentEntry) -> Path:
    """Return where a segment's files are."""
    return folder / SEGMENTS / entry.name


def indexed_files(source: SourceFiles) -> tuple[IndexedFile, ...]:
    """Return a source's files as an index knows them, as they were when the source was opened.

    Raises:
        SourceUnavailableError: A file is gone.
    """
    identities = source.identities or fingerprint_files(source)
    return tuple(
        IndexedFile(
            identity.path,
            identity.size_bytes,
            identity.modified_ns,
            identity.inode,
            tuple(column.values[i] for column in source.path_columns),
        )
        for i, identity in enumerate(identities)
    )


def source_fingerprint(source: SourceFiles, view: FeatureViewSchema) -> str:
    """Hash what decides a row's key, place in the order and values; a ttl does not."""
    created = None if source.created is None else dataclasses.astuple(source.created)
    return fingerprint(
        [
            [(field.name, field.dtype.value) for field in view.join_keys],
            [(field.name, field.dtype.value) for field in view.features],
            dataclasses.astuple(source.event),
            created,
            source.columns,
            sorted(source.timestamp_features),
            [(column.name, column.dtype.value) for column in source.path_columns],
        ]
    )


def read_catalogue(folder: Path) -> Catalogue | None:
    """Read the catalogue; None where there is none.

    Raises:
        ValueError: It is of another format version, or no catalogue.
        OSError: It cannot be read.
    """
    try:
        text = (folder / _NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    document = json.loads(text)
    version = document.get("version") if isinstance(document, dict) else None
    if version != _VERSION:
        msg = f"it has format version {version!r}, this reader knows {_VERSION}"
        raise ValueError(msg)
    if document.get("sha256") != _hash(text.partition(_INDEX)[2]):
        msg = "its catalogue does not match its hash"
        raise ValueError(msg)
    index: dict[str, Any] = document["index"]
    segments = tuple(_segment(segment) for segment in index["segments"])
    return Catalogue(index["kind"], index["fingerprint"], segments)


def write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    """Write the catalogue atomically: a reader sees the old one or the new one."""
    # Named tuples become lists: a thousand files' attribute names would be most of the text.
    text = json.dumps(dataclasses.asdict(catalogue)) + "}"
    with whole_file(folder / _NAME) as temporary:
        head = f'{{"version": {_VERSION}, "sha256": "{_hash(text)}", '
        temporary.write_text(f"{head}{_INDEX}{text}", encoding="utf-8")


def remove_catalogue(folder: Path) -> bool:
    """Remove the catalogue, and with it the index; return whether there was one."""
    try:
        (folder / _NAME).unlink()
    except FileNotFoundError:
        return False
    return True


def _segment(data: dict[str, Any]) -> SegmentEntry:
    files = tuple(
        IndexedFile(path, size, modified_ns, inode, tuple(values))
        for path, size, modified_ns, inode, values in data["files"]
    )
    return SegmentEntry(data["name"], data["n_rows"], data["n_entities"], files, data["sizes"])


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
