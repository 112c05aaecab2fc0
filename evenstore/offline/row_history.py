"""The rows of a view's source around some instants of some entities, with the files they are in.

What a point-in-time join chose from: for people and programs that ask why it gave what it gave.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from feast import FeatureStore, FeatureView

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.offline.limits import session_limits
from evenstore.offline.retry import list_again, retry_on_change, unchanged_sources
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.source import open_source
from evenstore.sql.relation import AS_OF_US, ROW_IDX
from evenstore.sql.row_history import build_row_history_sql

__all__ = ["RowHistory", "read_row_history"]

_ASKED = "asked"


@dataclass(frozen=True, slots=True)
class RowHistory:
    """Rows of a source, and the source as it was when they were read.

    Attributes:
        table: See `evenstore.sql.row_history.build_row_history_sql`.
        source: Its `paths` and `identities` belong to the column `_file`.
    """

    table: pa.Table
    source: SourceFiles


def read_row_history(
    store: FeatureStore,
    table: FeatureView,
    view: FeatureViewSchema,
    keys: pa.Table,
    as_of_us: pa.Array,
    *,
    most_rows: int = 8,
    limits: SessionLimits | None = None,
) -> RowHistory:
    """Read the rows nearest to each asked instant, of one view, in one query.

    Args:
        store: The feature store, for its settings.
        table: The Feast view, for its source; of the version that is wanted.
        view: The same, compiled.
        keys: The join keys, with their declared Arrow types; one row per asked instant.
        as_of_us: The instants, int64 microseconds.
        most_rows: How many rows up to an instant, and how many after it, at most.
        limits: Memory and threads; by default what feature_store.yaml says.

    Raises:
        SourceUnavailableError: A source's files are missing or unreadable.
        SourceChangedError: A file was replaced during every attempt.
        UnsupportedDtypeError: A source column cannot be widened exactly.

    Shapes:
        in: n rows x join keys, n instants.
        out: at most n x 2 x `most_rows` rows; `_row_idx` is the position in `keys`.
    """
    positions = pa.array(range(len(as_of_us)), pa.int64())
    asked = pa.table(
        {
            **{key.name: keys[key.name] for key in view.join_keys},
            ROW_IDX: positions,
            AS_OF_US: as_of_us,
        }
    )
    chosen = session_limits(store.config) if limits is None else limits

    def read() -> RowHistory:
        listed = list_again(functools.partial(open_source, table, view, Path(store.repo_path)))
        source = replace(listed, identities=listed.identities or fingerprint_files(listed))
        sql = build_row_history_sql(source, view, asked_relation=_ASKED, most_rows=most_rows)
        with unchanged_sources([source]), open_session(chosen, sources=[source]) as session:
            session.register(_ASKED, asked)
            rows: pa.Table = session.sql(sql).to_arrow_table()
            session.unregister(_ASKED)
        return RowHistory(rows, source)

    return retry_on_change(read)
