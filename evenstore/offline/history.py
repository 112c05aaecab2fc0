"""Point-in-time reads with statuses: what a feature vector was, as the online side would say it.

Training and parity read through here; Feast's own interface (`evenstore.offline.store`) shares the
join and leaves the statuses away.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore, FeatureView

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import EntityRowsError, UnsupportedDtypeError
from evenstore.offline.entity_rows import number_entity_rows, to_instants_us
from evenstore.schema.arrow import arrow_type
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.on_demand import FeatureValues, OnDemandStage, coerce_values
from evenstore.schema.request import FeatureRequest, ViewRead
from evenstore.schema.source import open_source
from evenstore.semantics import EARLIEST_US, Knowledge, Status
from evenstore.sql.latest import build_latest_rows_sql
from evenstore.sql.point_in_time import build_point_in_time_sql
from evenstore.sql.relation import AS_OF_US, EVENT_US, IS_AMBIGUOUS, N_ROWS

__all__ = [
    "HistoricalRead",
    "JoinedFeature",
    "describe_entities",
    "join_view",
    "open_history",
    "read_history",
]

_ENTITY_RELATION = "entity_rows"
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class JoinedFeature:
    """One feature for every entity row.

    Attributes:
        field: Which feature.
        values: Declared Arrow type; null where null, not found or withheld.
        statuses: int8, `Status`.
        event_us: int64 microseconds of the winning row, null where there is none.
    """

    field: Field
    values: pa.Array
    statuses: pa.Array
    event_us: pa.Array


@dataclass(frozen=True)
class HistoricalRead:
    """A point-in-time read that runs when its result is asked for.

    Attributes:
        request: The resolved feature service or references.
        sources: The files of each of `request.reads`, as they were when the read was opened.
        entity_table: Join keys, request data and the instants; other columns are kept.
        knowledge: Which rows may be known.
        event_timestamp_column: The instants' column.
        limits: Memory and threads of the join.
    """

    request: FeatureRequest
    sources: tuple[SourceFiles, ...]
    entity_table: pa.Table
    knowledge: Knowledge
    event_timestamp_column: str
    limits: SessionLimits | None = None

    @property
    def n_rows(self) -> int:
        """Entity rows, and rows of the result."""
        return int(self.entity_table.num_rows)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The result's columns: the entity rows' own, then those that the join adds."""
        features = [
            (column.output_name(full_feature_names=True), arrow_type(column.field.dtype))
            for column in self.request.columns
        ]
        added = [pa.field(name, dtype) for name, dtype in features]
        for name, _ in features:
            added += [
                pa.field(f"{name}__status", pa.int8()),
                pa.field(f"{name}__event_timestamp", _INSTANT),
            ]
        return pa.schema([*self.entity_table.schema, *added])

    def to_table(self) -> pa.Table:
        """Join, and return the whole result.

        Raises:
            SourceUnavailableError: A source's files are missing or unreadable.
            UnsupportedDtypeError: A list holds a null.
        """
        name = self.event_timestamp_column
        as_of_us = to_instants_us(self.entity_table[name], name)
        numbered = number_entity_rows(
            self.entity_table,
            self.request.entity_columns,
            as_of_us=as_of_us,
            known_at_us=as_of_us,
        )
        joined: dict[tuple[str, str], JoinedFeature] = {}
        for read, source in zip(self.request.reads, self.sources, strict=True):
            for feature in join_view(
                source, read, numbered, knowledge=self.knowledge, limits=self.limits
            ):
                joined[read.output_name, feature.field.name] = feature
        joined.update(_compute_on_demand(self.request, joined, self.entity_table))
        return _assemble(self.request, joined, self.entity_table)

    def to_reader(self, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Join, and return the result in batches of at most `batch_rows`, in entity-row order.

        Raises:
            SourceUnavailableError: A source's files are missing or unreadable.
            UnsupportedDtypeError: A list holds a null.
        """
        table = self.to_table()
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(batch_rows))

    def explain(self) -> str:
        """Say how the join of each view is done."""
        return "\n".join(f"{read.output_name}: one ordered join" for read in self.request.reads)


def open_history(
    store: FeatureStore,
    request: FeatureRequest,
    entity_table: pa.Table,
    *,
    knowledge: Knowledge,
    event_timestamp_column: str = "event_timestamp",
    limits: SessionLimits | None = None,
) -> HistoricalRead:
    """Prepare the join of a request's features to entity rows, each at its own instant.

    In as-known mode a row is known when its created timestamp is not after the entity row's
    instant.

    Args:
        store: The feature store, for its sources.
        request: The resolved feature service or references.
        entity_table: Join keys, request data and the instants; other columns are kept.
        knowledge: Which rows may be known; there is no default on purpose.
        event_timestamp_column: The instants' column, with a time zone.
        limits: Memory and threads of the join.

    Raises:
        EntityRowsError: A column is missing, of another type, or an instant is null or without a
            zone.
        SourceUnavailableError: A source's files are missing or unreadable.
        UnsupportedDtypeError: A source column cannot be widened exactly.
    """
    if event_timestamp_column not in entity_table.column_names:
        msg = f"entity rows: no column `{event_timestamp_column}`"
        raise EntityRowsError(msg, hint="name the column that holds each row's instant")
    to_instants_us(entity_table[event_timestamp_column], event_timestamp_column)
    views = {view.name: view for view in _batch_views(store)}
    sources = tuple(
        open_source(views[read.view.name], read.view, Path(store.repo_path))
        for read in request.reads
    )
    return HistoricalRead(request, sources, entity_table, knowledge, event_timestamp_column, limits)


def read_history(
    store: FeatureStore,
    request: FeatureRequest,
    entity_table: pa.Table,
    *,
    knowledge: Knowledge,
    event_timestamp_column: str = "event_timestamp",
    limits: SessionLimits | None = None,
) -> pa.Table:
    """Join a request's features to entity rows at once; see `open_history`.

    Shapes:
        in: n rows.
        out: n rows in the same order x (all of `entity_table`, then per feature
            `<view>__<feature>`, then per feature
            `<view>__<feature>__status` (int8) and `<view>__<feature>__event_timestamp`).

    Guarantees:
        Every entity row in, exactly one row out, duplicates kept.

    Raises:
        EntityRowsError: As `open_history`.
        SourceUnavailableError: A source's files are missing or unreadable.
        UnsupportedDtypeError: A source column cannot be widened exactly, or a list holds a null.
    """
    return open_history(
        store,
        request,
        entity_table,
        knowledge=knowledge,
        event_timestamp_column=event_timestamp_column,
        limits=limits,
    ).to_table()


def join_view(
    source: SourceFiles,
    read: ViewRead,
    numbered: pa.Table,
    *,
    knowledge: Knowledge,
    limits: SessionLimits | None = None,
) -> list[JoinedFeature]:
    """Join one view's features to numbered entity rows and decide their statuses.

    Raises:
        SourceUnavailableError: A file cannot be read.
        UnsupportedDtypeError: A list holds a null.
    """
    sql = build_point_in_time_sql(
        source, read, entity_relation=_ENTITY_RELATION, knowledge=knowledge
    )
    with open_session(limits) as session:
        session.register(_ENTITY_RELATION, numbered)
        table: pa.Table = session.sql(sql).to_arrow_table()
    event_us = _single(table[EVENT_US])
    is_found = pc.is_valid(event_us)
    is_expired = _is_expired(read.view, numbered[AS_OF_US].combine_chunks(), event_us)
    joined = []
    for field in read.features:
        values = _single(table[field.name]).cast(arrow_type(field.dtype))
        _refuse_null_elements(values, read.view, field)
        statuses = np.select(
            [_mask(pc.invert(is_found)), is_expired, _mask(pc.is_null(values))],
            [Status.NOT_FOUND, Status.OUTSIDE_MAX_AGE, Status.NULL_VALUE],
            default=Status.PRESENT,
        )
        if read.view.withholds_expired:
            values = pc.if_else(pa.array(is_expired), pa.scalar(None, values.type), values)
        joined.append(JoinedFeature(field, values, pa.array(statuses.astype(np.int8)), event_us))
    return joined


def describe_entities(store: FeatureStore, view: FeatureViewSchema, *, as_of_us: int) -> pa.Table:
    """Describe every entity of a view as it is at an instant; golden sets are drawn from this.

    Shapes:
        out: one row per entity key x (join keys, `n_rows` int64, `event_us` int64, `has_null` bool,
            `is_ambiguous` bool),
            ordered by join keys.
    """
    feast_view = next(item for item in _batch_views(store) if item.name == view.name)
    source = open_source(feast_view, view, Path(store.repo_path))
    sql = build_latest_rows_sql(source, view, since_us=EARLIEST_US, until_us=as_of_us)
    with open_session() as session:
        table: pa.Table = session.sql(sql).to_arrow_table()
    has_null = pa.array(np.zeros(table.num_rows, dtype=bool))
    for field in view.features:
        has_null = pc.or_(has_null, pc.is_null(table[field.name]))
    columns = {key.name: table[key.name].cast(arrow_type(key.dtype)) for key in view.join_keys}
    columns |= {
        "n_rows": table[N_ROWS],
        "event_us": table[EVENT_US],
        "has_null": has_null,
        "is_ambiguous": table[IS_AMBIGUOUS],
    }
    described = pa.table(columns)
    by_keys = [(key.name, "ascending") for key in view.join_keys]
    return described.sort_by(by_keys) if by_keys else described


def _batch_views(store: FeatureStore) -> Sequence[FeatureView]:
    return [*store.list_feature_views(), *store.list_stream_feature_views()]


def _is_expired(view: FeatureViewSchema, as_of_us: pa.Array, event_us: pa.Array) -> np.ndarray:
    if view.enforced_ttl_us is None:
        return np.zeros(len(event_us), dtype=bool)
    age_us = pc.subtract(as_of_us, event_us)
    return _mask(pc.fill_null(pc.greater(age_us, view.enforced_ttl_us), fill_value=False))


def _mask(condition: pa.Array) -> np.ndarray:
    return np.asarray(condition.to_numpy(zero_copy_only=False), dtype=bool)


def _single(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _refuse_null_elements(values: pa.Array, view: FeatureViewSchema, field: Field) -> None:
    if field.dtype.is_list and values.flatten().null_count:
        msg = f"{view.name}:{field.name}: a list holds a null"
        raise UnsupportedDtypeError(msg, hint="leave null elements out of the list in the source")


def _compute_on_demand(
    request: FeatureRequest,
    joined: dict[tuple[str, str], JoinedFeature],
    entity_table: pa.Table,
) -> dict[tuple[str, str], JoinedFeature]:
    if not request.on_demand:
        return {}
    statuses = {int(status): status for status in Status}
    features = {
        name: FeatureValues(
            joined[name].values.to_pylist(),
            [statuses[code] for code in joined[name].statuses.to_pylist()],
        )
        for name in dict.fromkeys(name for view in request.on_demand for name in view.inputs)
    }
    request_data = {
        field.name: _request_column(entity_table, field) for field in request.request_fields
    }
    n_rows = entity_table.num_rows
    outputs = OnDemandStage(request).apply(features, request_data, n_rows)
    declared = {
        (view.name, field.name): field for view in request.on_demand for field in view.features
    }
    return {
        name: JoinedFeature(
            field=declared[name],
            values=pa.array(output.values, arrow_type(declared[name].dtype)),
            statuses=pa.array(output.statuses, pa.int8()),
            event_us=pa.nulls(n_rows, pa.int64()),
        )
        for name, output in outputs.items()
    }


def _request_column(entity_table: pa.Table, field: Field) -> list[Any]:
    if field.name not in entity_table.column_names:
        msg = f"entity rows: no column `{field.name}`"
        raise EntityRowsError(
            msg, hint=f"an on-demand view takes it from the request: {field.dtype.value}"
        )
    column = entity_table[field.name]
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    where = f"entity rows: request data `{field.name}`"
    try:
        return coerce_values(column.to_pylist(), field.dtype, where=where)
    except UnsupportedDtypeError as exc:
        raise EntityRowsError(exc.message, hint=f"convert it to {field.dtype.value}") from exc


def _assemble(
    request: FeatureRequest,
    joined: dict[tuple[str, str], JoinedFeature],
    entity_table: pa.Table,
) -> pa.Table:
    names = list(entity_table.column_names)
    columns: list[Any] = list(entity_table.columns)
    features = [
        (column.output_name(full_feature_names=True), joined[column.view_name, column.field.name])
        for column in request.columns
    ]
    for name, feature in features:
        names.append(name)
        columns.append(feature.values)
    for name, feature in features:
        names += [f"{name}__status", f"{name}__event_timestamp"]
        columns += [feature.statuses, feature.event_us.cast(_INSTANT)]
    return pa.table(columns, names=names)
