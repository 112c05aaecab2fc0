"""Feast's historical retrieval, translated to the point-in-time join."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureView
from feast.infra.offline_stores.offline_store import RetrievalMetadata

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import EntityRowsError, SchemaError
from evenstore.offline.entity_rows import number_entity_rows, to_instants_us
from evenstore.offline.history import join_view
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import Field
from evenstore.schema.request import ViewRead
from evenstore.schema.source import open_source
from evenstore.semantics import Knowledge
from evenstore.sql.point_in_time import build_point_in_time_sql

__all__ = ["FeastJoin", "find_event_timestamp_column"]

_FEAST_EVENT_TIMESTAMP = "event_timestamp"


@dataclass(frozen=True)
class FeastJoin:
    """One retrieval as Feast states it.

    Attributes:
        feature_views: Views with their projections (aliases, join key maps).
        feature_refs: `view:feature`.
        repo_path: What relative source paths are relative to.
        limits: Memory and threads.
        is_as_known: Take only rows whose created timestamp is not after the entity row's instant.
        full_feature_names: Name columns `view__feature`.
    """

    feature_views: Sequence[FeatureView]
    feature_refs: Sequence[str]
    repo_path: Path | None
    limits: SessionLimits
    is_as_known: bool
    full_feature_names: bool

    @property
    def knowledge(self) -> Knowledge:
        """Which rows the join may know of."""
        return Knowledge.AS_KNOWN if self.is_as_known else Knowledge.LATEST_TRUTH

    @functools.cached_property
    def reads(self) -> tuple[ViewRead, ...]:
        """The views to read, with the caller's key columns."""
        return tuple(self._read(view) for view in self.feature_views)

    def run(self, entity_table: pa.Table) -> pa.Table:
        """Join; one output row per entity row, in order, values as the views' ttl leaves them.

        Raises:
            EntityRowsError: A column is missing, of another type, or has a feature's name.
            SourceUnavailableError: A source's files are missing or unreadable.
            UnsupportedDtypeError: A source column cannot be widened exactly.
        """
        table = entity_table
        name = find_event_timestamp_column(table.schema)
        instants_us = to_instants_us(_as_timestamps(table[name], name), name, naive_is_utc=True)
        for view, read in zip(self.feature_views, self.reads, strict=True):
            entity_columns = tuple(
                Field(column, key.dtype)
                for column, key in zip(read.key_columns, read.view.join_keys, strict=True)
            )
            numbered = number_entity_rows(
                table, entity_columns, as_of_us=instants_us, known_at_us=instants_us
            )
            source = open_source(view, read.view, self.repo_path)
            for feature in join_view(
                source, read, numbered, knowledge=self.knowledge, limits=self.limits
            ):
                column = self._output_name(read, feature.field)
                if column in table.column_names:
                    msg = f"entity rows: column `{column}` has the name of a feature asked for"
                    raise EntityRowsError(msg, hint="rename it, or pass full_feature_names=True")
                table = table.append_column(column, feature.values)
        return table

    def _output_name(self, read: ViewRead, field: Field) -> str:
        return f"{read.output_name}__{field.name}" if self.full_feature_names else field.name

    def describe_sql(self) -> str:
        """Return the SQL of every view's join."""
        return ";\n\n".join(
            build_point_in_time_sql(
                open_source(view, read.view, self.repo_path),
                read,
                entity_relation="entity_rows",
                knowledge=self.knowledge,
            )
            for view, read in zip(self.feature_views, self.reads, strict=True)
        )

    def metadata(self, entity_table: pa.Table) -> RetrievalMetadata:
        """Describe the retrieval as Feast's saved datasets want it."""
        name = find_event_timestamp_column(entity_table.schema)
        instants = _as_timestamps(entity_table[name], name).to_pandas()
        return RetrievalMetadata(
            features=list(self.feature_refs),
            keys=[column for column in entity_table.column_names if column != name],
            min_event_timestamp=instants.min() if len(instants) else None,
            max_event_timestamp=instants.max() if len(instants) else None,
        )

    def read_entity_rows(self, entity_df: pd.DataFrame | pa.Table | str) -> pa.Table:
        """Read entity rows once, in any of the forms that Feast allows.

        Raises:
            EntityRowsError: Another form, or a pandas column of mixed types.
            OfflineStoreError: SQL that DuckDB refuses.
        """
        if isinstance(entity_df, pa.Table):
            return entity_df
        if isinstance(entity_df, pd.DataFrame):
            try:
                return pa.Table.from_pandas(entity_df, preserve_index=False)
            except pa.ArrowException as exc:
                msg = f"entity rows: a column is of no one type: {exc}"
                raise EntityRowsError(msg, hint="give every column one type") from exc
        if isinstance(entity_df, str):
            with open_session(self.limits) as session:
                return session.sql(entity_df).to_arrow_table()
        msg = f"entity rows of type {type(entity_df).__name__}"
        raise EntityRowsError(msg, hint="pass a pandas frame, an Arrow table, or SQL text")

    def _read(self, view: FeatureView) -> ViewRead:
        schema = compile_feature_view(view)
        name = view.projection.name_to_use()
        if "@" in name:
            msg = f"pinned feature view versions are not supported yet: `{name}`"
            raise SchemaError(msg, hint="ask for the view without `@`")
        wanted = [
            feature
            for reference in self.feature_refs
            for view_name, _, feature in [reference.partition(":")]
            if view_name == name
        ]
        renamed: dict[str, Any] = dict(view.projection.join_key_map or {})
        return ViewRead(
            view=schema,
            output_name=name,
            key_columns=tuple(renamed.get(key.name, key.name) for key in schema.join_keys),
            features=tuple(field for field in schema.features if field.name in wanted),
        )


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
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    try:
        instants = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    except ValueError as exc:
        msg = f"entity rows: column `{name}` holds text that is no ISO 8601 instant: {exc}"
        raise EntityRowsError(msg, hint="for example 2024-01-31T12:00:00Z") from exc
    return pa.chunked_array([pa.array(instants)])
