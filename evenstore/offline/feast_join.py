"""Feast's historical retrieval, translated to the point-in-time join."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.infra.offline_stores.offline_store import RetrievalMetadata

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import EntityRowsError
from evenstore.offline.dated import find_entities
from evenstore.offline.entity_rows import number_entity_rows, to_instants_us
from evenstore.offline.entity_source import is_parquet_path, read_entity_table
from evenstore.offline.join_views import ViewJoins
from evenstore.offline.joined import JoinedView
from evenstore.offline.open_join import JoinOptions, ViewToJoin
from evenstore.offline.retry import list_again, retry_on_change
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import Field, OnDemandViewSchema
from evenstore.schema.on_demand_arrow import compute_on_demand_columns
from evenstore.schema.request import ViewRead, split_reference
from evenstore.schema.source import open_source
from evenstore.semantics import Knowledge

__all__ = ["FeastJoin", "SeenBetween"]

_FEAST_EVENT_TIMESTAMP = "event_timestamp"
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class SeenBetween:
    """Stands for entity rows: every entity seen between two instants, joined at the later one.

    Units:
        `since_us`, `until_us`: microseconds; both ends are inclusive.
    """

    since_us: int
    until_us: int


@dataclass(frozen=True)
class FeastJoin:
    """One retrieval as Feast states it.

    Attributes:
        feature_views: Views with their projections (aliases, join key maps, pinned versions).
        feature_refs: `view:feature`, those that on-demand views need included.
        on_demand: The on-demand views that the references name.
        repo_path: What relative source paths are relative to.
        limits: Memory and threads.
        is_as_known: Take only rows whose created timestamp is not after the entity row's instant.
        full_feature_names: Name columns `view__feature`.
        uses_side_index: Whether side indexes are looked for.
        with_statuses: Add the status and event timestamp of every feature that is read.
    """

    feature_views: Sequence[FeatureView]
    feature_refs: Sequence[str]
    on_demand: Sequence[OnDemandViewSchema]
    repo_path: Path | None
    limits: SessionLimits
    is_as_known: bool
    full_feature_names: bool
    uses_side_index: bool = True
    with_statuses: bool = False

    @property
    def knowledge(self) -> Knowledge:
        """Which rows the join may know of."""
        return Knowledge.AS_KNOWN if self.is_as_known else Knowledge.LATEST_TRUTH

    @functools.cached_property
    def reads(self) -> tuple[ViewRead, ...]:
        """The views to read, with the caller's key columns."""
        return tuple(self._read(view) for view in self.feature_views)

    def read_entity_rows(self, entity_df: Any) -> pa.Table:
        """Read entity rows once, in any of the forms that callers have them.

        Args:
            entity_df: A pandas or polars frame, an Arrow table, the path of a Parquet file (a
                PathLike, or a string ending in `.parquet`), or any other string as SQL.

        Raises:
            ConfigurationError: There is no file at the path, or it is not Parquet.
            EntityRowsError: Another form, or a column of mixed types.
            OfflineStoreError: SQL that DuckDB refuses.
        """
        if isinstance(entity_df, str) and not is_parquet_path(entity_df):
            return _run_query(entity_df, self.limits)
        return read_entity_table(entity_df)

    def run(self, asked: pa.Table | SeenBetween) -> pa.Table:
        """Join; one output row per entity row, in order, values as the views' ttl leaves them.

        Raises:
            EntityRowsError: A column is missing, of another type, or has a feature's name.
            SourceChangedError: A source's files were replaced faster than they could be read.
            SourceUnavailableError: A source's files are missing or unreadable.
            UnsupportedDtypeError: A source column cannot be widened exactly.
        """
        return retry_on_change(lambda: self._run(asked))

    def stream(self, asked: pa.Table | SeenBetween, slice_rows: int) -> Iterator[pa.Table]:
        """Join; the result of `run` in slices of entity rows, of which one is held at a time."""
        entity_table, joins = self._joins(asked)
        first_row = 0
        for joined in joins.stream(slice_rows):
            rows = entity_table.slice(first_row, len(joined[0].event_us))
            first_row += rows.num_rows
            yield self._append(rows, joined)
        if not first_row:
            yield self.run(entity_table)

    def explain(self, asked: pa.Table | SeenBetween) -> str:
        """Say how each view is joined and why."""
        return self._joins(asked)[1].explain()

    def describe_sql(self, asked: pa.Table | SeenBetween) -> str:
        """Return the statements that run."""
        return self._joins(asked)[1].sql()

    def metadata(self, asked: pa.Table | SeenBetween) -> RetrievalMetadata:
        """Describe the retrieval as Feast's saved datasets want it."""
        if isinstance(asked, SeenBetween):
            until = _to_datetime(pa.scalar(asked.until_us, _INSTANT))
            keys = dict.fromkeys(column for read in self.reads for column in read.key_columns)
            return RetrievalMetadata(list(self.feature_refs), list(keys), until, until)
        name = find_event_timestamp_column(asked.schema)
        bounds = pc.min_max(_as_timestamps(asked[name], name))
        return RetrievalMetadata(
            features=list(self.feature_refs),
            keys=[column for column in asked.column_names if column != name],
            min_event_timestamp=_to_datetime(bounds["min"]),
            max_event_timestamp=_to_datetime(bounds["max"]),
        )

    def _sources(self) -> list[SourceFiles]:
        return [
            list_again(functools.partial(open_source, view, read.view, self.repo_path))
            for view, read in zip(self.feature_views, self.reads, strict=True)
        ]

    def _run(self, asked: pa.Table | SeenBetween) -> pa.Table:
        entity_table, joins = self._joins(asked)
        return self._append(entity_table, joins.run())

    def _joins(self, asked: pa.Table | SeenBetween) -> tuple[pa.Table, ViewJoins]:
        """Return the entity rows, and the joins to them; both are of the same files."""
        sources = self._sources()
        entity_table = asked
        if isinstance(asked, SeenBetween):
            entity_table = find_entities(
                list(zip(sources, self.reads, strict=True)),
                since_us=asked.since_us,
                until_us=asked.until_us,
                event_timestamp_column=_FEAST_EVENT_TIMESTAMP,
                limits=self.limits,
            )
        return entity_table, self._view_joins(entity_table, sources)

    def _view_joins(self, entity_table: pa.Table, sources: Sequence[SourceFiles]) -> ViewJoins:
        name = find_event_timestamp_column(entity_table.schema)
        instants_us = to_instants_us(
            _as_timestamps(entity_table[name], name), name, naive_is_utc=True
        )
        views = []
        for source, read in zip(sources, self.reads, strict=True):
            entity_columns = tuple(
                Field(column, key.dtype)
                for column, key in zip(read.key_columns, read.view.join_keys, strict=True)
            )
            sees_expired = self.with_statuses or not read.view.withholds_expired
            numbered = number_entity_rows(
                entity_table,
                entity_columns,
                as_of_us=instants_us,
                ttl_us=None if sees_expired else read.view.enforced_ttl_us,
            )
            views.append(ViewToJoin(source, read, numbered))
        options = JoinOptions(
            self.knowledge,
            limits=self.limits,
            repo_path=self.repo_path if self.uses_side_index else None,
        )
        return ViewJoins(views, options)

    def _append(self, table: pa.Table, joined: Sequence[JoinedView]) -> pa.Table:
        features = [
            (self._output_name(view.read, field), view, field)
            for view in joined
            for field in view.read.features
        ]
        for name, view, field in features:
            table = _with_column(table, name, view.values(field))
        on_demand = compute_on_demand_columns(
            self.on_demand,
            table,
            feature_refs=self.feature_refs,
            full_feature_names=self.full_feature_names,
        )
        for name, values in on_demand:
            table = _with_column(table, name, values)
        if self.with_statuses:
            for name, view, field in features:
                table = _with_column(table, f"{name}__status", view.statuses(field))
                instants = view.event_us.cast(_INSTANT)
                table = _with_column(table, f"{name}__event_timestamp", instants)
        return table

    def _output_name(self, read: ViewRead, field: Field) -> str:
        return f"{read.output_name}__{field.name}" if self.full_feature_names else field.name

    def _read(self, view: FeatureView) -> ViewRead:
        name = view.projection.name_to_use()
        schema = compile_feature_view(view, is_offline=True)
        if view.projection.version_tag is not None:
            # The snapshot, as Feast found it: with its own source, schema and ttl.
            pinned = f"{view.name}@v{view.projection.version_tag}"
            schema = dataclasses.replace(schema, name=pinned)
        asked = (split_reference(reference) for reference in self.feature_refs)
        wanted = {feature for view_name, feature in asked if view_name == name}
        renamed: dict[str, Any] = dict(view.projection.join_key_map or {})
        return ViewRead(
            view=schema,
            output_name=name,
            key_columns=tuple(renamed.get(key.name, key.name) for key in schema.join_keys),
            features=tuple(field for field in schema.features if field.name in wanted),
        )


