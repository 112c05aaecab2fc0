from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from pathlib import Path

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import ConfigurationError
from evenstore.schema.model import Field
from evenstore.schema.request import Column
from evenstore.semantics import Status
from parity.compare import CellColumn, Outcome
from parity.document import SCHEMA_VERSION, build_document, render_document, write_document
from parity.golden import StratumCount
from parity.report import (
    CheckedRows,
    Counts,
    FeatureComparison,
    Mode,
    ParityReport,
    Refusal,
    Verdict,
    compare_feature,
)
from parity.strata import Boundary, Stratum
from parity.text import format_report
from tests.parity.cases import AS_OF_US, DAY_US

NULL = Status.NULL_VALUE
PRESENT = Status.PRESENT
EVENT_US = AS_OF_US - DAY_US


def compare_spend(offline: list[float | None], online: list[float | None]) -> FeatureComparison:
    n_rows = len(offline)
    rows = CheckedRows({"customer_id": list(range(n_rows))}, [AS_OF_US] * n_rows)

    def column_of(values: list[float | None]) -> CellColumn:
        statuses = [NULL if value is None else PRESENT for value in values]
        return CellColumn(values, statuses, [EVENT_US] * n_rows)

    return compare_feature(
        Column("activity", Field("spend", Dtype.FLOAT64), is_on_demand=False),
        rows,
        key_columns=["customer_id"],
        offline=column_of(offline),
        online=column_of(online),
        ambiguous=[i == 0 for i in range(n_rows)],
    )


def report_of(
    *features: FeatureComparison, min_coverage: float = 0.3, refusals: tuple[Refusal, ...] = ()
) -> ParityReport:
    return ParityReport(
        project="shop",
        mode=Mode.LIVE,
        subject="checkout_v1",
        gateway="http://127.0.0.1:6566",
        schema_fingerprint="0f3a1c9be2d47a65",
        is_clock_frozen=True,
        seed=0,
        n_rows_asked=10,
        n_rows=3,
        first_as_of_us=AS_OF_US,
        last_as_of_us=AS_OF_US + 1,
        min_coverage=min_coverage,
        features=features,
        strata=tuple(
            StratumCount("activity", stratum, 3 * (stratum is Stratum.ORDINARY), 3)
            if stratum is not Stratum.TIE
            else StratumCount("activity", stratum, 0, 0)
            for stratum in Stratum
        ),
        refusals=refusals,
    )


EVENT = "@2011-12-09T00:00:00Z"
AS_OF_LINE = (
    "as of 2011-12-10T00:00:00Z to 2011-12-10T00:00:00.000001Z, where the gateway's clock is frozen"
)
CLEAN = compare_spend([1.5, None, math.nan], [1.5, None, math.nan])
FAULTY = compare_spend([12.5, math.nan, None], [13.5, math.inf, None])


def test_counts_tell_non_null_from_both_null_and_count_ties() -> None:
    counts = CLEAN.counts
    assert (counts.n_compared, counts.n_non_null, counts.n_both_null) == (3, 2, 1)
    assert counts.n_ambiguous == 1
    assert counts.coverage == pytest.approx(2 / 3)
    assert counts.by_outcome == Counter({Outcome.MATCH: 3})


def test_counts_of_nothing_have_no_coverage() -> None:
    assert Counts().coverage == 0.0


def test_views_and_total_add_up_their_features() -> None:
    report = report_of(CLEAN, FAULTY)
    assert report.views["activity"] == report.total
    assert report.total.n_compared == 6
    assert report.total.n_differing == 2
    assert [d.row_idx for d in report.differences] == [0, 1]


def test_verdict_passes_when_nothing_differs_and_enough_is_covered() -> None:
    assert report_of(CLEAN).verdict is Verdict.PASSED
    assert report_of(CLEAN).violations == []


def test_verdict_is_violated_by_one_difference() -> None:
    report = report_of(CLEAN, FAULTY)
    assert report.verdict is Verdict.VIOLATED
    assert report.violations == ["2 of 6 values differ"]


def test_verdict_is_violated_by_low_coverage_alone() -> None:
    report = report_of(CLEAN, min_coverage=0.7)
    assert report.verdict is Verdict.VIOLATED
    assert report.violations == ["coverage is 0.667, below the minimum of 0.7"]


