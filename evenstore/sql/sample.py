"""A sample of a source's join keys against the entity rows': how many pairs a join would make."""

from __future__ import annotations

from dataclasses import dataclass

from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import FILE_ROW, build_feature_rows_sql

__all__ = ["Sample"]

_BLOCK_ROWS = 10_000
_MANY_ENTITY_ROWS = 200_000
_KEY_SHARES = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts the pairs of a few blocks of feature rows.

    Attributes:
        source: The view's files.
        read: The view and the caller's key columns.
        entity_relation: Name of the relation of entity rows.
        blocks: Where a few row groups begin: index of the file, first row.
        n_entity_rows: Entity rows.
    """

    source: SourceFiles
    read: ViewRead
    entity_relation: str
    blocks: tuple[tuple[int, int], ...]
    n_entity_rows: int

    def sql(self) -> str:
        """Build the query.

        With many entity rows only the keys whose hash falls in one of eight shares are counted:
        all entity rows of a key are in one share, so the ratio stays what it is.

        Shapes:
            out: one row x (feature rows of the sample that have entity rows, pairs).
        """
        keys = [quote_identifier(key.name) for key in self.read.view.join_keys]
        columns = [quote_identifier(name) for name in self.read.key_columns]
        renamed = ", ".join(f"{a} as {b}" for a, b in zip(columns, keys, strict=True))
        share = ""
        if self.n_entity_rows > _MANY_ENTITY_ROWS:
            share = f"\n  where hash({', '.join(columns)}) % {_KEY_SHARES} = 0"
        blocks = [self._block(file, first_row) for file, first_row in self.blocks]
        sampled = "\n  union all\n".join(f"(\n{block}\n)" for block in blocks)
        return f"""\
with entity_counts as (
  select {renamed}, count(*) as n
  from {quote_identifier(self.entity_relation)}{share}
  group by all
),
feature_rows as (
{sampled}
)
select count(*), coalesce(sum(n), 0)::bigint
from feature_rows f
join entity_counts using ({", ".join(keys)})"""

    def _block(self, file: int, first_row: int) -> str:
        source = self.source.only([self.source.paths[file]])
        rows = build_feature_rows_sql(source, self.read.view, features=(), with_position=True)
        last_row = first_row + _BLOCK_ROWS - 1
        return f"select * from (\n{rows}\n) where {FILE_ROW} between {first_row} and {last_row}"
