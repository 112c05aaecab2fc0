"""The point-in-time join of one view, in steps that only touch the columns they need.

1. Winners: for each entity row, where the greatest feature row is that it may know. Reads join
   keys and timestamps only. Two ways, which give the same answer: the *range join* pairs each
   entity row with all its candidates and takes the greatest (short histories); the *as-of join*
   sorts the history once (long ones; where it fits in memory, `evenstore.offline.merge` does).
2. Ties: rows that tie on both timestamps are placed by content. Runs only where there are some.
3. Fetch: reads the features asked for, at the winners' positions.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import (
    AS_OF_US,
    AVAILABLE_US,
    CREATED_US,
    ENTITY,
    EVENT_US,
    FILE,
    FILE_ROW,
    GREATEST,
    IS_TIED,
    LEAST,
    NEWEST_US,
    PLACE,
    ROW_IDX,
    SINCE_US,
    build_feature_rows_sql,
    content_columns,
)
from evenstore.sql.row_order import RowOrder, build_content_order

__all__ = ["JoinStrategy", "PointInTimeJoin"]

_INTEGERS = frozenset({Dtype.INT32, Dtype.INT64})


class JoinStrategy(enum.Enum):
    """How winners are found; the answer is the same."""

    RANGE = "range join"
    AS_OF = "as-of join"
    MERGE = "merge in memory"


@dataclass(frozen=True, slots=True)
class PointInTimeJoin:
    """The statements that join one view.

    A feature row qualifies when its event timestamp is in the entity row's window and, in as-known
    mode on a source with created timestamps, its created timestamp is not after the as-of instant.

    Attributes:
        source: The view's files.
        read: The view, the caller's key columns and the features to fetch.
        knowledge: Which rows may be known.
        strategy: How winners are found.
        order: The order of the source's rows.
        entity_relation: Name of a relation with `_row_idx`, the key columns, `_since_us` and
            `_as_of_us`: n entity rows and the window of event timestamps that each may see, both
            ends inclusive.
        winner_table: Name of the table that the winners are put in.
        event_range_us: Event timestamps that any entity row may see; None for no bound.
        with_created: Fetch the winners' created timestamps too.
    """

    source: SourceFiles
    read: ViewRead
    knowledge: Knowledge
    strategy: JoinStrategy
    order: RowOrder
    entity_relation: str
    winner_table: str
    event_range_us: tuple[int | None, int | None] = (None, None)
    with_created: bool = False

    @property
    def is_as_known(self) -> bool:
        """Whether created timestamps decide what may be seen."""
        return self.knowledge is Knowledge.AS_KNOWN and self.source.created is not None

    def winners_sql(self) -> str:
        """Build the statement that makes the table of winners.

        Shapes:
            out: at most one row per entity row x (`_row_idx`, `_event_us` int64 microseconds,
                `_file`, `_file_row`, `_is_tied`); none where no row qualifies; no order.
        """
        if self.strategy is JoinStrategy.RANGE:
            greatest = self._range_join()
        elif self.is_as_known:
            greatest = self._as_of_join_as_known()
        else:
            greatest = self._as_of_join()
        return f"""\
create table {self._winner} as
with feature_rows as not materialized (
{self._feature_rows(())}
),
{greatest}
select
  {ROW_IDX},
{self.order.unpacked()}
from greatest"""

    def keep_winners_sql(self, found_relation: str) -> str:
        """Build the statement that makes the table of winners from a relation of them."""
        return f"create table {self._winner} as select * from {quote_identifier(found_relation)}"

    def count_ties_sql(self) -> str:
        """Build the query of how many winners are tied with another row on both timestamps."""
        return f"select count(*) from {self._winner} where {IS_TIED}"

    def place_ties_sql(self) -> str:
        """Build the statement that gives tied entity rows the row of the greatest content."""
        content = build_content_order(
            (f"f.{quote_identifier(field.name)}", field.dtype)
            for field in content_columns(self.read.view)
        )
        greatest_first = ", ".join(
            f"{value} desc nulls last" for value in (f"f.{CREATED_US}", *content)
        )
        return f"""\
with tied as (
  select e.*, w.{EVENT_US} as {NEWEST_US}
  from {self._entity} e
  join {self._winner} w on w.{ROW_IDX} = e.{ROW_IDX}
  where w.{IS_TIED}
),
feature_rows as (
{self._feature_rows(self.read.view.features)}
),
placed as (
  select
    e.{ROW_IDX},
    f.{FILE},
    f.{FILE_ROW},
    row_number() over (
      partition by e.{ROW_IDX}
      order by {greatest_first}
    ) as {PLACE}
  from tied e
  join feature_rows f
    on {self._qualifies(f"f.{EVENT_US} = e.{NEWEST_US}")}
)
update {self._winner} w
set {FILE} = p.{FILE}, {FILE_ROW} = p.{FILE_ROW}
from placed p
where p.{PLACE} = 1 and p.{ROW_IDX} = w.{ROW_IDX}"""

    def fetch_sql(self, *, in_order: bool) -> str:
        """Build the query of the winners' features.

        Args:
            in_order: Order the rows by `_row_idx`.

        Shapes:
            out: one row per entity row that has a winner x (`_row_idx`, `_event_us`, features in
                the order of `read.features`, `_created_us` where it is asked for).
        """
        fetched = "".join(f",\n  f.{quote_identifier(name.name)}" for name in self.read.features)
        if self.with_created:
            fetched += f",\n  f.{CREATED_US}"
        order = f"\norder by w.{ROW_IDX}" if in_order else ""
        # A key of one column is found faster, and one file has but one index.
        same_file = f"f.{FILE} = w.{FILE} and " if len(self.source.paths) > 1 else ""
        return f"""\
