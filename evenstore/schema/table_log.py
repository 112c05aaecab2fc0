"""Delta and Iceberg tables as the Parquet files that their logs name.

Only whole files are read: a table with deletion vectors, delete files, mapped or renamed columns is
refused, because its files alone say something else than the table does.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from feast import FileSource
from feast.data_source import DataSource

from evenstore.errors import SourceUnavailableError
from evenstore.schema.files import RemoteStore
from evenstore.schema.footer import identify_files
from evenstore.schema.listing import ListedFiles, resolve_path, store_of
from evenstore.schema.path_columns import LoggedValues
from evenstore.schema.remote import describe_failure, is_url, parse_store

__all__ = ["is_iceberg", "list_delta", "list_iceberg"]

_ICEBERG_CLASSES = frozenset({"IcebergSource", "UnityCatalogSource"})
_PARTITION = "partition."


def list_delta(source: FileSource, repo_path: Path | None) -> ListedFiles:
    """List the files of the current version of a Delta table.

    Raises:
        SourceUnavailableError: The reader is not installed, there is no table, or its files alone
            are not the table.
    """
    where = f"data source `{source.name}`"
    deltalake = _reader("deltalake", "delta", where)
    store = store_of(source)
    root = source.path.rstrip("/") if store else resolve_path(source.path, repo_path)
    try:
        table = deltalake.DeltaTable(root, storage_options=_delta_options(store))
        _check_delta(table, root, where)
        actions = pa.table(table.get_add_actions(flatten=True))
    except (deltalake.exceptions.DeltaError, OSError) as exc:
        msg = f"{where}: `{source.path}` is no readable Delta table: {describe_failure(exc, store)}"
        raise SourceUnavailableError(msg, hint="check the path and the credentials") from exc
    paths = tuple(_delta_path(root, path) for path in actions["path"].to_pylist())
    values = {
        name.removeprefix(_PARTITION): actions[name]
        for name in actions.column_names
        if name.startswith(_PARTITION)
    }
    return _listed(paths, values, store, source)


def _delta_options(store: RemoteStore | None) -> dict[str, str] | None:
    if store is None:
        return None
    options = dict(store.options)
    if store.endpoint:
        endpoint = store.endpoint if is_url(store.endpoint) else f"https://{store.endpoint}"
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    return options


def _check_delta(table: Any, root: str, where: str) -> None:
    features = table.protocol().reader_features or []
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        msg = f"{where}: the Delta table `{root}` maps its columns to other names"
        raise SourceUnavailableError(msg, hint="write it anew without delta.columnMapping.mode")
    if "deletionVectors" in features and any(batch.num_rows for batch in table.deletion_vectors()):
        msg = f"{where}: the Delta table `{root}` has deletion vectors"
        raise SourceUnavailableError(msg, hint="run REORG TABLE ... APPLY (PURGE) on it")


def _delta_path(root: str, logged: str) -> str:
    # The log holds URI references: names that need it are percent-encoded.
    path = unquote(logged)
    if is_url(path):
        return path.removeprefix("file://")
    return f"{root}/{path}" if is_url(root) else os.path.join(root, path)  # noqa: PTH118


def is_iceberg(source: DataSource) -> bool:
    """Tell Feast's Iceberg sources, without importing what they may not have installed."""
    return any(kind.__name__ in _ICEBERG_CLASSES for kind in type(source).__mro__)


def list_iceberg(source: Any) -> ListedFiles:
    """List the files of the current snapshot of an Iceberg table.

    Raises:
        SourceUnavailableError: The reader is not installed, the catalog does not have the table, or
            its files alone are not the table.
    """
    where = f"data source `{source.name}`"
    _reader("pyiceberg", "iceberg", where)
    try:
        table = _load_iceberg(source)
        _check_renames(table, where)
        tasks = list(table.scan().plan_files())
    except SourceUnavailableError:
        raise
    except Exception as exc:  # pyiceberg's errors and its catalogs' have no common base.
        msg = f"{where}: `{source.fqn}` is no readable Iceberg table: {describe_failure(exc, None)}"
        raise SourceUnavailableError(msg, hint="check the catalog and its properties") from exc
    for task in tasks:
        if task.delete_files or str(task.file.file_format).rpartition(".")[2] != "PARQUET":
            msg = f"{where}: the Iceberg table `{source.fqn}` has delete files or other formats"
            raise SourceUnavailableError(msg, hint="rewrite its data files as Parquet")
    tasks.sort(key=lambda task: str(task.file.file_path))
    paths = tuple(str(task.file.file_path).removeprefix("file://") for task in tasks)
    store = _iceberg_store(table.io.properties, paths, where)
    return _listed(paths, dict(_identity_partitions(table, tasks)), store, source)


