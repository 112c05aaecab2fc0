"""DuckDB: one row number per (key, event timestamp), ASOF join, late fetch.

Its cost does not grow with the length of histories, but it sorts every feature row.
"""

from __future__ import annotations

from string import Template

from benchmarks.contenders.contender import Join
from benchmarks.contenders.duckdb_view import open_duckdb_join
from benchmarks.data import Dataset

__all__ = ["open_join", "prepare"]

# The ttl is judged after the join: it must not let an older row take the place of one too old.
_WINNERS = Template("""
with narrow as (
  select $keys, f.event_timestamp, arg_max($position, f.created) as position
  from read_parquet($files) f
  group by $keys, f.event_timestamp)
select e.row_id, f.position
from entity_rows e
asof join narrow f on $same_key and e.event_timestamp >= f.event_timestamp
where $in_ttl
""")


def prepare(_dataset: Dataset) -> None:
    """Do nothing: the files are taken as they come."""


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    return open_duckdb_join(dataset, _WINNERS)
