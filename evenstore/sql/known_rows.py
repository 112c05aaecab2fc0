"""Statements that copy the rows of some entities of a view, part by part as they became known.

A golden run loads what was known at each of its instants, and no later: what it loads are files
with exactly these rows, columns as the source has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.quoting import quote_identifier, quote_literal
from evenstore.sql.relation import (
    AVAILABLE_US,
    CREATED_US,
    EVENT_US,
    FILE,
    FILE_ROW,
    build_feature_rows_sql,
)
from evenstore.sql.scan import build_scan_sql, used_columns

__all__ = ["KnownRows"]

_PLACES = "known_places"
_ROWS = "known_rows"


@dataclass(frozen=True, slots=True)
class KnownRows:
    """The statements for one view; the tables that they make are for one session.

    A row is known from the later of its event and its created timestamp on; one of a source with
    created timestamps that has none itself is never known, as in a point-in-time join as known.

    Attributes:
        source: The view's files.
        view: The view.
        entity_relation: Name of a relation with the join keys of the entities, each once.
    """

    source: SourceFiles
    view: FeatureViewSchema
    entity_relation: str

    def keep_places_sql(self) -> str:
        """Build the statement that finds the entities' rows; reads keys and timestamps only."""
        available = EVENT_US
        if self.source.created is not None:
            # `greatest` alone would take the other one for a null.
            available = (
                f"case when {EVENT_US} is null or {CREATED_US} is null then null "
                f"else greatest({EVENT_US}, {CREATED_US}) end"
            )
        rows = build_feature_rows_sql(self.source, self.view, features=(), with_position=True)
        keys = [quote_identifier(key.name) for key in self.view.join_keys]
        entity = quote_identifier(self.entity_relation)
        same = " and ".join(f"f.{key} = e.{key}" for key in keys)
        of_entities = f"\nsemi join {entity} e on {same}" if keys else ""
        return (
            f"create table {_PLACES} as\n"
            f"select {FILE}, {FILE_ROW}, {available} as {AVAILABLE_US}\n"
            f"from (\n{rows}\n) f{of_entities}"
        )

    def count_never_known_sql(self) -> str:
        """Build the query of how many of the entities' rows are never known."""
        return f"select count(*) from {_PLACES} where {AVAILABLE_US} is null"

    def keep_rows_sql(self) -> str:
        """Build the statement that fetches the rows' columns, as the source has them."""
        columns = ", ".join(f"s.{quote_identifier(name)}" for name in used_columns(self.source))
        return (
            f"create table {_ROWS} as\n"
            f"select {columns}, k.{AVAILABLE_US}\n"
            f"from {build_scan_sql(self.source)} s\n"
            f"join {_PLACES} k on s.file_index = k.{FILE} and s.file_row_number = k.{FILE_ROW}\n"
            f"where k.{AVAILABLE_US} is not null"
        )

    def count_sql(self, after_us: int, until_us: int) -> str:
        """Build the query of how many rows became known after one instant and until another."""
        return f"select count(*)\nfrom {_ROWS}\nwhere {self._between(after_us, until_us)}"

    def copy_sql(self, after_us: int, until_us: int, path: str) -> str:
        """Build the statement that writes those rows to a Parquet file."""
        columns = ", ".join(quote_identifier(name) for name in used_columns(self.source))
        return (
            f"copy (\nselect {columns}\nfrom {_ROWS}\n"
            f"where {self._between(after_us, until_us)}\n"
            f") to {quote_literal(path)} (format parquet)"
        )

    @staticmethod
    def _between(after_us: int, until_us: int) -> str:
        return f"{AVAILABLE_US} > {int(after_us)} and {AVAILABLE_US} <= {int(until_us)}"