def _load_iceberg(source: Any) -> Any:
    if source.catalog_type != "rest":
        catalog = source.get_catalog_client()
    else:  # Feast's own client of REST catalogs knows no files.
        properties = {"type": "rest", "uri": source.endpoint, "warehouse": source.warehouse}
        token = os.environ.get(source.token_env_var) if source.token_env_var else None
        if token:
            properties["token"] = token
        properties |= source.catalog_properties
        load_catalog = importlib.import_module("pyiceberg.catalog").load_catalog
        catalog = load_catalog(source.catalog_name, **properties)
    return catalog.load_table(f"{source.namespace}.{source.iceberg_table}")


def _check_renames(table: Any, where: str) -> None:
    """Refuse a table whose columns were ever renamed or replaced: files are read by name."""
    current = {field.name: field.field_id for field in table.schema().fields}
    ids = {field_id: name for name, field_id in current.items()}
    for schema in table.schemas().values():
        for field in schema.fields:
            renamed = ids.get(field.field_id, field.name) != field.name
            if renamed or current.get(field.name, field.field_id) != field.field_id:
                msg = f"{where}: column `{field.name}` of the Iceberg table was renamed or replaced"
                raise SourceUnavailableError(msg, hint="write the table anew with its names of now")


def _identity_partitions(table: Any, tasks: list[Any]) -> Iterator[tuple[str, pa.Array]]:
    # Files that were added to a table, not written by it, may lack such columns.
    schema = table.schema()
    types = {field.name: field.type for field in schema.as_arrow()}
    specs = table.specs()
    for field in table.spec().fields:
        name = schema.find_column_name(field.source_id)
        places = [_place(specs[task.file.spec_id], field.source_id) for task in tasks]
        if str(field.transform) != "identity" or name not in types or None in places:
            continue
        values = [task.file.partition[place] for task, place in zip(tasks, places, strict=True)]
        yield name, _arrow_values(values, types[name])


def _place(spec: Any, source_id: int) -> int | None:
    """Return where a file's partition record holds a column unchanged, None where it does not."""
    for place, field in enumerate(spec.fields):
        if field.source_id == source_id and str(field.transform) == "identity":
            return place
    return None


def _arrow_values(values: list[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(dtype) or pa.types.is_date(dtype):
        whole = pa.int32() if pa.types.is_date32(dtype) else pa.int64()
        return pa.array(values, whole).cast(dtype)
    return pa.array(values, dtype)


def _iceberg_store(
    properties: Mapping[str, str], paths: tuple[str, ...], where: str
) -> RemoteStore | None:
    if not paths or not is_url(paths[0]):
        return None
    names = {
        "AWS_ACCESS_KEY_ID": "s3.access-key-id",
        "AWS_SECRET_ACCESS_KEY": "s3.secret-access-key",
        "AWS_SESSION_TOKEN": "s3.session-token",
        "AWS_DEFAULT_REGION": "s3.region",
    }
    credentials = {name: properties.get(key, "") for name, key in names.items()}
    endpoint = properties.get("s3.endpoint", "")
    return parse_store(paths[0], endpoint=endpoint, credentials=credentials, where=where)


def _listed(
    paths: tuple[str, ...], values: Mapping[str, Any], store: RemoteStore | None, source: DataSource
) -> ListedFiles:
    where = f"data source `{source.name}`"
    if not paths:
        msg = f"{where} is a table without files"
        raise SourceUnavailableError(msg, hint="write rows to it first")
    identities = identify_files(paths, store=store, where=where)
    logged = {name: LoggedValues(name, array, paths) for name, array in values.items()}
    return ListedFiles(identities, store, logged)


def _reader(package: str, extra: str, where: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as exc:
        msg = f"{where}: reading such a table needs the package {package}"
        raise SourceUnavailableError(msg, hint=f"pip install 'evenstore[{extra}]'") from exc
