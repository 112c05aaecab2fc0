"""A Feast data source as plain files and column names, checked against the declared types."""

from __future__ import annotations

import functools
import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, SourceUnavailableError, UnsupportedDtypeError
from evenstore.schema.arrow import is_exact_widening
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema, Field, fold_name

__all__ = [
    "SourceNames",
    "batch_source",
    "check_source_types",
    "find_files",
    "open_source",
    "read_column_types",
    "resolve_path",
]


def open_source(
    view: FeatureView, schema: FeatureViewSchema, repo_path: Path | None
) -> SourceFiles:
    """Find the files of a view's batch source and check their columns.

    Args:
        view: The Feast view, for its source.
        schema: The same view, compiled.
        repo_path: What relative paths are relative to.

    Raises:
        SourceUnavailableError: There are no files, or one is no Parquet file.
        SchemaError: A declared column or the timestamp is missing.
        UnsupportedDtypeError: A column's type cannot be widened exactly to the declared one.
    """
    source = batch_source(view)
    paths = find_files(source, repo_path)
    types = read_column_types(paths)
    names = SourceNames(view.name, source, types)
    event = names.timestamp(source.timestamp_field)
    created = None
    if source.created_timestamp_column:
        created = names.timestamp(source.created_timestamp_column)
    fields = (*schema.join_keys, *schema.features)
    columns = tuple((field.name, names.typed(field)) for field in fields)
    return SourceFiles(
        paths=paths,
        event=event,
        created=created,
        columns=columns,
        timestamp_features=frozenset(
            column for column in dict(columns).values() if _has_ns(types[column])
        ),
    )


def batch_source(view: FeatureView) -> DataSource:
    """Return the batch source of a view.

    Raises:
        SourceUnavailableError: The view has none.
    """
    if view.batch_source is None:
        msg = f"{view.name}: the view has no batch source"
        raise SourceUnavailableError(msg, hint="give its push or stream source a batch source")
    return view.batch_source


def check_source_types(
    view: FeatureView, schema: FeatureViewSchema, repo_path: Path | None
) -> None:
    """Check a view's source columns against its declared types, where there are files already.

    Raises:
        SchemaError: A declared column or a timestamp is missing.
        UnsupportedDtypeError: A column's type cannot be widened exactly to the declared one.
    """
    try:
        find_files(batch_source(view), repo_path)
    except SourceUnavailableError:
        return
    open_source(view, schema, repo_path)


def resolve_path(path: str, repo_path: Path | None) -> str:
    """Make a source's path absolute: relative ones are relative to the feature repo.

    Raises:
        SourceUnavailableError: The path is a URL of a remote file system, which is not supported
            yet.
    """
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    if "://" in path:
        msg = f"remote files are not supported yet: `{path}`"
        raise SourceUnavailableError(msg, hint="copy them to a local folder")
    if repo_path is not None and not Path(path).is_absolute():
        return str((repo_path / path).resolve())
    return str(Path(path).absolute())


def find_files(source: DataSource, repo_path: Path | None) -> tuple[str, ...]:
    """List the Parquet files of a source: one file, a folder (searched deeply) or a glob.

    Names that begin with a dot or an underscore are left out, those of folders below the source's
    too: they are not published yet.

    Raises:
        SourceUnavailableError: The source is no local Parquet source, or there is no file.
    """
    if not isinstance(source, FileSource):
        msg = f"data source `{source.name}` is a {type(source).__name__}"
        raise SourceUnavailableError(msg, hint="only FileSource is supported yet")
    if source.file_format is not None and not isinstance(source.file_format, ParquetFormat):
        msg = f"data source `{source.name}` is not Parquet"
        raise SourceUnavailableError(msg, hint="only Parquet is supported yet")
    path = resolve_path(source.path, repo_path)
    if Path(path).is_file():
        return (path,)
    is_folder = Path(path).is_dir()
    pattern = f"{glob.escape(path)}/**/*.parquet" if is_folder else path
    found = sorted(
        name
        for name in glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern.
        if _is_published(Path(name), Path(path) if is_folder else Path(name).parent)
    )
    if not found:
        msg = f"data source `{source.name}` has no Parquet files at `{source.path}`"
        raise SourceUnavailableError(msg, hint="make the feature tables first, or mend the path")
    return tuple(found)


