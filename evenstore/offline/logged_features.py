"""Publishes logs of served features: new immutable files, those of one call all or none."""

from __future__ import annotations

import glob
import io
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from feast import RepoConfig
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.registry.base_registry import BaseRegistry

from evenstore.errors import OfflineStoreError, SourceUnavailableError, UnsupportedDtypeError
from evenstore.schema.source import resolve_path
from evenstore.whole_file import whole_file

__all__ = ["write_logged_features"]

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def write_logged_features(
    config: RepoConfig,
    data: pa.Table | Path,
    source: LoggingSource,
    logging_config: LoggingConfig,
    registry: BaseRegistry,
) -> None:
    """Add logs of served features to the folder of their destination.

    `partition_by` makes folders `column=value`; the files keep the columns too, so that values and
    types never depend on the text of a path (stock Feast's stores lose them there).

    Args:
        config: The repository's configuration; a relative destination is relative to its folder.
        data: The logs, or a Parquet file or folder of Parquet files that holds them.
        source: What made the logs; says their columns.
        logging_config: Where they go.
        registry: The Feast registry, for the columns.

    Guarantees:
        No file is ever rewritten. Each file gets its name when it is complete, and none does when
        any row is refused.

    Raises:
        OfflineStoreError: The destination is no local folder, cannot be partitioned so, or columns
            differ from the feature service's or from the earlier files'.
        SourceUnavailableError: `data` is a path without readable Parquet files.
        UnsupportedDtypeError: Feast has no logged form of a feature's type.
    """
    destination = logging_config.destination
    if not isinstance(destination, FileLoggingDestination):
        msg = f"logged features cannot go to {type(destination).__name__}"
        raise OfflineStoreError(msg, hint="use FileLoggingDestination")
    folder = _destination_folder(destination, config.repo_path)
    schema = _logged_schema(source, registry)
    keys = _partition_keys(destination, schema)
    _check_earlier_files(folder, schema)
    with ExitStack() as publishing:
        for table in _read_logs(data, schema):
            for place, rows in _partition(table, keys):
                path = folder / place / f"{uuid.uuid4().hex}.parquet"
                pq.write_table(rows, publishing.enter_context(whole_file(path)))


def _destination_folder(destination: FileLoggingDestination, repo_path: Path | None) -> Path:
    folder = Path(resolve_path(destination.path, repo_path))
    is_one_file = folder.suffix == ".parquet" or glob.has_magic(str(folder))
    if folder.is_file() or (is_one_file and not folder.is_dir()):
        msg = f"logged features cannot go to `{destination.path}`: it is one file or a glob"
        raise OfflineStoreError(msg, hint="name a folder")
    return folder


def _logged_schema(source: LoggingSource, registry: BaseRegistry) -> pa.Schema:
    try:
        schema = source.get_schema(registry)
    except KeyError as exc:  # Feast's table of Arrow types lacks it.
        msg = f"logged features: Feast has no logged form of type {exc.args[0]}"
        raise UnsupportedDtypeError(msg, hint="leave the feature out of the service") from exc
    # Feast says whole seconds, which would refuse every event timestamp between two of them.
    schema = pa.schema([field.with_type(_in_microseconds(field.type)) for field in schema])
    with io.BytesIO() as file:
        pq.write_table(schema.empty_table(), file)
        return pq.read_schema(file).remove_metadata()


def _in_microseconds(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_list(dtype):
        return pa.list_(_in_microseconds(dtype.value_type))
    return pa.timestamp("us", dtype.tz) if pa.types.is_timestamp(dtype) else dtype


def _partition_keys(destination: FileLoggingDestination, schema: pa.Schema) -> list[str]:
    keys = list(destination.partition_by or [])
    for key in keys:
        if key not in schema.names:
            msg = f"logged features: no column `{key}` to partition by"
            raise OfflineStoreError(msg, hint=f"the logs have {_listed(schema.names)}")
        dtype = schema.field(key).type
        is_text = pa.types.is_string(dtype) or pa.types.is_boolean(dtype)
        if not (is_text or pa.types.is_integer(dtype) or pa.types.is_date(dtype)):
            msg = f"logged features: column `{key}` is {dtype}, which cannot name a folder"
            raise OfflineStoreError(msg, hint="partition by a text, integer, bool or date column")
    return keys


def _check_earlier_files(folder: Path, schema: pa.Schema) -> None:
    # They agree with each other: each was checked so when it was written.
    earlier = next(_parquet_files(folder), None)
    if earlier is None:
        return
    written = _read_file_schema(earlier)
    differing = _differing(schema, written)
    if differing:
        msg = f"logged features: columns differ from `{earlier}`: {_listed(differing)}"
        hint = "the feature service was changed: log to a new folder"
        raise OfflineStoreError(msg, hint=hint)


def _read_logs(data: pa.Table | Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Read the logs, one table per file, in their declared columns; none that has no rows."""
    if isinstance(data, pa.Table):
        tables = iter([(data, "the table")])
    else:
        paths = [data] if data.is_file() else sorted(_parquet_files(data))
        if not paths:
            msg = f"logged features: no Parquet files at `{data}`"
            raise SourceUnavailableError(msg, hint="pass a Parquet file or a folder of them")
        tables = ((_read_file(path), f"`{path}`") for path in paths)
    for table, where in tables:
        conforming = _conform(table, schema, where)
        if conforming.num_rows:
            yield conforming


def _conform(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    differing = sorted({*table.column_names} ^ {*schema.names})
    if differing or len(table.column_names) != len(schema.names):
        differing = differing or sorted(table.column_names)
        msg = f"logged features: columns of {where} differ from the logs': {_listed(differing)}"
        raise OfflineStoreError(msg, hint=f"the logs have {_listed(schema.names)}")
    columns = []
    for field in schema:
        column = table[field.name]
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as exc:
            msg = f"logged features: column `{field.name}` of {where} is {column.type}: {exc}"
            raise OfflineStoreError(msg, hint=f"write it as {field.type}") from exc
    return pa.table(columns, schema=schema)


def _partition(table: pa.Table, keys: list[str]) -> Iterator[tuple[Path, pa.Table]]:
    if not keys:
        yield Path(), table
        return
    rows: dict[tuple[Any, ...], list[int]] = {}
    for i, values in enumerate(zip(*(table[key].to_pylist() for key in keys), strict=True)):
        rows.setdefault(values, []).append(i)
    for values, row_idx in rows.items():
        names = [_folder_name(key, value) for key, value in zip(keys, values, strict=True)]
        yield Path(*names), table.take(row_idx)


def _folder_name(key: str, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{quote(key, safe='')}={_HIVE_NULL if value is None else quote(text, safe='')}"


def _parquet_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*.parquet"):
        # A dot begins the names of files that are not complete yet.
        if path.is_file() and not path.name.startswith("."):
            yield path


def _read_file_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as exc:
        raise _unreadable(path) from exc


def _read_file(path: Path) -> pa.Table:
    try:
        # Not read_table(), which would take columns from the names of folders.
        with pq.ParquetFile(path) as file:
            return file.read()
    except (OSError, pa.ArrowException) as exc:
        raise _unreadable(path) from exc


def _unreadable(path: Path) -> SourceUnavailableError:
    msg = f"`{path}` is no readable Parquet file"
    return SourceUnavailableError(msg, hint="was it written to its end?")


def _differing(one: pa.Schema, other: pa.Schema) -> list[str]:
    types, others = (dict(zip(schema.names, schema.types, strict=True)) for schema in (one, other))
    return sorted(
        name for name in {*types, *others} if str(types.get(name)) != str(others.get(name))
    )


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
