"""Finds each entity's newest row by its place in the files, so that only winners are fetched.

A run of a million entities with one row each must not pay for ranking rows by content. So a first
statement takes two maxima per entity over one integer each: the upper bits of the event timestamp,
and the row's position, once as it is and once reversed. Where both maxima name one position, that
row is the winner; created timestamp and features were never read. The few entities where they
differ are ranked exactly: by both timestamps (`evenstore.sql.row_order`), and where these tie too,
by content, unless the rows are all the same. Which statements were tried, and what they cost, is in
ADR 0011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.semantics import EARLIEST_US
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    CREATED_US,
    EVENT_US,
    FILE,
    FILE_ROW,
    GREATEST,
    IS_AMBIGUOUS,
    IS_TIED,
    LEAST,
    NEWEST_US,
    PLACE,
    build_feature_rows_sql,
    content_columns,
)
from evenstore.sql.row_order import RowBounds, RowOrder, build_content_order

__all__ = ["NewestRows", "WantedRows"]

_BIGINT_BITS = 62
_TIED_TABLE = "tied"
_EXACT_TABLE = "exact"
_SAME_TABLE = "same"


@dataclass(frozen=True, slots=True)
class WantedRows:
    """Some files of a source, and which of their rows are wanted.

    Attributes:
        source: The files.
        since_us: Earliest event timestamp, inclusive.
        created_after_us: Rows created later than this are wanted even where their event timestamp
            is earlier; None for none.
        counts_undated: Whether rows without an event timestamp are counted as left out.
    """

    source: SourceFiles
    since_us: int
    created_after_us: int | None = None
    counts_undated: bool = True


class NewestRows:
    """The statements that find and fetch the newest row of every entity.

    They are made for one session: the tables that they keep are called the same.

    Args:
        parts: Which rows of which files; their files are numbered through.
        view: The view.
        until_us: Latest event timestamp, inclusive.
        bounds: Of all rows of the parts' files.
    """

    def __init__(
        self,
        parts: Sequence[WantedRows],
        view: FeatureViewSchema,
        *,
        until_us: int,
        bounds: RowBounds,
    ) -> None:
        self._parts = tuple(parts)
        self._view = view
        self._until_us = until_us
        self._keys = [quote_identifier(key.name) for key in view.join_keys]
        self._order = RowOrder(bounds)
        self._row_bits = bounds.n_rows.bit_length()
        self._position_bits = self._row_bits + (bounds.n_files - 1).bit_length()
        first_us, last_us = bounds.event_us or (0, 0)
        n_event_bits = _BIGINT_BITS - self._position_bits
        self._shift = max(0, (last_us - first_us).bit_length() - n_event_bits)
        # Shifted before it is subtracted: the difference itself may not fit.
        self._first_bucket = first_us >> self._shift

    @property
    def row_bits(self) -> int:
        """How many lower bits of a position are the row in its file."""
        return self._row_bits

    def find_sql(self) -> str:
        """Build the query of each entity's newest row by the upper bits of its event timestamp.

        Shapes:
            out: one row per entity key x (`_file_row`: file number and row in one position,
                `_is_tied`: whether other rows may be greater); no order.
        """
        return (
            f"select {self._position(GREATEST)} as {FILE_ROW}, {self._is_tied} as {IS_TIED}\n"
            f"from (\n{self._greatest_sql()}\n)\nwhere {GREATEST} is not null"
        )

    def keep_tied_sql(self) -> str:
        """Build the statement that keeps the entities that `find_sql` leaves undecided."""
        return (
            f"create table {_TIED_TABLE} as\n"
            f"select {self._listed_keys()}{GREATEST} >> {self._position_bits} as {NEWEST_US}\n"
            f"from (\n{self._greatest_sql()}\n)\nwhere {self._is_tied}"
        )

    def keep_exact_sql(self) -> str:
        """Build the statement that ranks the rows of the tied entities by both timestamps."""
        candidates = self._join_sql(
            f"({_bucket('f', self._shift)} - {self._first_bucket}) = t.{NEWEST_US}", _TIED_TABLE
        )
        return f"""\
create table {_EXACT_TABLE} as
select
  {self._listed_keys()}{self._order.unpacked().strip()}
from (
select {self._listed_keys()}{self._order.greatest} as {GREATEST}, {self._order.least} as {LEAST}
from (
{candidates}
){self._by_entity}
)"""

    def exact_sql(self) -> str:
        """Build the query of the tied entities' newest rows that timestamps alone decide.

        Shapes:
            out: rows x (`_file`, `_file_row`); no order.
        """
        return f"select {FILE}, {FILE_ROW}\nfrom {_EXACT_TABLE}\nwhere not {IS_TIED}"

    def keep_same_sql(self) -> str:
        """Build the statement that tells where all rows that tie on both timestamps are the same.

        A file that was published twice has a million such ties: comparing 64 bits for each row
        costs a tenth of ordering them.
        """
        content = ", ".join([CREATED_US, *build_content_order(self._content)])
        tied = self._join_sql(
            f"f.{EVENT_US} = t.{EVENT_US} and t.{IS_TIED}", _EXACT_TABLE, self._view.features
        )
        return f"""\
create table {_SAME_TABLE} as
select
  {self._listed_keys()}max({EVENT_US}) as {EVENT_US},
  max({FILE} * {2**self._row_bits} + {FILE_ROW}) as {FILE_ROW},
  min(hash({content})) <> max(hash({content})) as {IS_TIED}
