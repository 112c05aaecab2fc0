"""A Feast data source as plain files and column names, checked against the declared types."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from feast import FeatureView, FileSource
from feast.data_format import DeltaFormat
from feast.data_source import DataSource

from evenstore.errors import SourceUnavailableError
from evenstore.schema.columns import SourceColumns, has_nanoseconds, merge_types
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import identify_files, read_footers
from evenstore.schema.listing import ListedFiles, check_no_table, list_parquet, resolve_path
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.table_log import is_iceberg, list_delta, list_iceberg

__all__ = [
    "batch_source",
    "check_source_types",
    "find_files",
    "list_files",
    "open_columns",
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
        SchemaError: A declared column or the timestamp is missing, or files disagree.
        UnsupportedDtypeError: A column's type cannot be widened exactly to the declared one.
        ConfigurationError: There are credentials in a URL.

    Complexity:
        The footer of each file is read once as long as the file is the same.
    """
    source = batch_source(view)
    listed = list_files(source, repo_path)
    created_name = source.created_timestamp_column or None
    keys = [key.name for key in schema.join_keys]
    ranged = _ranged(
        source, [*keys, source.timestamp_field, *([created_name] if created_name else [])]
    )
    columns = open_columns(view.name, source, listed, ranged=ranged)
    event = columns.timestamp(source.timestamp_field)
    created = None
    if created_name:
        created = columns.timestamp(created_name, is_in_every_file=False)
    named = [(key.name, columns.typed(key, is_in_every_file=True)) for key in schema.join_keys]
    named += [(feature.name, columns.typed(feature)) for feature in schema.features]
    return SourceFiles(
        paths=listed.paths,
        event=event,
        created=created,
        columns=tuple(named),
        timestamp_features=frozenset(
            column for _, column in named if has_nanoseconds(columns.type_of(column))
        ),
        name=view.name,
        path_columns=columns.path_columns,
        store=listed.store,
        identities=listed.identities,
        ranged=ranged,
        is_uniform=columns.is_uniform,
    )


def _ranged(source: DataSource, names: list[str]) -> tuple[str, ...]:
    """Name the columns that a join prunes by, under each name that they may have in a file."""
    renamed = {new: old for old, new in (source.field_mapping or {}).items()}
    return tuple(
        dict.fromkeys(found for name in names for found in (renamed.get(name, name), name))
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
        list_files(batch_source(view), repo_path)
    except SourceUnavailableError:
        return
    open_source(view, schema, repo_path)


def list_files(source: DataSource, repo_path: Path | None) -> ListedFiles:
    """List the files of a source of any kind that can be read.

    Raises:
        SourceUnavailableError: The source is of another kind, there is no file, or what its kind
            needs is not installed.
    """
    if is_iceberg(source):
        return list_iceberg(source)
    if not isinstance(source, FileSource):
        msg = f"data source `{source.name}` is a {type(source).__name__}"
        raise SourceUnavailableError(msg, hint="FileSource and IcebergSource can be read")
    check_no_table(source)
    if isinstance(source.file_format, DeltaFormat):
        return list_delta(source, repo_path)
    return list_parquet(source, repo_path)


def find_files(source: DataSource, repo_path: Path | None) -> tuple[str, ...]:
    """List the paths or URLs of a source's files; see `list_files`.

    Raises:
        SourceUnavailableError: There is no file, or none that can be read.
    """
    return list_files(source, repo_path).paths


def open_columns(
    where: str, source: DataSource, listed: ListedFiles, *, ranged: tuple[str, ...] = ()
) -> SourceColumns:
    """Read what columns listed files have.

    Args:
        where: The view or data source, for messages.
        source: For its field mapping.
        listed: Its files.
        ranged: Columns whose ranges are wanted too.

    Raises:
        SourceUnavailableError: A file is gone, or is no Parquet file.
    """
    footers = read_footers(listed.identities, columns=ranged, store=listed.store, where=where)
    return SourceColumns(where, source, footers, listed.path_values)


def read_column_types(
    paths: tuple[str, ...], *, where: str = "the source"
) -> dict[str, pa.DataType]:
    """Read the Arrow types of all columns of some local files.

    Raises:
        SourceUnavailableError: A file is missing or is no Parquet file.
        SchemaError: Two files give one column different types.
    """
    footers = read_footers(identify_files(paths, where=where), where=where)
    names = dict.fromkeys(name for footer in footers for name in footer.types)
    return {name: merge_types(name, footers, where=where) for name in names}
