"""Event, created and feature timestamps of every unit and zone, before 1970 and on odd days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.types import Array, Int64, Struct, UnixTimestamp, ZonedTimestamp

from tests.evenstore.offline.value_cases import INSTANT, second, thing, view_of
from tests.support.feast_repo import FeastRepo

# Around 1970, and the hours that daylight saving skips and repeats in New York.
SECONDS = [
    -2_208_988_800,
    -1,
    0,
    *(int(second(f"2024-03-10T0{hour}:59:59").timestamp()) for hour in (5, 6, 7)),
    *(int(second(f"2024-11-03T0{hour}:30:00").timestamp()) for hour in (4, 5, 6)),
]
PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
ZONES = {"naive": None, "utc": "UTC", "new_york": "America/New_York"}
KINDS = [(unit, zone) for unit in PER_SECOND for zone in ZONES]


def stamps(unit: str, zone: str | None, *, plus_s: int = 0) -> pa.Array:
    """Make the last tick of each second: what rounding would turn into the next second."""
    ticks = PER_SECOND[unit]
    raw = [(instant + plus_s) * ticks + ticks - 1 for instant in SECONDS]
    return pa.array(raw, pa.int64()).cast(pa.timestamp(unit, zone))


@pytest.fixture(scope="module")
def zoned(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    repo = FeastRepo(tmp_path_factory.mktemp("zones"))
    declared = {
        "n": Int64,
        "at": UnixTimestamp,
        "zoned": ZonedTimestamp,
        "ats": Array(UnixTimestamp),
        "deep": Struct({"ats": Array(Array(UnixTimestamp)), "at": UnixTimestamp}),
    }
    views = []
    for unit, zone in KINDS:
        name, at = f"{unit}_{zone}", stamps(unit, ZONES[zone])
        ats = pa.ListArray.from_arrays(pa.array(range(len(at) + 1), pa.int32()), at)
        nested = pa.ListArray.from_arrays(pa.array(range(len(at) + 1), pa.int32()), ats)
        columns = {
            "k": pa.array([1] * len(at), pa.int64()),
            "n": pa.array(range(len(at)), pa.int64()),
            "event_timestamp": at,
            "created": stamps(unit, ZONES[zone], plus_s=1),
            "at": at,
            "zoned": at,
            "ats": ats,
            "deep": pa.StructArray.from_arrays([nested, at], ["ats", "at"]),
        }
        repo.write_rows(name, pa.table(columns).take(pa.array([*range(len(at))][::-1])))
        views.append(view_of(repo, name, declared, source=repo.source(name)))
    return repo.apply(thing, *views)


def ask_at(zoned: FeatureStore, name: str, at_us: list[int], **options: Any) -> pa.Table:
    asked = {
        "k": pa.array([1] * len(at_us), pa.int64()),
        "event_timestamp": pa.array(at_us, pa.int64()).cast(INSTANT),
    }
    features = [f"{name}:{feature}" for feature in ("n", "at", "zoned", "ats", "deep")]
    job = zoned.get_historical_features(entity_df=pa.table(asked), features=features, **options)
    joined: pa.Table = job.to_arrow()
    return joined


@pytest.mark.parametrize(("unit", "zone"), KINDS)
def test_timestamps_of_every_kind_are_exact(zoned: FeatureStore, unit: str, zone: str) -> None:
    """A row is found from its own microsecond on; timestamp features are floored to seconds."""
    ticks = PER_SECOND[unit]
    events_us = [instant * 10**6 + (ticks - 1) * 10**6 // ticks for instant in SECONDS]
    at_us = [us for event_us in events_us for us in (event_us - 1, event_us)]
    table = ask_at(zoned, f"{unit}_{zone}", at_us)
    # Before a row's instant the answer is the row before it, before the first there is none.
    rows = [None if i < 0 else i for event in range(len(SECONDS)) for i in (event - 1, event)]
    assert table["n"].to_pylist() == rows
    at = [None if i is None else datetime.fromtimestamp(SECONDS[i], UTC) for i in rows]
    assert table["at"].to_pylist() == at
    assert table["zoned"].to_pylist() == at
    assert table["ats"].to_pylist() == [None if value is None else [value] for value in at]
    deep = [None if value is None else {"ats": [[value]], "at": value} for value in at]
    assert table["deep"].to_pylist() == deep


@pytest.mark.parametrize(("unit", "zone"), KINDS)
def test_created_timestamps_of_every_kind_are_exact(
    zoned: FeatureStore, unit: str, zone: str
) -> None:
    """As known, a row counts from the microsecond of its created timestamp on: a second later."""
    ticks = PER_SECOND[unit]
    known_us = [(instant + 1) * 10**6 + (ticks - 1) * 10**6 // ticks for instant in SECONDS]
    at_us = [us for known in known_us for us in (known - 1, known)]
    table = ask_at(zoned, f"{unit}_{zone}", at_us, filter_by_created_timestamp=True)
    rows = [None if i < 0 else i for row in range(len(SECONDS)) for i in (row - 1, row)]
    assert table["n"].to_pylist() == rows