with feature_rows as (
{self._feature_rows(self.read.features)}
)
select
  w.{ROW_IDX},
  w.{EVENT_US}{fetched}
from {self._winner} w
join feature_rows f on {same_file}f.{FILE_ROW} = w.{FILE_ROW}{order}"""

    def drop_winners_sql(self) -> str:
        """Build the statement that removes the table of winners."""
        return f"drop table {self._winner}"

    def _range_join(self) -> str:
        in_window = f"f.{EVENT_US} between e.{SINCE_US} and e.{AS_OF_US}"
        return f"""\
greatest as (
  select e.{ROW_IDX}, {self.order.greatest} as {GREATEST}, {self.order.least} as {LEAST}
  from {self._entity} e
  join feature_rows f
    on {self._qualifies(in_window)}
  group by e.{ROW_IDX}
)"""

    def _as_of_join(self) -> str:
        at_or_before = f"e.{AS_OF_US} >= f.{EVENT_US}"
        newest = " and ".join([*self._same_entity(), at_or_before])
        same_event = f"f.{EVENT_US} = e.{NEWEST_US}"
        return f"""\
{self._entities()}newest as (
  select e.*, f.{EVENT_US} as {NEWEST_US}
  from {self._asked} e
  asof join {self._history} f
    on {newest}
),
greatest as (
  select e.{ROW_IDX}, {self.order.greatest} as {GREATEST}, {self.order.least} as {LEAST}
  from newest e
  join {self._history} f
    on {" and ".join([*self._same_entity(), same_event])}
  where e.{NEWEST_US} >= e.{SINCE_US}
  group by e.{ROW_IDX}
)"""

    def _as_of_join_as_known(self) -> str:
        # What is known at an instant only grows: its greatest row is a running maximum over the
        # instants at which rows became both true and known.
        keys = ", ".join(self._entity_columns)
        selected = f"{keys}, " if keys else ""
        partition = f"partition by {keys} " if keys else ""
        at_or_before = f"e.{AS_OF_US} >= f.{AVAILABLE_US}"
        return f"""\
{self._entities()}known as (
  select
    {selected}greatest({EVENT_US}, {CREATED_US}) as {AVAILABLE_US},
    {self.order.greatest} over available as {GREATEST},
    {self.order.least} over available as {LEAST}
  from {self._history}
  where {EVENT_US} is not null and {CREATED_US} is not null
  window available as ({partition}order by greatest({EVENT_US}, {CREATED_US}))
),
greatest as (
  select e.{ROW_IDX}, f.{GREATEST}, f.{LEAST}
  from {self._asked} e
  asof join known f
    on {" and ".join([*self._same_entity(), at_or_before])}
)"""

    @property
    def _is_numbered(self) -> bool:
        """Whether the as-of join takes entities as numbers.

        DuckDB 2.0's own loses rows of composite keys with bytes, and compares integers faster.
        """
        keys = self.read.view.join_keys
        return bool(keys) and not (len(keys) == 1 and keys[0].dtype in _INTEGERS)

    @property
    def _asked(self) -> str:
        return "asked" if self._is_numbered else self._entity

    @property
    def _history(self) -> str:
        return "history" if self._is_numbered else "feature_rows"

    @property
    def _entity_columns(self) -> list[str]:
        if self._is_numbered:
            return [ENTITY]
        return [quote_identifier(key.name) for key in self.read.view.join_keys]

    def _same_entity(self) -> list[str]:
        return [f"f.{ENTITY} = e.{ENTITY}"] if self._is_numbered else self._has_key()

    def _entities(self) -> str:
        if not self._is_numbered:
            return ""
        read = self.read
        keys = [quote_identifier(key.name) for key in read.view.join_keys]
        columns = [quote_identifier(name) for name in read.key_columns]
        renamed = ", ".join(f"{a} as {b}" for a, b in zip(columns, keys, strict=True))
        asked = " and ".join(f"k.{a} = e.{b}" for a, b in zip(keys, columns, strict=True))
        known = " and ".join(f"k.{key} = f.{key}" for key in keys)
        return f"""\
entities as materialized (
  select *, row_number() over () as {ENTITY}
  from (select distinct {renamed} from {self._entity})
),
asked as (
  select e.*, k.{ENTITY} from {self._entity} e join entities k on {asked}
),
history as not materialized (
  select f.*, k.{ENTITY} from feature_rows f join entities k on {known}
),
"""

    def _feature_rows(self, features: tuple[Field, ...]) -> str:
        return build_feature_rows_sql(
            self.source,
            self.read.view,
            features=features,
            event_range_us=self.event_range_us,
            with_position=True,
        )

    def _qualifies(self, in_window: str) -> str:
        conditions = [*self._has_key(), in_window]
        if self.is_as_known:
            conditions.append(f"f.{CREATED_US} <= e.{AS_OF_US}")
        return "\n    and ".join(conditions)

    def _has_key(self) -> list[str]:
        read = self.read
        return [
            f"f.{quote_identifier(key.name)} = e.{quote_identifier(column)}"
            for key, column in zip(read.view.join_keys, read.key_columns, strict=True)
        ]

    @property
    def _entity(self) -> str:
        return quote_identifier(self.entity_relation)

    @property
    def _winner(self) -> str:
        return quote_identifier(self.winner_table)