def _run_query(sql: str, limits: SessionLimits) -> pa.Table:
    hint = "a string that does not end in `.parquet` is taken for SQL: one SELECT"
    with open_session(limits) as session:
        try:
            kinds = [statement.type for statement in session.extract_statements(sql)]
        except duckdb.ParserException as exc:
            first_line = str(exc).splitlines()[0]
            msg = f"entity rows: {first_line}"
            raise EntityRowsError(msg, hint=hint) from exc
        if kinds != [duckdb.StatementType.SELECT]:
            msg = f"entity rows: not one query: `{sql}`"
            raise EntityRowsError(msg, hint=hint)
        return read_entity_table(session.sql(sql).to_arrow_table())


def _to_datetime(instant: pa.Scalar) -> datetime | None:
    try:
        found: datetime | None = instant.as_py()
    except OverflowError:
        # Beyond the year 9999 there is no datetime; the join itself needs none.
        return None
    return found


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    if name in table.column_names:
        msg = f"entity rows: column `{name}` has the name of a feature asked for"
        raise EntityRowsError(msg, hint="rename it, or pass full_feature_names=True")
    return table.append_column(name, values)


def find_event_timestamp_column(schema: pa.Schema) -> str:
    """Find the instants' column: `event_timestamp`, else the only timestamp.

    Raises:
        EntityRowsError: There is none, or several.
    """
    if _FEAST_EVENT_TIMESTAMP in schema.names:
        return _FEAST_EVENT_TIMESTAMP
    found = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if len(found) != 1:
        listed = ", ".join(f"`{name}`" for name in found) or "none"
        msg = f"entity rows: which column is the event timestamp? timestamps: {listed}"
        raise EntityRowsError(msg, hint="call it `event_timestamp`")
    return str(found[0])


def _as_timestamps(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Parse ISO 8601 text, which Feast allows; leave timestamps as they are."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type == pa.string_view():
        column = column.cast(pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    try:
        return _parse_instants(column)
    except ValueError as exc:
        msg = f"entity rows: column `{name}` holds text that is no ISO 8601 instant: {exc}"
        raise EntityRowsError(msg, hint="for example 2024-01-31T12:00:00Z") from exc


def _parse_instants(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        instants = pd.to_datetime(texts.to_pandas(), utc=True, format="ISO8601")
    except pd.errors.OutOfBoundsDatetime:
        # pandas parses to nanoseconds, which end in 2262.
        parsed = [None if text is None else _parse_instant(text) for text in texts.to_pylist()]
        return pa.chunked_array([pa.array(parsed, _INSTANT)])
    return pa.chunked_array([pa.array(instants)])


def _parse_instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
