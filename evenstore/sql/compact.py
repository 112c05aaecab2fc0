"""The order that compaction gives a source's rows."""

from __future__ import annotations

from collections.abc import Sequence

from evenstore.schema.files import SourceFiles
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.relation import FILE, FILE_ROW
from evenstore.sql.scan import build_scan_sql

__all__ = ["build_row_order_sql"]


def build_row_order_sql(source: SourceFiles, columns: Sequence[str]) -> str:
    """Build the query of where the rows of some files are, in the order of their columns.

    Args:
        source: The files.
        columns: Source columns to order by, the first one first; nulls come last.

    Shapes:
        out: all rows x (`_file`, `_file_row`), int64; rows that are equal keep their order.
    """
    order = ", ".join(
        [
            *(f"{quote_identifier(name)} asc nulls last" for name in columns),
            "file_index",
            "file_row_number",
        ]
    )
    return f"""\
select file_index::bigint as {FILE}, file_row_number::bigint as {FILE_ROW}
from {build_scan_sql(source)}
order by {order}"""