def _is_published(file: Path, folder: Path) -> bool:
    names = file.relative_to(folder).parts
    return file.is_file() and not any(name.startswith((".", "_")) for name in names)


def read_column_types(paths: tuple[str, ...]) -> dict[str, pa.DataType]:
    """Read the Arrow types of all columns of some files.

    Raises:
        SourceUnavailableError: A file is missing or is no Parquet file.
        SchemaError: Two files give one column different types.
    """
    types: dict[str, pa.DataType] = {}
    for path in paths:
        stat = _stat(path)
        for name, dtype in _file_types(path, stat).items():
            known = types.setdefault(name, dtype)
            if known != dtype:
                msg = f"column `{name}` is {known} in one file and {dtype} in `{path}`"
                raise SchemaError(msg, hint="write all files of a source with one schema")
    return types


def _stat(path: str) -> tuple[int, int]:
    try:
        stat = Path(path).stat()
    except OSError as exc:
        msg = f"cannot read `{path}`: {exc.strerror}"
        raise SourceUnavailableError(msg) from exc
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=4096)
def _file_types(path: str, _version: tuple[int, int]) -> Mapping[str, pa.DataType]:
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as exc:
        msg = f"`{path}` is no readable Parquet file"
        raise SourceUnavailableError(msg, hint="was it written to its end?") from exc
    return dict(zip(schema.names, schema.types, strict=True))


class SourceNames:
    """Looks declared names up in a source whose field mapping may call them otherwise."""

    def __init__(self, view_name: str, source: DataSource, types: Mapping[str, Any]) -> None:
        self._view_name = view_name
        self._types = types
        self._source_column = {new: old for old, new in (source.field_mapping or {}).items()}

    def column(self, name: str) -> str:
        """Return the source column of a declared name; raises SchemaError when there is none."""
        mapped = self._source_column.get(name, name)
        if mapped in self._types:
            return self._only(mapped)
        if name in self._types:
            return self._only(name)
        msg = f"{self._view_name}: the source has no column `{mapped}`"
        have = ", ".join(f"`{column}`" for column in sorted(self._types))
        raise SchemaError(msg, hint=f"it has {have}")

    def source_column(self, name: str) -> str:
        """Return a column that Feast names as the source does, before any field mapping.

        Timestamps and pulls are named so; raises SchemaError when there is none.
        """
        return self._only(name) if name in self._types else self.column(name)

    def timestamp(self, name: str) -> TimestampColumn:
        """Return a timestamp column; raises UnsupportedDtypeError when it holds something else."""
        column = self.source_column(name)
        dtype = self._types[column]
        if not (pa.types.is_timestamp(dtype) or pa.types.is_date(dtype)):
            msg = f"{self._view_name}: timestamp column `{column}` is {dtype}"
            raise UnsupportedDtypeError(msg, hint="write it as a Parquet timestamp")
        return TimestampColumn(column, has_ns=_has_ns(dtype))

    def _only(self, column: str) -> str:
        # DuckDB would read whichever of them comes first in the file, for both names.
        twins = [name for name in self._types if fold_name(name) == fold_name(column)]
        if len(twins) > 1:
            listed = " and ".join(f"`{name}`" for name in sorted(twins))
            msg = f"{self._view_name}: the source's columns {listed} differ only in case"
            raise SchemaError(msg, hint="rename one of them in the files")
        return column

    def typed(self, field: Field) -> str:
        """Return a feature's or join key's column, checked to widen exactly."""
        column = self.column(field.name)
        dtype = self._types[column]
        if not is_exact_widening(dtype, field.dtype):
            where = f"{self._view_name}:{field.name}"
            msg = f"{where}: source column `{column}` is {dtype}, declared {field.dtype.value}"
            raise UnsupportedDtypeError(msg, hint=f"not exact: {_declare_hint(field.dtype, dtype)}")
        return column


def _declare_hint(declared: Dtype, source: Any) -> str:
    fitting = [dtype.value for dtype in Dtype if is_exact_widening(source, dtype)]
    if not fitting:
        return f"write the column as {declared.value}"
    return f"declare {fitting[0]}, or write the column as {declared.value}"


def _has_ns(dtype: Any) -> bool:
    is_list = pa.types.is_list(dtype) or pa.types.is_large_list(dtype)
    if is_list or pa.types.is_fixed_size_list(dtype):
        dtype = dtype.value_type
    return bool(pa.types.is_timestamp(dtype) and dtype.unit == "ns")
