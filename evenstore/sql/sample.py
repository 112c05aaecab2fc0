"""A sample of a source's join keys against the entity rows': how many pairs a join would make."""

from __future__ import annotations

from dataclasses import dataclass

from evenstore.schema.files import SourceFiles
from evenstore.schema.request import ViewRead
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import FILE_ROW, build_feature_rows_sql

__all__ = ["Sample"]

_BLOCK_ROWS = 10_000
_N_BLOCKS = 3
_MANY_ENTITY_ROWS = 200_000
_KEY_SHARES = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """Counts the pairs of a few blocks of feature rows.

    Attributes:
        source: The view's files.
        read: The view and the caller's key columns.
        entity_relation: Name of the relation of entity rows.
        n_rows: Feature rows of the source.
        n_entity_rows: Entity rows.
    """

    source: SourceFiles
    read: ViewRead
    entity_relation: str
    n_rows: int
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
        blocks = "\n  union all\n".join(f"(\n{block}\n)" for block in self._blocks())
        return f"""\
with entity_counts as (
  select {renamed}, count(*) as n
  from {quote_identifier(self.entity_relation)}{share}
  group by all
),
feature_rows as (
{blocks}
)
select count(*), coalesce(sum(n), 0)::bigint
from feature_rows f
join entity_counts using ({", ".join(keys)})"""

    def _blocks(self) -> list[str]:
        paths = self.source.paths
        if len(paths) == 1:
            last = max(0, self.n_rows - _BLOCK_ROWS)
            starts = sorted({0, last // 2, last})
            return [self._block(self.source, start) for start in starts]
        chosen = sorted({i * (len(paths) - 1) // (_N_BLOCKS - 1) for i in range(_N_BLOCKS)})
        return [self._block(self.source.only([paths[i]]), 0) for i in chosen]

    def _block(self, source: SourceFiles, start: int) -> str:
        rows = build_feature_rows_sql(source, self.read.view, features=(), with_position=True)
        end = start + _BLOCK_ROWS - 1
        return f"select * from (\n{rows}\n) where {FILE_ROW} between {start} and {end}"
