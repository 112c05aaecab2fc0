"""The SQL itself, one readable file per case.

A changed snapshot is a changed meaning or a changed plan: read it. To write them anew, delete the
file and run the test; it fails once and leaves the new text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from evenstore.sql.entities import build_entities_sql
from evenstore.sql.known_rows import KnownRows
from evenstore.sql.latest import build_latest_rows_sql
from evenstore.sql.merge import MergeInput
from evenstore.sql.newest import NewestRows, WantedRows
from evenstore.sql.orphans import build_keep_orphans_sql
from evenstore.sql.point_in_time import JoinStrategy, PointInTimeJoin
from evenstore.sql.pull import Pull, build_pull_sql
from evenstore.sql.row_history import build_row_history_sql
from evenstore.sql.row_order import RowBounds, RowOrder, build_row_bounds_sql
from evenstore.sql.sample import Sample

SNAPSHOTS = Path(__file__).parent / "snapshots"

TRIPS = FeatureViewSchema(
    name="trips",
    join_keys=(Field("driver_id", Dtype.INT64),),
    features=(
        Field("trips", Dtype.INT64),
        Field("rates", Dtype.FLOAT32_LIST),
        Field("last_at", Dtype.UNIX_TIMESTAMP),
    ),
    ttl_us=86_400_000_000,
)
SOURCE = SourceFiles(
    paths=("/data/trips/a.parquet", "/data/trips/it's.parquet"),
    event=TimestampColumn("event_timestamp"),
    created=TimestampColumn("created"),
    columns=(
        ("driver_id", "driver_id"),
        ("trips", "n_trips"),
        ("rates", "rates"),
        ("last_at", "last_at"),
    ),
)
NANOSECONDS = dataclasses.replace(
    SOURCE,
    event=TimestampColumn("event_timestamp", has_ns=True),
    created=None,
    timestamp_features=frozenset({"last_at"}),
)
ENTITYLESS = dataclasses.replace(TRIPS, join_keys=())
COMPOSITE = dataclasses.replace(
    TRIPS,
    join_keys=(*TRIPS.join_keys, Field("trips_at", Dtype.STRING)),
    features=TRIPS.features[:1],
)
COMPOSITE_SOURCE = dataclasses.replace(
    SOURCE, columns=(*SOURCE.columns, ("trips_at", 'city "code"'))
)
PULL = Pull(
    join_keys=("driver_id",),
    features=("rates", "n_trips"),
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
    start_us=0,
    end_us=86_400_000_000,
    is_latest=True,
)


BOUNDS = RowBounds(
    n_files=2, n_rows=1000, event_us=(0, 86_400_000_000), created_us=(5, 90_000_000_000)
)
FAR_BOUNDS = dataclasses.replace(BOUNDS, event_us=(-(2**62), 2**62))


def point_in_time(
    source: SourceFiles = SOURCE,
    view: FeatureViewSchema = TRIPS,
    *,
    knowledge: Knowledge = Knowledge.LATEST_TRUTH,
    strategy: JoinStrategy = JoinStrategy.RANGE,
    bounds: RowBounds = BOUNDS,
    key_columns: tuple[str, ...] = ("driver_id",),
) -> PointInTimeJoin:
    return PointInTimeJoin(
        source=source,
        read=ViewRead(view, view.name, key_columns, view.features[:1]),
        knowledge=knowledge,
        strategy=strategy,
        order=RowOrder(bounds),
        entity_relation="entity_rows_0",
        winner_table="winners_0",
        event_range_us=(0, 86_400_000_000),
    )


def merge() -> MergeInput:
    read = ViewRead(COMPOSITE, COMPOSITE.name, ("the driver", "select"), COMPOSITE.features[:1])
    return MergeInput(COMPOSITE_SOURCE, read, "entity_rows_0", "entities_0", (0, None))


def sample(source: SourceFiles, n_entity_rows: int) -> str:
    read = ViewRead(TRIPS, "trips", ("the driver",), TRIPS.features[:1])
    blocks = ((0, 0), (len(source.paths) - 1, 122_880))
    return Sample(source, read, "entity_rows_0", blocks, n_entity_rows).sql()


def newest(view: FeatureViewSchema = TRIPS) -> NewestRows:
    parts = (
        WantedRows(SOURCE.only(SOURCE.paths[:1]), since_us=-5),
        WantedRows(
            SOURCE.only(SOURCE.paths[1:]),
            since_us=10_000_000,
            created_after_us=7_000_000,
            counts_undated=False,
        ),
    )
    # So many instants that the rough ranking leaves out the lowest bits.
    bounds = dataclasses.replace(BOUNDS, event_us=(1_000_000, 2**61))
    return NewestRows(parts, view, until_us=86_400_000_000, bounds=bounds)


def pull(**changes: Any) -> str:
    changed = dataclasses.replace(PULL, **changes)
    has_created = changed.created_timestamp_column is not None
    created = SOURCE.created if has_created else None
    return build_pull_sql(
        changed, dataclasses.replace(SOURCE, paths=SOURCE.paths[:1], created=created)
    )


CASES: dict[str, Callable[[], str]] = {
    "winners_range": lambda: point_in_time().winners_sql(),
    "winners_range_as_known": lambda: point_in_time(knowledge=Knowledge.AS_KNOWN).winners_sql(),
    "winners_range_as_known_without_created": lambda: point_in_time(
        NANOSECONDS,
        knowledge=Knowledge.AS_KNOWN,
        bounds=dataclasses.replace(BOUNDS, created_us=None),
    ).winners_sql(),
    "winners_range_beyond_an_integer": lambda: point_in_time(
        bounds=dataclasses.replace(FAR_BOUNDS, created_us=FAR_BOUNDS.event_us)
    ).winners_sql(),
    "winners_as_of": lambda: point_in_time(strategy=JoinStrategy.AS_OF).winners_sql(),
    "winners_as_of_as_known": lambda: point_in_time(
        strategy=JoinStrategy.AS_OF, knowledge=Knowledge.AS_KNOWN
    ).winners_sql(),
    "winners_as_of_entityless": lambda: point_in_time(
        view=ENTITYLESS, strategy=JoinStrategy.AS_OF, key_columns=()
    ).winners_sql(),
    "winners_as_of_as_known_entityless": lambda: point_in_time(
        view=ENTITYLESS, strategy=JoinStrategy.AS_OF, knowledge=Knowledge.AS_KNOWN, key_columns=()
    ).winners_sql(),
    "winners_as_of_composite": lambda: point_in_time(
        COMPOSITE_SOURCE,
        COMPOSITE,
        strategy=JoinStrategy.AS_OF,
        key_columns=("the driver", "select"),
    ).winners_sql(),
    "winners_composite_renamed": lambda: point_in_time(
        COMPOSITE_SOURCE, COMPOSITE, key_columns=("the driver", "select")
    ).winners_sql(),
    "place_ties": lambda: point_in_time().place_ties_sql(),
    "place_ties_as_known": lambda: point_in_time(knowledge=Knowledge.AS_KNOWN).place_ties_sql(),
    "fetch": lambda: point_in_time().fetch_sql(in_order=False),
    "fetch_in_order_of_one_file": lambda: point_in_time(
        dataclasses.replace(SOURCE, paths=SOURCE.paths[:1])
    ).fetch_sql(in_order=True),
    "keep_winners": lambda: point_in_time().keep_winners_sql("found"),
    "merge_entities": lambda: merge().number_entities_sql(),
    "merge_entity_rows": lambda: merge().entity_rows_sql(),
    "merge_feature_rows": lambda: merge().feature_rows_sql(),
    "entities_between_dates": lambda: build_entities_sql(
        COMPOSITE_SOURCE, merge().read, since_us=0, until_us=86_400_000_000
    ),
    "row_bounds": lambda: build_row_bounds_sql(SOURCE),
    "row_bounds_without_created": lambda: build_row_bounds_sql(NANOSECONDS),
    "sample_of_one_file": lambda: sample(
        dataclasses.replace(SOURCE, paths=SOURCE.paths[:1]), 1_000_000
    ),
    "sample_of_files": lambda: sample(SOURCE, 1000),
    "row_history": lambda: build_row_history_sql(
        SOURCE, TRIPS, asked_relation="asked", most_rows=16
    ),
    "row_history_entityless": lambda: build_row_history_sql(
        NANOSECONDS, ENTITYLESS, asked_relation="asked", most_rows=1
    ),
    "latest_rows": lambda: build_latest_rows_sql(SOURCE, TRIPS, since_us=-5, until_us=10),
    "latest_rows_entityless": lambda: build_latest_rows_sql(
        SOURCE, ENTITYLESS, since_us=0, until_us=10
    ),
    "latest_rows_as_known": lambda: build_latest_rows_sql(
        SOURCE, TRIPS, since_us=-5, until_us=10, known_until_us=10
    ),
    "latest_rows_as_known_without_created": lambda: build_latest_rows_sql(
        NANOSECONDS, TRIPS, since_us=-5, until_us=10, known_until_us=10
    ),
    "known_rows_places": lambda: KnownRows(COMPOSITE_SOURCE, COMPOSITE, "e").keep_places_sql(),
    "known_rows_places_entityless": lambda: KnownRows(
        NANOSECONDS, ENTITYLESS, "e"
    ).keep_places_sql(),
    "known_rows_keep": lambda: KnownRows(SOURCE, TRIPS, "e").keep_rows_sql(),
    "known_rows_copy": lambda: KnownRows(SOURCE, TRIPS, "e").copy_sql(-5, 10, "/out/it's.parquet"),
    "newest_find": lambda: newest().find_sql(),
    "newest_find_entityless": lambda: newest(ENTITYLESS).find_sql(),
    "newest_keep_tied": lambda: newest().keep_tied_sql(),
    "newest_keep_exact": lambda: newest().keep_exact_sql(),
    "newest_exact": lambda: newest().exact_sql(),
    "newest_keep_same": lambda: newest().keep_same_sql(),
    "newest_same": lambda: newest().same_sql(),
    "newest_content": lambda: newest().content_sql(),
    "newest_fetch": lambda: newest().fetch_sql(),
    "newest_left_out": lambda: newest().left_out_sql(),
    "orphans": lambda: build_keep_orphans_sql(SOURCE, TRIPS),
    "orphans_composite": lambda: build_keep_orphans_sql(COMPOSITE_SOURCE, COMPOSITE),
    "orphans_entityless": lambda: build_keep_orphans_sql(SOURCE, ENTITYLESS),
    "pull_latest": pull,
    "pull_latest_entityless_without_created": lambda: pull(
        join_keys=(), created_timestamp_column=None
    ),
    "pull_all": lambda: pull(is_latest=False, start_us=None),
    "pull_all_unbounded": lambda: pull(is_latest=False, start_us=None, end_us=None),
}


@pytest.mark.parametrize("case", CASES)
def test_sql_is_as_the_snapshot_says(case: str) -> None:
    path = SNAPSHOTS / f"{case}.sql"
    sql = CASES[case]() + "\n"
    if not path.exists():
        path.write_text(sql, encoding="utf-8")
        pytest.fail(f"{path.name} was missing and has been written: read it and run again")
    assert sql == path.read_text(encoding="utf-8")


def test_every_snapshot_has_its_case() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.sql")} == CASES.keys()
