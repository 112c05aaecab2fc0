"""What both DuckDB contenders share: the session, the scan of a view and the late fetch.

A row's position is its number in the file, with the file's number beside it where a view has
several files. Two queries, not one: the first reads keys and times and finds the winning rows, the
second reads their features, which are put in order here: that costs less than an ORDER BY.
"""

from __future__ import annotations

from string import Template

import duckdb
import pyarrow as pa

from benchmarks.answers import Answer
from benchmarks.contenders.contender import Join
from benchmarks.contenders.late_fetch import align, finish
from benchmarks.data import Dataset
from benchmarks.rows import FEATURES

__all__ = ["open_duckdb_join"]

_FETCH = Template("""
select w.row_id, $features
from winner w
join read_parquet($files) f
  on f.file_row_number = (w.position & 4294967295) $same_file
""")


def open_duckdb_join(dataset: Dataset, winners: Template) -> Join:
    """Open a join whose SQL finds the winning row of each entity row.

    Args:
        dataset: What to join.
        winners: SQL with the columns `row_id` and `position` (the number of the file times 2^32
            plus the number of the row). Its fields are `files`, `position`, `keys` (join keys by
            commas), `same_key` (the join condition) and `in_ttl`.
    """
    case = dataset.case
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    if case.memory_limit is not None:
        connection.execute("set memory_limit = $limit", {"limit": case.memory_limit})
        spill = str(dataset.folder / "spill")
        connection.execute("set temp_directory = $folder", {"folder": spill})
    entities = dataset.read_entity_rows()
    connection.register("entity_rows", entities)
    keys = dataset.key_columns
    is_one_file = case.n_files == 1
    ttl = f"e.event_timestamp - interval ({case.ttl_us}) microsecond"
    fields = {
        "position": "f.file_row_number"
        if is_one_file
        else "(f.file_index::bigint << 32) + f.file_row_number",
        "keys": ", ".join(f"f.{key}" for key in keys),
        "same_key": " and ".join(f"f.{key} = e.{key}" for key in keys),
        "in_ttl": "true" if case.ttl_us is None else f"f.event_timestamp >= {ttl}",
        "features": ", ".join(f"f.{feature}" for feature in FEATURES),
        "same_file": "" if is_one_file else "and f.file_index = (w.position >> 32)",
    }

    def features_of(view: str) -> pa.Table:
        files = {"files": repr(dataset.view_files(view))}
        connection.execute(
            "create or replace temp table winner as " + winners.substitute(fields | files)
        )
        found = connection.sql(_FETCH.substitute(fields | files)).to_arrow_table()
        return align(found.drop_columns("row_id"), found["row_id"].to_numpy(), entities.num_rows)

    def join() -> Answer:
        return finish(dataset, entities, [features_of(view) for view in case.views])

    return join
