from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evenstore.clock import FrozenClock, SystemClock, datetime_to_us
from evenstore.errors import ParityError, SchemaDriftError
from evenstore.semantics import Status
from parity.compare import Cell
from parity.golden_run.repository import open_golden_repo
from parity.golden_run.run import run_golden_set
from parity.golden_set.build import build_golden_set
from parity.golden_set.golden_file import GoldenFile, write_golden_file
from tests.parity.golden_run.conftest import GoldenShop
from tests.parity.golden_run.shop import (
    CORRECTED,
    EXPIRED,
    INSTANTS,
    LATE,
    NULL,
    TIED,
    TTL_EDGE,
    UNDATED,
)

pytestmark = [
    *(pytest.mark.redis, pytest.mark.slow),
    pytest.mark.xdist_group("golden_shop"),
]


def cell(golden: GoldenFile, feature: str, customer_id: int, as_of_us: int) -> Cell:
    (column,) = [f.expected for f in golden.features if f.name == feature]
    assert column is not None
    customers = golden.columns["customer_id"]
    rows = [i for i in golden.rows_at(as_of_us) if customers[i] == customer_id]
    found = {column.cell(row_idx) for row_idx in rows}
    assert len(found) == 1
    return found.pop()


def test_strata_and_boundaries_are_drawn(golden_shop: GoldenShop) -> None:
    drawn = {
        (count.view_name, count.stratum.value)
        for count in golden_shop.golden.strata
        if count.n_rows
    }
    of_activity = ("hot", "expired", "null", "tie", "ordinary", "unknown", "ttl-edge", "late")
    assert {("activity", stratum) for stratum in of_activity} <= drawn
    assert {("demand", "ordinary"), ("demand", "unknown"), ("pairs", "ordinary")} <= drawn


def test_both_sides_of_the_ttl_are_asked_for_and_expected_to_differ(
    golden_shop: GoldenShop,
) -> None:
    golden, edge_us = golden_shop.golden, datetime_to_us(TTL_EDGE)
    within = cell(golden, "activity:spend", EXPIRED, edge_us)
    after = cell(golden, "activity:spend", EXPIRED, edge_us + 1)
    assert (within.status, within.value) == (Status.PRESENT, 0.1)
    assert (after.status, after.value) == (Status.OUTSIDE_MAX_AGE, None)


def test_frozen_values_are_those_known_at_their_instants(golden_shop: GoldenShop) -> None:
    golden = golden_shop.golden
    second, last = (datetime_to_us(instant) for instant in INSTANTS[1:])
    assert cell(golden, "activity:orders", LATE, second).value == 2**53 + 2
    assert cell(golden, "activity:orders", UNDATED, second).value == 2**53 + 2
    assert cell(golden, "activity:spend", CORRECTED, last).value == 99.5
    assert cell(golden, "activity:orders", TIED, last).value == 2**53 + 3
    assert cell(golden, "activity:orders", NULL, last).status is Status.NULL_VALUE


def test_the_same_seed_draws_the_same_set_and_another_one_another(
    golden_shop: GoldenShop, tmp_path: Path
) -> None:
    again = build_golden_set(golden_shop.build, SystemClock())
    write_golden_file(again, tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == golden_shop.golden_path.read_bytes()
    other = build_golden_set(replace(golden_shop.build, seed=1, is_frozen=False), SystemClock())
    assert other.columns != golden_shop.golden.columns
    assert not other.is_frozen


def test_instants_are_chosen_where_none_are_named(golden_shop: GoldenShop) -> None:
    settings = replace(golden_shop.build, as_of_us=(), is_frozen=False)
    golden = build_golden_set(settings, SystemClock())
    newest = INSTANTS[-1] - timedelta(hours=1)
    assert golden.as_of_us[-1] == datetime_to_us(newest)


def test_an_instant_that_lies_ahead_is_refused(golden_shop: GoldenShop) -> None:
    early = FrozenClock(datetime_to_us(INSTANTS[1]))
    with pytest.raises(ParityError, match="lies ahead"):
        build_golden_set(golden_shop.build, early)
    with pytest.raises(ParityError, match="lie ahead"):
        run_golden_set(golden_shop.run, early)


def test_a_set_of_another_schema_or_project_is_refused(golden_shop: GoldenShop) -> None:
    with pytest.raises(SchemaDriftError, match="was built for 0123"):
        open_golden_repo(golden_shop.repo, replace(golden_shop.golden, schema_fingerprint="0123"))
    with pytest.raises(ParityError, match="of project `other`"):
        open_golden_repo(golden_shop.repo, replace(golden_shop.golden, project="other"))


def test_a_set_without_rows_is_refused(golden_shop: GoldenShop, tmp_path: Path) -> None:
    empty = replace(
        golden_shop.golden,
        columns={name: [] for name in golden_shop.golden.columns},
        as_of_us=(),
        row_strata=(),
        features=(),
    )
    write_golden_file(empty, tmp_path / "empty.jsonl")
    with pytest.raises(ParityError, match="has no rows"):
        run_golden_set(replace(golden_shop.run, golden=tmp_path / "empty.jsonl"), SystemClock())
