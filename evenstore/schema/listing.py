"""Where a data source's files are: one file, a folder, a glob, local or on a remote store.

A folder is searched deeply for names that end in `.parquet`. Names that begin with a dot or an
underscore are left out, those of folders below the source's too: they are not published yet.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from feast import FileSource
from feast.data_format import DeltaFormat, ParquetFormat
from feast.data_source import DataSource
from pyarrow import fs

from evenstore.errors import SourceUnavailableError
from evenstore.schema.files import FileIdentity, RemoteStore
from evenstore.schema.footer import identify_files, remote_identity
from evenstore.schema.path_columns import PathValues, read_path_texts
from evenstore.schema.remote import (
    describe_failure,
    inner_path,
    is_url,
    open_filesystem,
    outer_url,
    parse_store,
)

__all__ = ["ListedFiles", "check_no_table", "list_parquet", "resolve_path", "store_of"]


@dataclass(frozen=True, slots=True)
class ListedFiles:
    """The files of a source, not opened yet.

    Attributes:
        identities: At least one, in the order of their paths.
        store: The remote store they are on, None for local files.
        path_values: Columns that are not in the files, by name.
    """

    identities: tuple[FileIdentity, ...]
    store: RemoteStore | None = None
    path_values: Mapping[str, PathValues] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """Absolute paths or URLs."""
        return tuple(identity.path for identity in self.identities)


def resolve_path(path: str, repo_path: Path | None) -> str:
    """Make a source's path absolute: relative ones are relative to the feature repo.

    Raises:
        SourceUnavailableError: The path is a URL of a remote file system.
    """
    if path.startswith("file://"):
        parts = urlsplit(path)
        if parts.netloc not in {"", "localhost"}:
            msg = f"`{path}` is a file of another machine"
            raise SourceUnavailableError(msg, hint="a local file has three slashes: file:///path")
        path = unquote(path.removeprefix("file://").removeprefix("localhost"))
    if is_url(path):
        msg = f"`{path}` is no local path"
        raise SourceUnavailableError(msg, hint="name a local path here")
    if repo_path is not None and not Path(path).is_absolute():
        return str((repo_path / path).resolve())
    return str(Path(path).absolute())


def store_of(source: FileSource) -> RemoteStore | None:
    """Return the remote store of a source, None for a local one.

    Raises:
        ConfigurationError: There are credentials in the URL.
        SourceUnavailableError: The credentials that the source refers to are not found.
    """
    if not is_url(source.path) or source.path.startswith("file://"):
        return None
    where = f"data source `{source.name}`"
    try:
        credentials = source.resolve_credentials()
    except Exception as exc:  # Feast's providers raise what their clients raise.
        msg = f"{where}: its credentials cannot be resolved ({type(exc).__name__})"
        raise SourceUnavailableError(msg, hint="check its connection_ref") from exc
    endpoint = source.s3_endpoint_override or ""
    return parse_store(source.path, endpoint=endpoint, credentials=credentials, where=where)


def list_parquet(source: FileSource, repo_path: Path | None) -> ListedFiles:
    """List the Parquet files of a source.

    Raises:
        SourceUnavailableError: There is no file, a folder cannot be read, or the folder is a Delta
            or Iceberg table.
        SchemaError: A path has one partition name twice.
    """
    where = f"data source `{source.name}`"
    store = store_of(source)
    if store is None:
        path = resolve_path(source.path, repo_path)
        names = _find_local(path, where)
        identities = identify_files(names, where=where)
    else:
        identities = _find_remote(source.path, store, where)
    if not identities:
        msg = f"{where} has no Parquet files at `{source.path}`"
        raise SourceUnavailableError(msg, hint="make the feature tables first, or mend the path")
    paths = [identity.path for identity in identities]
    return ListedFiles(identities, store, read_path_texts(paths, where=where))


def check_no_table(source: DataSource) -> None:
    """Refuse file formats that are neither Parquet nor Delta.

    Raises:
        SourceUnavailableError: The source's format is another one.
    """
    file_format = getattr(source, "file_format", None)
    if file_format is None or isinstance(file_format, ParquetFormat | DeltaFormat):
        return
    msg = f"data source `{source.name}` is in the format {type(file_format).__name__}"
    raise SourceUnavailableError(msg, hint="ParquetFormat and DeltaFormat can be read")


def _find_local(path: str, where: str) -> list[str]:
    try:
        if os.path.isfile(path):  # noqa: PTH113
            return [path]
        if os.path.isdir(path):  # noqa: PTH112
            return _walk(path, where)
        if not glob.has_magic(path):
            os.stat(path)  # noqa: PTH116 - what else is there is no file and no folder.
            return []
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as exc:
        unread = getattr(exc, "filename", None) or path
        msg = f"{where}: cannot read `{unread}`: {describe_failure(exc, None)}"
        raise SourceUnavailableError(msg, hint="check the path and its permissions") from exc
    found = glob.glob(path, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern.
    return sorted(
        name
        for name in found
        if _is_published(os.path.basename(name)) and os.path.isfile(name)  # noqa: PTH119, PTH113
    )


def _walk(root: str, where: str) -> list[str]:
    found = []
    folders = [root]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if folder is root and name in _TABLE_FOLDERS and entry.is_dir():
                    kind = _holds_table(os.listdir(entry.path), name)  # noqa: PTH208
                    _refuse_table(folder, kind, where)
                if not _is_published(name):
                    continue
                if entry.is_dir():
                    folders.append(entry.path)
                elif name.endswith(".parquet") and entry.is_file():
                    found.append(entry.path)
    return sorted(found)


def _is_published(name: str) -> bool:
    # Spark reads `_day=1` too: a partition whose column has such a name.
    return not name.startswith(".") and (not name.startswith("_") or "=" in name)


_TABLE_FOLDERS = {"_delta_log": "a Delta table", "metadata": "an Iceberg table"}
_TABLE_HINTS = {
    "a Delta table": "give the FileSource file_format=DeltaFormat()",
    "an Iceberg table": "use Feast's IcebergSource",
}


def _holds_table(names: list[str], folder: str) -> str | None:
    suffix = ".json" if folder == "_delta_log" else ".metadata.json"
    return _TABLE_FOLDERS[folder] if any(name.endswith(suffix) for name in names) else None


def _refuse_table(path: str, kind: str | None, where: str) -> None:
    """Refuse a table's folder: it holds files that are no part of the table any more."""
    if kind is None:
        return
    msg = f"{where}: `{path}` is {kind}, whose files cannot be read without its log"
    raise SourceUnavailableError(msg, hint=_TABLE_HINTS[kind])


