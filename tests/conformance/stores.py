"""Stock Feast's two local offline stores and ours, and where stock is known to deviate."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.feast_repo import OUR_OFFLINE_STORE

__all__ = ["DUCKDB", "FILE", "OURS", "STOCK_WARNINGS", "STORE_TYPES", "Deviations"]

FILE, DUCKDB, OURS = "file", "duckdb", "ours"
STORE_TYPES = {FILE: "file", DUCKDB: "duckdb", OURS: OUR_OFFLINE_STORE}

Deviations = Mapping[tuple[str, str], tuple[type[Exception], str]]
"""By `(test function, store)`: what it raises, and why."""

# Of stock stores only, so that a case fails for what it is about.
STOCK_WARNINGS = [
    pytest.mark.filterwarnings(f"ignore:{warning}")
    for warning in (
        # DuckDB's, through Ibis.
        "fetch_arrow_table.. is deprecated, use to_arrow_table:DeprecationWarning",
        # The file store's, through pandas and dask.
        "Discarding nonzero nanoseconds in conversion:UserWarning",
        "Merging dataframes with merge column data type mismatches:UserWarning",
        "Downcasting object dtype arrays on .fillna:FutureWarning",
    )
]
