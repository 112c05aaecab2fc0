"""Parquet footers as plain data: columns, rows and the ranges of some columns, read once.

A footer is kept as long as the file has the same identity, so that a source of a thousand files is
opened anew at the cost of listing them.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from evenstore.errors import SourceUnavailableError
from evenstore.schema.files import FileIdentity, RemoteStore, SourceFiles
from evenstore.schema.remote import describe_failure, inner_path, open_filesystem

__all__ = [
    "ColumnRange",
    "Footer",
    "fingerprint_files",
    "footers_of",
    "identify_files",
    "read_footer",
    "read_footers",
    "remote_identity",
]

_T = TypeVar("_T")
_R = TypeVar("_R")

_FEW = 8
_LOCAL_THREADS = 2
_REMOTE_THREADS = 32
_KNOWN_FOOTERS = 16_384
_US = {"s": (1_000_000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}
_SECOND_NS = 1_000_000_000
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """What a row group's statistics say of one column; nulls are outside of the range.

    Units:
        `minimum`, `maximum`: int64 microseconds, floored, for timestamps and dates. Bounds of text
        may be shortened by the writer: no value is outside, but they need not be values.
    """

    minimum: int | str | bytes
    maximum: int | str | bytes
    n_nulls: int | None


@dataclass(frozen=True, slots=True)
class Footer:
    """What is known of one file without reading its rows.

    Attributes:
        identity: The file.
        types: Arrow types of all columns, in the file's order; one mapping is shared by all files
            of equal columns.
        row_group_rows: Rows of each row group.
        ranges: For each asked column that the file has, one for each row group; None where the
            statistics do not say.
        repeated: Names that several columns of the file have.
    """

    identity: FileIdentity
    types: Mapping[str, pa.DataType]
    row_group_rows: tuple[int, ...]
    ranges: Mapping[str, tuple[ColumnRange | None, ...]]
    repeated: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        """Absolute path or URL."""
        return self.identity.path

    @property
    def n_rows(self) -> int:
        """Rows of the file."""
        return sum(self.row_group_rows)

    def range_of(self, column: str) -> ColumnRange | None:
        """Return the range of a column over the whole file, None where a row group has none."""
        ranges = self.ranges.get(column, ())
        known: list[Any] = [found for found in ranges if found is not None]
        if not known or len(known) < len(ranges):
            return None
        counts = [found.n_nulls for found in known]
        return ColumnRange(
            min(found.minimum for found in known),
            max(found.maximum for found in known),
            None if None in counts else sum(counts),
        )

    def is_ascending(self, column: str) -> bool:
        """Tell whether the row groups follow one another by a column, sharing at most an edge.

        What is true of row groups need not be true of the rows inside of one.
        """
        ranges: list[Any] = list(self.ranges.get(column, ()))
        if not ranges or None in ranges:
            return False
        return all(before.maximum <= after.minimum for before, after in itertools.pairwise(ranges))


def read_footer(
    identity: FileIdentity,
    *,
    columns: tuple[str, ...] = (),
    store: RemoteStore | None = None,
    where: str,
) -> Footer:
    """Read the footer of one file, or return what is known of this version of it.

    Args:
        identity: The file.
        columns: Whose ranges are wanted; names that the file does not have are ignored.
        store: Where the file is, None for a local one.
        where: The view or data source, for messages.

    Raises:
        SourceUnavailableError: The file is gone, or is no Parquet file.
    """
    return read_footers((identity,), columns=columns, store=store, where=where)[0]


def _read_new(
    identity: FileIdentity, columns: tuple[str, ...], store: RemoteStore | None, where: str
) -> Footer:
    try:
        return _read(identity, columns, store)
    except (OSError, pa.ArrowException, ValueError) as exc:
        if isinstance(exc, FileNotFoundError | PermissionError | ConnectionError):
            raise _unreachable(identity.path, exc, store, where) from exc
        msg = f"{where}: `{identity.path}` is no readable Parquet file"
        if store is not None:
            msg += f": {describe_failure(exc, store)}"
        hint = "was it written to its end? write it anew, or take it away"
        raise SourceUnavailableError(msg, hint=hint) from exc


def read_footers(
    identities: Iterable[FileIdentity],
    *,
    columns: tuple[str, ...] = (),
    store: RemoteStore | None = None,
    where: str,
) -> tuple[Footer, ...]:
    """Read the footers of many files at once; see `read_footer`.

    Raises:
        SourceUnavailableError: A file is gone, or is no Parquet file.
    """
    wanted = tuple(identities)
    found = [_known.get((identity, columns, store)) for identity in wanted]
    missing = [identity for identity, footer in zip(wanted, found, strict=True) if footer is None]
    read = _each(lambda identity: _read_new(identity, columns, store, where), missing, store)
    for identity, footer in zip(missing, read, strict=True):
        _remember((identity, columns, store), footer)
    new = iter(read)
    return tuple(next(new) if footer is None else footer for footer in found)


def footers_of(source: SourceFiles) -> tuple[Footer, ...]:
    """Return the footers of a source's files, in the order of its paths.

    For an opened source nothing is read again.

    Raises:
        SourceUnavailableError: A file is gone, or is no Parquet file.
    """
    return read_footers(
        source.identities or fingerprint_files(source),
        columns=source.ranged,
        store=source.store,
        where=source.name,
    )


def fingerprint_files(source: SourceFiles) -> tuple[FileIdentity, ...]:
    """Return what a source's files are now, to compare with what they were.

    Guarantees:
        Equal answers mean equal files where files are immutable and uniquely named.

    Raises:
        SourceUnavailableError: A file is gone or cannot be reached.
    """
    return identify_files(source.paths, store=source.store, where=source.name)


def identify_files(
    paths: Iterable[str], *, store: RemoteStore | None = None, where: str
) -> tuple[FileIdentity, ...]:
    """Return the identities of some files.

    Raises:
        SourceUnavailableError: A file is gone or cannot be reached.
    """
    if store is None:
        return tuple(_identify_local(path, where) for path in paths)
    return tuple(_each(functools.partial(_identify_remote, store, where), tuple(paths), store))


def _identify_local(path: str, where: str) -> FileIdentity:
    try:
        stat = os.stat(path)  # noqa: PTH116 - a thousand Path objects cost more than the calls.
    except (OSError, ValueError) as exc:
        raise _unreachable(path, exc, None, where) from exc
    return FileIdentity(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _identify_remote(store: RemoteStore, where: str, url: str) -> FileIdentity:
    try:
        info = open_filesystem(store).get_file_info(inner_path(store, url))
        if info.type is not fs.FileType.File:
            raise FileNotFoundError(url)
    except (OSError, pa.ArrowException) as exc:
        raise _unreachable(url, exc, store, where) from exc
    return remote_identity(url, info)


def remote_identity(url: str, info: fs.FileInfo) -> FileIdentity:
    """Return the identity of a remote file that its store has described.

    Whole seconds: a listing gives milliseconds where the answer for one file does not.
    """
    return FileIdentity(url, info.size, (info.mtime_ns or 0) // _SECOND_NS * _SECOND_NS)


def _unreachable(
    path: str, exc: Exception, store: RemoteStore | None, where: str
) -> SourceUnavailableError:
    why = describe_failure(exc, store)
    if isinstance(exc, FileNotFoundError):
        why = "No such file"
    msg = f"{where}: cannot read `{path}`: {why}"
    hint = "was it replaced meanwhile? run again"
    if isinstance(exc, PermissionError):
        hint = "let this user read it"
    return SourceUnavailableError(msg, hint=hint)


def _each(call: Callable[[_T], _R], items: Sequence[_T], store: RemoteStore | None) -> list[_R]:
    """Call for many files, on threads: most of the time is spent waiting or outside of Python."""
    threads = _REMOTE_THREADS if store else _LOCAL_THREADS
    if len(items) <= (1 if store else _FEW):
        return [call(item) for item in items]
    size = -(-len(items) // threads)
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(len(parts)) as pool:
        return [
            made for part in pool.map(lambda part: [call(i) for i in part], parts) for made in part
        ]


_Key = tuple[FileIdentity, tuple[str, ...], RemoteStore | None]
_known: dict[_Key, Footer] = {}
_remembering = threading.Lock()


def _remember(key: _Key, footer: Footer) -> None:
    with _remembering:
        while len(_known) >= _KNOWN_FOOTERS:
            del _known[next(iter(_known))]
        _known[key] = footer


def _read(identity: FileIdentity, columns: tuple[str, ...], store: RemoteStore | None) -> Footer:
    metadata = _read_metadata(identity.path, store)
    layout = _layout(metadata)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    ranges = {
        name: tuple(
            _range(group.column(layout.leaves[name]).statistics, layout.types[name])
            for group in groups
        )
        for name in columns
        if name in layout.leaves
    }
    row_group_rows = tuple(group.num_rows for group in groups)
    return Footer(identity, layout.types, row_group_rows, ranges, layout.repeated)


def _read_metadata(path: str, store: RemoteStore | None) -> Any:
    if store is None:
        return pq.read_metadata(path)
    with open_filesystem(store).open_input_file(inner_path(store, path)) as file:
        return pq.read_metadata(file)


@dataclass(frozen=True, slots=True)
class _Layout:
    schema: Any
    arrow_schema: bytes | None
    types: Mapping[str, pa.DataType]
    leaves: Mapping[str, int]
    repeated: frozenset[str]


_layouts: list[_Layout] = []


def _layout(metadata: Any) -> _Layout:
    """Return the columns of a file; files of one source share them, and comparing is cheap."""
    schema = metadata.schema
    arrow_schema = (metadata.metadata or {}).get(b"ARROW:schema")
    for known in tuple(_layouts):
        if known.arrow_schema == arrow_schema and known.schema.equals(schema):
            return known
    arrow = schema.to_arrow_schema()
    made = _Layout(
        schema,
        arrow_schema,
        dict(zip(arrow.names, arrow.types, strict=True)),
        {schema.column(index).path: index for index in range(len(schema))},
        frozenset(name for name, count in Counter(arrow.names).items() if count > 1),
    )
    _layouts.append(made)
    del _layouts[:-64]
    return made


def _range(statistics: Any, dtype: pa.DataType) -> ColumnRange | None:
    if statistics is None or not statistics.has_min_max:
        return None
    convert = _converter(dtype)
    if convert is None or statistics.physical_type == "INT96":
        return None
    try:
        bounds = convert(statistics.min_raw), convert(statistics.max_raw)
    except UnicodeDecodeError:
        return None  # A long text's bound may be cut inside of a letter.
    return ColumnRange(*bounds, statistics.null_count if statistics.has_null_count else None)


@functools.lru_cache(maxsize=256)
def _converter(dtype: pa.DataType) -> Callable[[Any], Any] | None:
    """Choose how to read a physical statistic; the typed ones of pyarrow cost ten times more."""
    if pa.types.is_dictionary(dtype):
        return _converter(dtype.value_type)
    if pa.types.is_timestamp(dtype):
        factor, divisor = _US[dtype.unit]
        return lambda raw: raw * factor // divisor
    for is_kind, convert in (
        (pa.types.is_date, _DAY_US.__mul__),
        (pa.types.is_unsigned_integer, lambda raw: raw % (1 << dtype.bit_width)),
        (pa.types.is_integer, int),
        (pa.types.is_string, bytes.decode),
        (pa.types.is_large_string, bytes.decode),
        (pa.types.is_binary, bytes),
        (pa.types.is_large_binary, bytes),
    ):
        if is_kind(dtype):
            return convert
    return None
