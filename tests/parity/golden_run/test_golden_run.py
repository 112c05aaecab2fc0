"""A golden run with a fault planted in each of its parts: what is planted is found, and only that.

The faults are in the product's own code, changed while the run goes on; the gateway is real, and so
are its answers.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evenstore.offline.joined as offline_joined
import evenstore.sql.newest as run_sql
from evenstore.clock import SystemClock, datetime_to_us
from evenstore.compute.known_files import KnownFiles
from evenstore.dtypes import Dtype
from evenstore.schema.files import SourceFiles
from parity.causes.finding import Cause
from parity.compare import Outcome
from parity.golden_run.run import run_golden_set
from parity.golden_set.golden_file import GoldenFile
from parity.report import Difference, Mode, ParityReport
from tests.parity.golden_run.conftest import GoldenShop
from tests.parity.golden_run.shop import EXPIRED, INSTANTS, LATE, PROJECT, TIED, TTL_EDGE
from tests.support.scale import full_only

pytestmark = [
    *(pytest.mark.redis, pytest.mark.slow, pytest.mark.e2e),
    pytest.mark.xdist_group("golden_shop"),
]

REWRITTEN = "P3"
FEATURES = {"orders", "spend", "share", "first_order", "recent", "token"}


@dataclass(frozen=True, slots=True)
class Faulty:
    """What a run with planted faults reported, and what it left behind."""

    report: ParityReport
    golden: GoldenFile
    keys_left: set[bytes]
    folders_left: list[Path]

    def differences(self, customer_id: int, as_of_us: int | None = None) -> list[Difference]:
        return [
            difference
            for difference in self.report.differences
            if difference.entity_key.get("customer_id") == customer_id
            and as_of_us in {None, difference.as_of_us}
        ]

    @property
    def late_rows(self) -> set[int]:
        """Rows on both sides of the microsecond at which a row became known."""
        return {
            row_idx
            for row_idx, strata in enumerate(self.golden.row_strata)
            if strata.get("activity") == ("late",)
        }


@pytest.fixture(scope="module")
def faulty(golden_shop: GoldenShop, tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    folders = tmp_path_factory.mktemp("t")
    source = golden_shop.repo / "data" / "demand" / "rows.parquet"
    published = source.read_bytes()
    golden_shop.redis.flushall()
    golden_shop.redis.set("somebody", "else")
    with pytest.MonkeyPatch.context() as plant:
        plant.setattr(tempfile, "tempdir", str(folders))
        plant.setattr(offline_joined, "_is_older", _one_us_too_early(offline_joined._is_older))
        plant.setattr(run_sql, "build_content_order", _least_number_wins)
        plant.setattr(KnownFiles, "known_at", _sees_all)
        _rewrite_the_past(source)
        report = run_golden_set(golden_shop.run, SystemClock())
    source.write_bytes(published)
    keys = set(golden_shop.redis.scan_iter())
    return Faulty(report, golden_shop.golden, keys, list(folders.iterdir()))


def _one_us_too_early(is_older: Any) -> Any:
    def planted(event_us: pa.Array, as_of_us: pa.Array, limit_us: int | None) -> Any:
        return is_older(event_us, as_of_us, None if limit_us is None else limit_us - 1)

    return planted


def _least_number_wins(content: Any) -> tuple[str, ...]:
    return tuple(f"-({name})" for name, dtype in content if dtype is Dtype.INT64)


def _sees_all(known: KnownFiles, _instant_idx: int) -> SourceFiles:
    return known.source


def _rewrite_the_past(source: Path) -> None:
    """Change a value where it is: without created timestamps no store can tell."""
    table = pq.read_table(source)
    sold = [
        value + 1_000 if product == REWRITTEN else value
        for value, product in zip(
            table["sold"].to_pylist(), table["product"].to_pylist(), strict=True
        )
    ]
    column = pa.array(sold, pa.int64())
    pq.write_table(table.set_column(table.column_names.index("sold"), "sold", column), source)


def test_ttl_that_is_off_by_one_microsecond_is_found_at_the_edge_alone(faulty: Faulty) -> None:
    edge_us = datetime_to_us(TTL_EDGE)
    found = faulty.differences(EXPIRED)
    assert {difference.as_of_us for difference in found} == {edge_us}
    assert {d.feature for d in found if d.view_name == "activity"} == FEATURES
    assert {difference.outcome.value for difference in found} == {"extra"}
    causes = {d.finding.cause for d in found if d.finding is not None}
    assert causes == {Cause.TTL_BOUNDARY}


def test_tie_that_the_run_resolves_otherwise_is_found(faulty: Faulty) -> None:
    found = faulty.differences(TIED)
    assert {(d.feature, d.outcome.value) for d in found} == {
        ("orders", "mismatch"),
        ("recent", "mismatch"),
    }
    assert all(d.finding is not None and d.finding.cause is Cause.AMBIGUOUS_TIE for d in found)
    assert faulty.report.total.n_ambiguous > 0


def test_row_that_was_not_known_yet_is_found_wherever_it_is_served(faulty: Faulty) -> None:
    at_us = datetime_to_us(INSTANTS[1])
    found = faulty.differences(LATE, at_us)
    assert {d.feature for d in found if d.view_name == "activity"} == FEATURES
    assert all(d.online.event_us is not None for d in found if d.view_name == "activity")
    # Of both sides of the microsecond the earlier one differs.
    assert {d.row_idx for d in faulty.report.differences} & faulty.late_rows == {
        row_idx for row_idx in faulty.late_rows if faulty.golden.as_of_us[row_idx] % 1_000_000
    }


def test_nothing_else_differs(faulty: Faulty) -> None:
    rows = defaultdict(set)
    for difference in faulty.report.differences:
        rows[difference.entity_key["customer_id"]].add(difference.view_name)
    late = {faulty.golden.columns["customer_id"][row_idx] for row_idx in faulty.late_rows}
    assert set(rows) == {EXPIRED, TIED, LATE, *late}
    assert {name for views in rows.values() for name in views} <= {"activity", "compare_basket"}


def test_fault_that_both_sides_share_differs_from_the_frozen_values_alone(faulty: Faulty) -> None:
    sold = next(f for f in faulty.report.features if f.feature == "sold")
    assert sold.counts.n_differing == 0
    frozen: Any = faulty.report.sections["golden"]
    shared = [d for d in frozen["frozen"]["differences"] if d["feature"] == "demand:sold"]
    assert {d["side"] for d in shared} == {"offline", "online"}
    assert {d["found"]["value"] - d["expected"]["value"] for d in shared} == {1_000}
    told = [line for line in faulty.report.violations if line.startswith("demand:sold: ")]
    assert len(told) == 2
    assert 'product="P3"' in told[0]


def test_frozen_values_tell_which_side_is_wrong(faulty: Faulty) -> None:
    frozen: Any = faulty.report.sections["golden"]
    sides = defaultdict(set)
    for difference in frozen["frozen"]["differences"]:
        sides[difference["row_idx"]].add(difference["side"])
    rows_of_fault = {d.row_idx: d.entity_key["customer_id"] for d in faulty.report.differences}
    for row_idx, customer_id in rows_of_fault.items():
        shared = (
            {"offline", "online"}
            if faulty.golden.columns["product"][row_idx] == REWRITTEN
            else set()
        )
        assert sides[row_idx] | shared == shared | {
            "offline" if customer_id == EXPIRED else "online"
        }


def test_report_says_what_was_run(faulty: Faulty, golden_shop: GoldenShop) -> None:
    report = faulty.report
    assert (report.mode, report.project) == (Mode.GOLDEN, PROJECT)
    assert report.n_rows == golden_shop.golden.n_rows
    assert (report.first_as_of_us, report.last_as_of_us) == (
        datetime_to_us(INSTANTS[0]),
        datetime_to_us(INSTANTS[-1]),
    )
    assert any("no created timestamp" in note for note in report.notes)


def test_nothing_is_left_behind(faulty: Faulty) -> None:
    assert faulty.keys_left == {b"somebody"}
    assert faulty.folders_left == []


@full_only
@pytest.mark.parametrize("has_own_redis", [False, True])
def test_clean_run_finds_nothing(golden_shop: GoldenShop, *, has_own_redis: bool) -> None:
    golden_shop.redis.flushall()
    settings = replace(golden_shop.run, has_own_redis=has_own_redis)
    report = run_golden_set(settings, SystemClock())
    assert report.violations == []
    assert report.total.by_outcome == {Outcome.MATCH: report.total.n_compared}
    assert set(golden_shop.redis.scan_iter()) == set()
