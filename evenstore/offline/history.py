"""Point-in-time reads with statuses: what a feature vector was, as the online side would say it.

Training and parity read through here; Feast's own interface (`evenstore.offline.store`) shares the
join and leaves the statuses away.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureStore, FeatureView

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import EntityRowsError
from evenstore.offline.entity_rows import number_entity_rows, to_instants_us
from evenstore.offline.join_views import ViewJoins
from evenstore.offline.joined import JoinedFeature, JoinedView
from evenstore.offline.limits import session_limits, uses_side_index
from evenstore.offline.open_join import JoinOptions, ViewToJoin
from evenstore.offline.retry import list_again, retry_on_change
from evenstore.schema.arrow import arrow_type, fill_null_array
from evenstore.schema.degradation import load_defaults
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import footers_of
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.on_demand_arrow import ArrowFeature, ArrowOnDemandStage, read_request_data
from evenstore.schema.request import Column, FeatureRequest
from evenstore.schema.source import open_source
from evenstore.schema.version import find_pinned_view
from evenstore.semantics import EARLIEST_US, Knowledge
from evenstore.sql.latest import build_latest_rows_sql
from evenstore.sql.relation import CREATED_US, EVENT_US, IS_AMBIGUOUS, N_ROWS

__all__ = [
    "HistoricalRead",
    "describe_entities",
    "open_history",
    "read_history",
]

_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class HistoricalRead:
    """A point-in-time read that runs when its result is asked for.

    Attributes:
        request: The resolved feature service or references.
        sources: The files of each of `request.reads`, as they were when the read was opened.
        entity_table: Join keys, request data and the instants; other columns are kept.
        options: Which rows may be known, and how they are joined.
        event_timestamp_column: The instants' column.
        seen_until_us: See `open_history`.
    """

    request: FeatureRequest
    sources: tuple[SourceFiles, ...]
    entity_table: pa.Table
    options: JoinOptions
    event_timestamp_column: str
    seen_until_us: Mapping[str, pa.Array] | None = None

    @property
    def n_rows(self) -> int:
        """Entity rows, and rows of the result."""
        return int(self.entity_table.num_rows)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The result's columns: the entity rows' own, then those that the join adds."""
        features = [
            (column.output_name(full_feature_names=True), self._arrow_type(column))
            for column in self.request.columns
        ]
        added = [pa.field(name, dtype) for name, dtype in features]
        for name, _ in features:
            added += [
                pa.field(f"{name}__status", pa.int8()),
                pa.field(f"{name}__event_timestamp", _INSTANT),
            ]
        added += [pa.field(_created_timestamp_of(name), _INSTANT) for name in self._created_views]
        return pa.schema([*self.entity_table.schema, *added])

    @property
    def _created_views(self) -> list[str]:
        if not self.options.with_created:
            return []
        return [
            read.output_name
            for read, source in zip(self.request.reads, self.sources, strict=True)
            if source.created is not None
        ]

    def to_table(self) -> pa.Table:
        """Join, and return the whole result.

        Raises:
            SourceUnavailableError: A source's files are missing or unreadable.
            UnsupportedDtypeError: A list holds a null.
        """
        return self._assemble(self._joins().run(), self.entity_table)

    def to_reader(self, batch_rows: int = 65_536) -> pa.RecordBatchReader:
        """Join, and return the result in batches of at most `batch_rows`, in entity-row order.

        Raises:
            SourceUnavailableError: A source's files are missing or unreadable.
            UnsupportedDtypeError: A list holds a null.
        """
        return pa.RecordBatchReader.from_batches(self.schema, self._batches(batch_rows))

    def explain(self) -> str:
        """Say how the join of each view is done, and why."""
        return self._joins().explain()

    def _arrow_type(self, column: Column) -> pa.DataType:
        dtype = column.field.dtype
        if not dtype.holds_map:
            return arrow_type(dtype)
        # The types inside a map are not declared: they are the source's own.
        for read, source in zip(self.request.reads, self.sources, strict=True):
            if read.output_name == column.view_name:
                named = dict(source.columns)
                types = footers_of(source)[0].types
                return arrow_type(dtype, types[named[column.field.name]])
        return arrow_type(dtype)

    def _batches(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        first_row = 0
        for joined in self._joins().stream(batch_rows):
            rows = self.entity_table.slice(first_row, len(joined[0].event_us))
            table = self._assemble(joined, rows)
            yield from table.combine_chunks().to_batches()
            first_row += table.num_rows

    def _assemble(self, joined: Sequence[JoinedView], rows: pa.Table) -> pa.Table:
        table = _assemble(self.request, joined, rows)
        by_name = {view.read.output_name: view for view in joined}
        for name in self._created_views:
            table = table.append_column(
                _created_timestamp_of(name), by_name[name].created_us.cast(_INSTANT)
            )
        return table

    def _joins(self) -> ViewJoins:
        name = self.event_timestamp_column
        as_of_us = to_instants_us(self.entity_table[name], name)
        entity_columns = self.request.entity_columns
        numbered = number_entity_rows(self.entity_table, entity_columns, as_of_us=as_of_us)
        views = []
        for source, read in zip(self.sources, self.request.reads, strict=True):
            until_us = (self.seen_until_us or {}).get(read.output_name)
            if until_us is None:
                views.append(ViewToJoin(source, read, numbered))
                continue
            capped_us = pc.min_element_wise(as_of_us, until_us)
            capped = number_entity_rows(self.entity_table, entity_columns, as_of_us=capped_us)
            views.append(ViewToJoin(source, read, capped, judged_at_us=as_of_us))
        return ViewJoins(views, self.options)


def _created_timestamp_of(view_name: str) -> str:
    """Return the column that holds the created timestamp of a view's row."""
    return f"{view_name}__created_timestamp"


def open_history(
    store: FeatureStore,
    request: FeatureRequest,
    entity_table: pa.Table,
    *,
    knowledge: Knowledge,
    event_timestamp_column: str = "event_timestamp",
    limits: SessionLimits | None = None,
    with_created: bool = False,
    seen_until_us: Mapping[str, pa.Array] | None = None,
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
        limits: Memory and threads of the join; by default what feature_store.yaml says.
        with_created: Add the created timestamp of each view's row.
        seen_until_us: For some views, by the name they are asked for by, an int64 instant per
            entity row after which none of their rows is seen, as in a store that is loaded up to
            there. Age and ttl are still judged at the entity row's own instant.

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
    views: dict[str, Any] = {view.name: view for view in _batch_views(store)}
    for name in {read.view.name for read in request.reads if "@" in read.view.name}:
        views[name] = find_pinned_view(store.registry, store.project, name)
    sources = tuple(
        list_again(
            functools.partial(open_source, views[read.view.name], read.view, Path(store.repo_path))
        )
        for read in request.reads
    )
    options = JoinOptions(
        knowledge,
        limits=session_limits(store.config) if limits is None else limits,
        repo_path=Path(store.repo_path) if uses_side_index(store.config) else None,
        with_created=with_created,
    )
    return HistoricalRead(
        request, sources, entity_table, options, event_timestamp_column, seen_until_us
    )


def read_history(
    store: FeatureStore,
    request: FeatureRequest,
    entity_table: pa.Table,
    *,
    knowledge: Knowledge,
    event_timestamp_column: str = "event_timestamp",
    limits: SessionLimits | None = None,
    seen_until_us: Mapping[str, pa.Array] | None = None,
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
    return retry_on_change(
        lambda: open_history(
            store,
            request,
            entity_table,
            knowledge=knowledge,
            event_timestamp_column=event_timestamp_column,
            limits=limits,
            seen_until_us=seen_until_us,
        ).to_table()
    )


def describe_entities(
    store: FeatureStore,
    view: FeatureViewSchema,
    *,
    as_of_us: int,
    knowledge: Knowledge = Knowledge.LATEST_TRUTH,
) -> pa.Table:
    """Describe every entity of a view as it is at an instant; golden sets are drawn from this.

    Args:
        store: The feature store, for its sources.
        view: The view.
        as_of_us: The instant.
        knowledge: Which rows may be known; as known, those created by the instant.

    Shapes:
        out: one row per entity key x (join keys, `n_rows` int64, `event_us` int64, `has_null` bool,
            `is_ambiguous` bool, `created_us` int64 or null),
            ordered by join keys.
    """
    feast_view = next(item for item in _batch_views(store) if item.name == view.name)
    source = open_source(feast_view, view, Path(store.repo_path))
    sql = build_latest_rows_sql(
        source,
        view,
        since_us=EARLIEST_US,
        until_us=as_of_us,
        known_until_us=as_of_us if knowledge is Knowledge.AS_KNOWN else None,
    )
    with open_session(sources=[source]) as session:
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
        "created_us": table[CREATED_US],
    }
    described = pa.table(columns)
    by_keys = [(key.name, "ascending") for key in view.join_keys]
    return described.sort_by(by_keys) if by_keys else described


def _batch_views(store: FeatureStore) -> Sequence[FeatureView]:
    return [*store.list_feature_views(), *store.list_stream_feature_views()]


def _compute_on_demand(
    request: FeatureRequest,
    joined: dict[tuple[str, str], JoinedFeature],
    entity_table: pa.Table,
) -> dict[tuple[str, str], JoinedFeature]:
    if not request.on_demand:
        return {}
    features = {
        name: ArrowFeature(joined[name].values, joined[name].statuses)
        for view in request.on_demand
        for name in view.inputs
    }
    n_rows = entity_table.num_rows
    request_data = read_request_data(entity_table, request.request_fields)
    outputs = ArrowOnDemandStage(request).apply(features, request_data, n_rows)
    declared = {
        (view.name, field.name): field for view in request.on_demand for field in view.features
    }
    return {
        name: JoinedFeature(
            field=declared[name],
            values=output.values,
            statuses=output.statuses,
            event_us=pa.nulls(n_rows, pa.int64()),
        )
        for name, output in outputs.items()
    }


def _assemble(
    request: FeatureRequest,
    views: Sequence[JoinedView],
    entity_table: pa.Table,
) -> pa.Table:
    joined = {
        (view.read.output_name, feature.field.name): feature
        for view in views
        for feature in view.features()
    }
    joined.update(_compute_on_demand(request, joined, entity_table))
    names = list(entity_table.column_names)
    columns: list[Any] = list(entity_table.columns)
    features = [
        (column.output_name(full_feature_names=True), joined[column.view_name, column.field.name])
        for column in request.columns
    ]
    defaults = load_defaults(request)
    for (name, feature), default in zip(features, defaults, strict=True):
        names.append(name)
        columns.append(fill_null_array(feature.values, default))
    for name, feature in features:
        names += [f"{name}__status", f"{name}__event_timestamp"]
        columns += [feature.statuses, feature.event_us.cast(_INSTANT)]
    return pa.table(columns, names=names)
