"""What a merge in memory reads: entity rows and feature rows with their entities as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    CREATED_US,
    ENTITY,
    EVENT_US,
    FILE,
    FILE_ROW,
    ROW_IDX,
    build_feature_rows_sql,
)

__all__ = ["MergeInput"]


@dataclass(frozen=True, slots=True)
class MergeInput:
    """The statements that number entities and read what is merged.

    Attributes:
        source: The view's files.
        read: The view, with at least one join key, and the caller's key columns.
        entity_relation: Name of the relation of entity rows.
        entity_table: Name of the table that the numbered entities are put in.
        event_range_us: Event timestamps that are needed at least; None for no bound.
    """

    source: SourceFiles
    read: ViewRead
    entity_relation: str
    entity_table: str
    event_range_us: tuple[int | None, int | None]

    def number_entities_sql(self) -> str:
        """Build the statement that gives every asked entity a number, from 0."""
        columns = [quote_identifier(name) for name in self.read.key_columns]
        renamed = ", ".join(f"{a} as {b}" for a, b in zip(columns, self._keys, strict=True))
        return f"""\
create table {self._entities} as
select *, row_number() over () - 1 as {ENTITY}
from (
  select distinct {renamed}
  from {quote_identifier(self.entity_relation)}
  where {" and ".join(f"{column} is not null" for column in columns)}
)"""

    def entity_rows_sql(self) -> str:
        """Build the query of the entity rows that name an entity.

        Shapes:
            out: at most n rows x (`_row_idx`, `_entity`); no order.
        """
        columns = [quote_identifier(name) for name in self.read.key_columns]
        same = " and ".join(f"k.{a} = e.{b}" for a, b in zip(self._keys, columns, strict=True))
        return (
            f"select e.{ROW_IDX}, k.{ENTITY}\n"
            f"from {quote_identifier(self.entity_relation)} e\n"
            f"join {self._entities} k on {same}"
        )

    def feature_rows_sql(self) -> str:
        """Build the query of the asked entities' feature rows.

        Shapes:
            out: rows x (`_entity`, `_event_us`, `_created_us`, `_file`, `_file_row`); no order.
        """
        rows = build_feature_rows_sql(
            self.source,
            self.read.view,
            features=(),
            event_range_us=self.event_range_us,
            with_position=True,
        )
        same = " and ".join(f"k.{key} = f.{key}" for key in self._keys)
        return (
            f"select k.{ENTITY}, f.{EVENT_US}, f.{CREATED_US}, f.{FILE}, f.{FILE_ROW}\n"
            f"from (\n{rows}\n) f\n"
            f"join {self._entities} k on {same}\n"
            f"where f.{EVENT_US} is not null"
        )

    @property
    def _keys(self) -> list[str]:
        return [quote_identifier(key.name) for key in self.read.view.join_keys]

    @property
    def _entities(self) -> str:
        return quote_identifier(self.entity_table)
