"""Rows for the files of a batch source: checked against the views and the files they join.

Nothing of a push is written before this has accepted it, so that one store never has what the other
refuses.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureStore, FeatureView, FileSource
from feast.data_format import DeltaFormat

from evenstore.errors import EvenstoreError, OfflineStoreError, SourceUnavailableError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.remote import is_url
from evenstore.schema.source import find_files, read_column_types
from serving.writes.catalogue import WriteTarget
from serving.writes.frame import Frame
from serving.writes.reading import FrameReading, refuse_future

__all__ = ["OfflineRows", "read_offline", "write_offline"]

logger = logging.getLogger("evenstore.serving")

_INSTANT = pa.timestamp("us", tz="UTC")

_Types = Mapping[str, pa.DataType]
# Values of a column with their type; None where pyarrow infers it.
_Columns = dict[str, tuple[list[Any], pa.DataType | None]]


@dataclass(frozen=True, slots=True)
class OfflineRows:
    """Checked rows for one batch source.

    Attributes:
        view: A view that has the source.
        table: The rows, with the columns and types of the source's files.
    """

    view: FeatureView
    table: pa.Table


def read_offline(
    frame: Frame, targets: Sequence[WriteTarget], repo_path: Path, *, latest_us: int
) -> list[OfflineRows]:
    """Check a frame for the sources of some views; each source takes the rows once.

    Args:
        frame: The frame; columns that neither the views nor the source's files have are ignored.
        targets: The views.
        repo_path: Folder of the Feast repo.
        latest_us: Latest event timestamp that is accepted.

    Returns:
        One table per source; none where there are no rows.

    Raises:
        InvalidRequestError: Columns are missing, or hold what they must not; each is named with its
            first bad row.
        FutureRowError: A row is later than accepted.
        OfflineStoreError: The source's files cannot be read.
        SchemaError: A view has no batch source.
    """
    by_source: dict[str, list[WriteTarget]] = {}
    for target in targets:
        if target.table.batch_source is None:
            target.row_columns()  # Raises: no source says which column is the timestamp.
            continue
        by_source.setdefault(target.table.batch_source.name, []).append(target)
    tables = [
        _read_source(frame, fed, _file_types(fed[0].table, repo_path), latest_us)
        for fed in by_source.values()
    ]
    return [
        OfflineRows(fed[0].table, table)
        for fed, table in zip(by_source.values(), tables, strict=True)
        if table.num_rows
    ]


def write_offline(store: FeatureStore, rows: OfflineRows) -> None:
    """Add rows to their source through the repo's offline store.

    Raises:
        OfflineStoreError: The source takes no rows; the log says why.
    """
    provider: Any = store._get_provider()  # noqa: SLF001 - Feast has no other way
    try:
        # Not `ingest_df_to_offline_store`: it renames the source's columns to the features' names.
        provider.offline_write_batch(store.config, rows.view, rows.table, None)
    except OfflineStoreError as exc:
        raise _refused_by_store(rows.view, exc) from exc


def _file_types(view: FeatureView, repo_path: Path) -> _Types:
    """Return the types of the columns in the source's files; none while it has no files."""
    source = view.batch_source
    if (
        not isinstance(source, FileSource)
        or isinstance(source.file_format, DeltaFormat)
        or is_url(source.path.removeprefix("file://"))
    ):
        return {}
    try:
        paths = find_files(source, repo_path)
    except SourceUnavailableError:
        return {}
    try:
        return read_column_types(paths, where=f"data source `{source.name}`")
    except EvenstoreError as exc:
        raise _refused_by_store(view, exc) from exc


def _read_source(
    frame: Frame, targets: Sequence[WriteTarget], types: _Types, latest_us: int
) -> pa.Table:
    source: Any = targets[0].table.batch_source
    where, event = targets[0].name, source.timestamp_field
    reading = FrameReading(frame)
    columns: _Columns = {}
    for target in targets:
        columns = _declared_columns(frame, target, types, reading) | columns
    event_us = reading.instants(event, is_nullable=False)
    columns[event] = (event_us, _INSTANT)
    created = source.created_timestamp_column
    if created and (created in types or not types):
        sent = created in frame.columns
        instants = reading.instants(created, is_nullable=True) if sent else [None] * frame.n_rows
        columns[created] = (instants, _INSTANT)
    for name in types:
        if name not in columns:
            columns[name] = (reading.column(name), None)
    reading.refuse(where)
    refuse_future(event_us, where, event, latest_us=latest_us)
    arrays = {name: _fit(name, columns[name], types, reading) for name in types or columns}
    reading.refuse(where)
    return pa.table(arrays)


def _declared_columns(
    frame: Frame, target: WriteTarget, types: _Types, reading: FrameReading
) -> _Columns:
    """Read a view's columns; under the names they have in the source's files."""
    view = compile_feature_view(target.table, is_offline=True)
    source_names = {new: old for old, new in target.feature_names.items()}
    columns: _Columns = {}
    for field in (*view.join_keys, *view.features):
        name = source_names.get(field.name, field.name)
        values = reading.values(
            _known_as(name, field.name, frame.columns), field.dtype, is_key=field in view.join_keys
        )
        columns[_known_as(name, field.name, types)] = (values, arrow_type(field.dtype))
    return columns


def _known_as(source_name: str, name: str, columns: Collection[str]) -> str:
    """Return which of a column's two names is among those given."""
    return name if name in columns and source_name not in columns else source_name


def _fit(
    name: str,
    column: tuple[list[Any], pa.DataType | None],
    types: _Types,
    reading: FrameReading,
) -> pa.Array:
    values, declared = column
    try:
        array = pa.array(values, declared)
        return array.cast(types[name]) if name in types else array
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        reading.note(name, f"not {types.get(name, declared)}, which the source's files have")
        return pa.nulls(len(values))


def _refused_by_store(view: FeatureView, exc: EvenstoreError) -> OfflineStoreError:
    # The error's own text has paths of this machine.
    logger.error("%s: %s", exc.code, exc.message)
    msg = f"{view.name}: its data source takes no rows"
    return OfflineStoreError(msg, hint="the gateway's log says why")
