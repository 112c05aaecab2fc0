"""The SQL of the index and of compaction, one readable file per case.

To write them anew, delete the file and run the test; it fails once and leaves the new text.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from evenstore.sql.compact import build_row_order_sql
from evenstore.sql.index_build import (
    build_known_order_sql,
    build_sorted_rows_sql,
    build_tied_content_sql,
    build_tied_rows_sql,
    build_tied_winners_sql,
)
from tests.evenstore.sql.test_snapshots import (
    COMPOSITE,
    COMPOSITE_SOURCE,
    ENTITYLESS,
    SOURCE,
    TRIPS,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"

CASES = {
    "sorted_rows": build_sorted_rows_sql(SOURCE, TRIPS, with_features=True),
    "sorted_positions_composite": build_sorted_rows_sql(
        COMPOSITE_SOURCE, COMPOSITE, with_features=False
    ),
    "sorted_rows_entityless_without_columns": build_sorted_rows_sql(
        SOURCE, ENTITYLESS, with_features=True, missing={"created", "n_trips", "rates"}
    ),
    "known_order": build_known_order_sql("index_order"),
    "tied_by_position": build_tied_winners_sql(
        COMPOSITE, build_tied_rows_sql(COMPOSITE_SOURCE, COMPOSITE, "tied_rows")
    ),
    "tied_by_content": build_tied_winners_sql(TRIPS, build_tied_content_sql("tied_rows")),
    "row_order": build_row_order_sql(COMPOSITE_SOURCE, ("driver_id", 'city "code"', "created")),
}


@pytest.mark.parametrize("name", list(CASES))
def test_sql_is_as_it_was(name: str) -> None:
    path = SNAPSHOTS / f"{name}.sql"
    text = CASES[name] + "\n"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path} was written: read it")
    assert text == path.read_text(encoding="utf-8")


def test_every_snapshot_is_of_a_case() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.sql")} == set(CASES)