def test_text_names_differences_counts_strata_and_ends_with_the_verdict() -> None:
    lines = list(format_report(report_of(FAULTY)))
    assert lines == [
        "`checkout_v1` of project `shop` at http://127.0.0.1:6566",
        AS_OF_LINE,
        "3 entity rows (10 asked for), seed 0",
        "",
        f"mismatch activity:spend customer_id=0 offline=12.5 {EVENT} online=13.5 {EVENT}",
        f"mismatch activity:spend customer_id=1 offline=NaN {EVENT} online=Infinity {EVENT}",
        "",
        "view      compared  non-null  both null  differing  expired-absent  ambiguous  coverage",
        "activity         3         2          1          2               0          1     0.667",
        "",
        "entity rows drawn (of entities known) per stratum",
        "view        hot   cold  expired   null    tie  ordinary  unknown",
        "activity  3 (0)  3 (0)    3 (0)  3 (0)  0 (0)     3 (3)        3",
        "not covered: activity has no tie entity rows",
        "",
        "violated: 2 of 3 values differ",
        "parity: 3 values compared (2 non-null), 2 mismatches",
    ]


def test_text_shows_every_stratum_of_a_golden_set() -> None:
    counts = [
        *(StratumCount("activity", stratum, 5, 2) for stratum in Stratum),
        StratumCount("activity", Boundary.TTL_EDGE, 0, 4),
        StratumCount("activity", Boundary.LATE, 0, 0),
        StratumCount("orders", Boundary.LATE, 0, 6),
    ]
    report = dataclasses.replace(report_of(CLEAN), strata=tuple(counts))
    lines = list(format_report(report))
    heading = next(line for line in lines if line.startswith("view ") and "hot" in line)
    first = lines.index(heading) + 1
    assert heading.split()[-3:] == ["unknown", "ttl-edge", "late"]
    assert lines[first].split()[-3:] == ["2", "4", "0"]
    assert lines[first + 1].split() == ["orders", "6"]
    assert "not covered: activity has no late entity rows" in lines


def test_text_shows_a_bounded_number_of_differences() -> None:
    many = compare_spend([1.0] * 60, [2.0] * 60)
    lines = list(format_report(report_of(many), n_shown=5))
    assert sum(line.startswith("mismatch ") for line in lines) == 5
    assert "... and 55 more; --json has all of them" in lines


def test_text_names_rows_that_the_gateway_refused() -> None:
    refusal = Refusal(2, {"customer_id": 7}, "corrupt-row", "activity:spend: 3 bytes too many")
    lines = list(format_report(report_of(CLEAN, refusals=(refusal,))))
    assert "refused customer_id=7 corrupt-row: activity:spend: 3 bytes too many" in lines


def test_document_has_every_difference_and_is_json_for_every_reader() -> None:
    refusal = Refusal(2, {"customer_id": b"\x00"}, "future-row", "later")
    report = report_of(FAULTY, refusals=(refusal,))

    def refuse_constant(name: str) -> None:
        raise AssertionError(name)

    document = json.loads(render_document(build_document(report)), parse_constant=refuse_constant)
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["verdict"] == "violated"
    assert document["differences"][1] == {
        "outcome": "mismatch",
        "view": "activity",
        "feature": "spend",
        "dtype": "Float64",
        "row_idx": 1,
        "entity_key": {"customer_id": 1},
        "as_of_us": AS_OF_US,
        "offline": {"value": "NaN", "status": "PRESENT", "event_us": EVENT_US},
        "online": {"value": "Infinity", "status": "PRESENT", "event_us": EVENT_US},
        "is_waived": False,
        "finding": None,
    }
    assert document["refusals"][0]["entity_key"] == {"customer_id": "AA=="}
    assert document["views"][0]["features"][0]["by_outcome"]["mismatch"] == 2
    assert document["total"]["n_differing"] == len(document["differences"])


def test_document_is_written_whole_over_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "parity.json"
    target.write_text("old")
    write_document(build_document(report_of(CLEAN)), target)
    assert json.loads(target.read_text())["verdict"] == "passed"
    assert list(tmp_path.iterdir()) == [target]


def test_document_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "parity.json"
    target.mkdir()
    with pytest.raises(ConfigurationError, match="cannot write"):
        write_document(build_document(report_of(CLEAN)), target)
    assert list(tmp_path.iterdir()) == [target]
