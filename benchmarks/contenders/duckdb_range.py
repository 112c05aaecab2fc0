"""DuckDB: range join, greatest (event timestamp, created) per entity row, late fetch.

The fastest where histories are short, the slowest where they are long: every feature row within
the ttl is a candidate.
"""

from __future__ import annotations

from string import Template

from benchmarks.contenders.contender import Join
from benchmarks.contenders.duckdb_view import open_duckdb_join
from benchmarks.data import Dataset

__all__ = ["open_join", "prepare"]

_WINNERS = Template("""
select e.row_id, arg_max($position, (f.event_timestamp, f.created)) as position
from entity_rows e
join read_parquet($files) f
  on $same_key and f.event_timestamp <= e.event_timestamp and $in_ttl
group by e.row_id
""")


def prepare(_dataset: Dataset) -> None:
    """Do nothing: the files are taken as they come."""


def open_join(dataset: Dataset) -> Join:
    """Open the join."""
    return open_duckdb_join(dataset, _WINNERS)