from (
{tied}
){self._by_entity}"""

    def same_sql(self) -> str:
        """Build the query of one row for each entity whose tied rows are all the same.

        Shapes:
            out: rows x (`_file`, `_file_row`); no order.
        """
        row = f"{FILE_ROW} & {2**self._row_bits - 1}"
        return (
            f"select {FILE_ROW} >> {self._row_bits} as {FILE}, {row} as {FILE_ROW}\n"
            f"from {_SAME_TABLE}\nwhere not {IS_TIED}"
        )

    def content_sql(self) -> str:
        """Build the query of the newest rows among those that only content tells apart.

        Shapes:
            out: rows x (`_file`, `_file_row`, `_is_ambiguous`: whether the winner is tied with a
                row of other content); no order.
        """
        greatest_first = ", ".join(
            f"{value} desc nulls last"
            for value in (CREATED_US, *build_content_order(self._content))
        )
        packed = ", ".join(f"c{i} := {name}" for i, (name, _) in enumerate(self._content))
        entity = ", ".join(self._keys)
        by_entity = f"partition by {entity} " if entity else ""
        peers = ", ".join([*self._keys, CREATED_US])
        tied = self._join_sql(
            f"f.{EVENT_US} = t.{EVENT_US} and t.{IS_TIED}", _SAME_TABLE, self._view.features
        )
        return f"""\
select {FILE}, {FILE_ROW}, {IS_AMBIGUOUS}
from (
select
  {FILE},
  {FILE_ROW},
  row_number() over ({by_entity}order by {greatest_first}) as {PLACE},
  min(struct_pack({packed})) over peers
    is distinct from max(struct_pack({packed})) over peers as {IS_AMBIGUOUS}
from (
{tied}
)
window peers as (partition by {peers})
)
where {PLACE} = 1"""

    def fetch_sql(self) -> str:
        """Build the query of all wanted rows with where they are, winners and others.

        Shapes:
            out: rows x (join keys, features, `_event_us`, `_created_us`, `_file`, `_file_row`), in
                the order of the files.
        """
        return self._rows_sql(self._view.features)

    def left_out_sql(self) -> str:
        """Build the query of how many rows name no entity, or no instant.

        Shapes:
            out: one row x (number of rows).
        """
        has_no_key = " or ".join(f"{key} is null" for key in self._keys) or "false"
        counts = []
        for part in self._parts:
            rows = build_feature_rows_sql(part.source, self._view, features=())
            undated = f"{EVENT_US} is null or " if part.counts_undated else ""
            condition = f"{undated}({self._wanted(part)} and ({has_no_key}))"
            counts.append(f"select count(*) as n\nfrom (\n{rows}\n)\nwhere {condition}")
        listed = "\nunion all\n".join(counts)
        return f"select sum(n)::bigint\nfrom (\n{listed}\n)"

    def _greatest_sql(self) -> str:
        bucket = f"({_bucket('', self._shift)} - {self._first_bucket})"
        position = f"({FILE} * {2**self._row_bits} + {FILE_ROW})"
        packed = f"{bucket} * {2**self._position_bits}"
        last = 2**self._position_bits - 1
        return (
            f"select {self._listed_keys()}max({packed} + {position}) as {GREATEST}, "
            f"max({packed} + ({last} - {position})) as {LEAST}\n"
            f"from (\n{self._rows_sql(())}\n){self._by_entity}"
        )

    @property
    def _content(self) -> list[tuple[str, Dtype]]:
        fields = content_columns(self._view)
        return [(quote_identifier(field.name), field.dtype) for field in fields]

    @property
    def _by_entity(self) -> str:
        return f"\ngroup by {', '.join(self._keys)}" if self._keys else ""

    def _listed_keys(self, prefix: str = "") -> str:
        return "".join(f"{prefix}{key}, " for key in self._keys)

    def _position(self, column: str) -> str:
        return f"({column} & {2**self._position_bits - 1})"

    @property
    def _is_tied(self) -> str:
        last = 2**self._position_bits - 1
        return f"{self._position(GREATEST)} + {self._position(LEAST)} <> {last}"

    def _join_sql(self, condition: str, table: str, features: Sequence[Field] = ()) -> str:
        same = "".join(f"f.{key} = t.{key} and " for key in self._keys)
        return (
            f"select f.*\nfrom (\n{self._rows_sql(features)}\n) f\n"
            f"join {table} t on {same}{condition}"
        )

    def _rows_sql(self, features: Sequence[Field]) -> str:
        names = [*self._keys, *(quote_identifier(field.name) for field in features)]
        columns = ", ".join([*names, EVENT_US, CREATED_US])
        has_key = "".join(f" and {key} is not null" for key in self._keys)
        selected = []
        n_files = 0
        for part in self._parts:
            since_us = None if part.created_after_us is not None else part.since_us
            rows = build_feature_rows_sql(
                part.source,
                self._view,
                features=features,
                event_range_us=(since_us, self._until_us),
                with_position=True,
            )
            selected.append(
                f"select {columns}, {FILE} + {n_files} as {FILE}, {FILE_ROW}\n"
                f"from (\n{rows}\n)\nwhere {self._wanted(part)}{has_key}"
            )
            n_files += len(part.source.paths)
        return "\nunion all\n".join(selected)

    def _wanted(self, part: WantedRows) -> str:
        since = f"{EVENT_US} >= {max(part.since_us, EARLIEST_US)}"
        if part.created_after_us is not None:
            since = f"({since} or {CREATED_US} > {part.created_after_us})"
        return f"{since} and {EVENT_US} <= {self._until_us}"


def _bucket(relation: str, shift: int) -> str:
    column = f"{relation}.{EVENT_US}" if relation else EVENT_US
    return f"({column} >> {shift})" if shift else column
