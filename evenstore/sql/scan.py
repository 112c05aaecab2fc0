"""The scan of a source's files."""

from __future__ import annotations

from evenstore.sql.quoting import quote_literal

__all__ = ["build_scan_sql"]


def build_scan_sql(paths: tuple[str, ...]) -> str:
    """Build the scan of some Parquet files, columns matched by name."""
    listed = ", ".join(quote_literal(path) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