def _find_remote(url: str, store: RemoteStore, where: str) -> tuple[FileIdentity, ...]:
    pattern = inner_path(store, url)
    fixed = pattern
    while glob.has_magic(fixed):
        fixed = fixed.rpartition("/")[0]
    try:
        filesystem = open_filesystem(store)
        if fixed == pattern:
            info = filesystem.get_file_info(pattern)
            if info.type is fs.FileType.File:
                return (remote_identity(url, info),)
        selector = fs.FileSelector(fixed, recursive=True, allow_not_found=True)
        infos = filesystem.get_file_info(selector)
    except (OSError, pa.ArrowException) as exc:
        msg = f"{where}: cannot read `{url}`: {describe_failure(exc, store)}"
        hint = "check the bucket, the credentials in the environment and the endpoint"
        raise SourceUnavailableError(msg, hint=hint) from exc
    files = {info.path[len(fixed) :].lstrip("/"): info for info in infos if info.is_file}
    if fixed == pattern:
        _refuse_remote_table(url, files, where)
        wanted = [name for name in files if name.endswith(".parquet")]
        wanted = [name for name in wanted if all(map(_is_published, name.split("/")))]
    else:
        matches = re.compile(_glob_regex(pattern[len(fixed) :].lstrip("/"))).fullmatch
        wanted = [name for name in files if matches(name)]
        wanted = [name for name in wanted if _is_published(name.rpartition("/")[2])]
    found = [files[name] for name in sorted(wanted)]
    return tuple(remote_identity(outer_url(store, url, info.path), info) for info in found)


def _refuse_remote_table(url: str, files: Mapping[str, fs.FileInfo], where: str) -> None:
    for folder in _TABLE_FOLDERS:
        inside = [name for name in files if name.startswith(f"{folder}/")]
        _refuse_table(url, _holds_table(inside, folder), where)


def _glob_regex(pattern: str) -> str:
    *folders, name = pattern.split("/")
    inner = "".join("(?:.*/)?" if part == "**" else f"{_part_regex(part)}/" for part in folders)
    return inner + (".*" if name == "**" else _part_regex(name))


def _part_regex(part: str) -> str:
    def token(match: re.Match[str]) -> str:
        if match[0] == "*":
            return "[^/]*"
        if match[0] == "?":
            return "[^/]"
        if match[1] is None:
            return re.escape(match[0])
        letters = match[1].replace("\\", "\\\\")
        return f"[^{letters[1:]}]" if letters.startswith("!") else f"[{letters}]"

    return re.sub(r"\[(!?[^]]+)\]|.", token, part)
