from __future__ import annotations

import dataclasses
import datetime as dt
import math
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from parity.causes.finding import Cause
from parity.compare import Outcome
from parity.report import ParityReport, Verdict
from parity.waivers.application import apply_waivers
from parity.waivers.waiver import Tolerance, Waiver
from tests.parity.reports import EVENT_US, compare_values, explain, make_report

TODAY = dt.date(2026, 11, 22)
VALUES = [float(i) for i in range(100)]


def waiver(feature: str = "spend", **changes: Any) -> Waiver:
    made = Waiver(
        view_name="activity",
        feature=feature,
        tolerance=Tolerance(relative=1e-9),
        causes=frozenset(),
        reason="the importer rounds",
        owner="data",
        expires=TODAY,
    )
    return dataclasses.replace(made, **changes)


def judge(report: ParityReport, *waivers: Waiver, allows: bool = False) -> ParityReport:
    return apply_waivers(report, waivers, today=TODAY, allows_unknown_causes=allows)


def near(factor: float = 1 + 1e-10) -> ParityReport:
    return make_report(compare_values("spend", Dtype.FLOAT64, VALUES, [v * factor for v in VALUES]))


def test_without_a_waiver_the_smallest_difference_violates() -> None:
    assert judge(near()).verdict is Verdict.VIOLATED


def test_declared_tolerance_makes_near_values_agree_and_counts_them() -> None:
    judged = judge(near(), waiver())
    assert judged.verdict is Verdict.PASSED
    n_near = near().total.n_differing
    assert judged.total.n_within_tolerance == n_near > 0
    assert judged.total.by_outcome[Outcome.MISMATCH] == 0
    assert judged.total.by_outcome.total() == judged.total.n_compared
    assert judged.differences == []
    assert judged.waivers[0].n_within_tolerance == n_near


def test_value_beyond_the_tolerance_stays_a_difference() -> None:
    judged = judge(near(1 + 1e-8), waiver())
    assert judged.total.n_within_tolerance == 0
    assert judged.verdict is Verdict.VIOLATED


def test_other_features_are_as_exact_as_before() -> None:
    report = make_report(
        compare_values("spend", Dtype.FLOAT64, [1.0], [1.0 + 1e-12]),
        compare_values("orders", Dtype.FLOAT64, [1.0], [1.0 + 1e-12]),
    )
    judged = judge(report, waiver())
    assert [difference.feature for difference in judged.differences] == ["orders"]


@pytest.mark.parametrize(
    ("offline", "online"),
    [(1.0, None), (None, 1.0), (1.0, math.nan), (math.inf, -math.inf), (math.inf, 1.0)],
)
def test_missing_and_not_finite_values_are_near_to_nothing(
    offline: float | None, online: float | None
) -> None:
    report = make_report(compare_values("spend", Dtype.FLOAT64, [offline], [online]))
    wide = waiver(tolerance=Tolerance(absolute=1e300, relative=0.01, ulp=65_536))
    assert judge(report, wide).total.n_differing == 1


@pytest.mark.parametrize(
    ("step_us", "outcome"), [(-1, Outcome.STALE), (1, Outcome.MISMATCH), (0, None)]
)
def test_near_value_of_another_row_differs_all_the_same(
    step_us: int, outcome: Outcome | None
) -> None:
    compared = compare_values(
        "spend", Dtype.FLOAT64, [1.0], [1.0 + 1e-12], online_event_us=EVENT_US + step_us
    )
    judged = judge(make_report(compared), waiver())
    assert [difference.outcome for difference in judged.differences] == [outcome] * bool(outcome)


@pytest.mark.parametrize(
    ("tolerance", "n_steps", "is_near"),
    [
        (Tolerance(ulp=4), 4, True),
        (Tolerance(ulp=4), 5, False),
        (Tolerance(absolute=1e-3), 100, True),
        (Tolerance(absolute=1e-18), 100, False),
    ],
)
def test_each_kind_of_limit_is_inclusive(
    tolerance: Tolerance, n_steps: int, *, is_near: bool
) -> None:
    online = 1.0
    for _ in range(n_steps):
        online = math.nextafter(online, 2.0)
    assert tolerance.allows(Dtype.FLOAT64, 1.0, online) is is_near


def test_lists_are_near_element_by_element() -> None:
    limit = Tolerance(relative=1e-9)
    assert limit.allows(Dtype.FLOAT64_LIST, (1.0, 2.0), (1.0 + 1e-12, 2.0))
    assert not limit.allows(Dtype.FLOAT64_LIST, (1.0, 2.0), (1.0,))
    assert not limit.allows(Dtype.FLOAT64_LIST, (1.0, math.nan), (1.0, 2.0))


def test_expired_waiver_is_not_applied_and_violates_by_itself() -> None:
    expired = waiver(expires=TODAY - dt.timedelta(days=1))
    judged = judge(near(), expired)
    assert judged.total.n_differing == near().total.n_differing
    assert any("expired on 2026-11-21" in sentence for sentence in judged.violations)
    clean = make_report(compare_values("spend", Dtype.FLOAT64, VALUES, VALUES))
    assert judge(clean, expired).verdict is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"expires": TODAY + dt.timedelta(days=367)}, "is too long"),
        ({"tolerance": Tolerance(relative=0.02)}, "is too wide: relative 0.02"),
        ({"tolerance": Tolerance(ulp=65_537)}, "is too wide: 65,537 ulp"),
        # Values are 0 to 99: nine tenths lie within 90.
        ({"tolerance": Tolerance(absolute=1.0)}, "is too wide: absolute 1, where nine tenths"),
        ({"causes": frozenset({Cause.UNKNOWN})}, "needs --allow-unknown-causes"),
    ],
)
def test_waiver_that_is_too_wide_violates(changes: dict[str, Any], problem: str) -> None:
    judged = judge(near(), waiver(**changes))
    assert judged.total.n_within_tolerance == 0
    assert any(problem in sentence and "data" in sentence for sentence in judged.violations)


def test_widest_waivers_that_are_allowed_are_applied() -> None:
    widest = waiver(
        tolerance=Tolerance(absolute=0.9, relative=0.01, ulp=65_536),
        expires=TODAY + dt.timedelta(days=366),
    )
    assert judge(near(), widest).verdict is Verdict.PASSED


def test_tolerance_of_a_text_violates() -> None:
    report = make_report(compare_values("spend", Dtype.STRING, ["a"], ["b"]))
    assert any("String is no number" in sentence for sentence in judge(report, waiver()).violations)


def test_waiver_of_a_feature_that_is_not_compared_is_no_violation() -> None:
    clean = make_report(compare_values("spend", Dtype.FLOAT64, VALUES, VALUES))
    judged = judge(clean, waiver("other"))
    assert judged.verdict is Verdict.PASSED
    assert not judged.waivers[0].is_compared


def test_accepted_cause_is_counted_and_does_not_violate() -> None:
    report = explain(
        make_report(compare_values("spend", Dtype.FLOAT64, [1.0, 2.0], [1.0, 3.0])),
        Cause.LATE_ARRIVAL,
    )
    accepting = waiver(tolerance=Tolerance(), causes=frozenset({Cause.LATE_ARRIVAL}))
    judged = judge(report, accepting)
    assert judged.verdict is Verdict.PASSED
    assert (judged.total.n_differing, judged.total.n_waived) == (1, 1)
    assert judged.differences[0].is_waived
    other = waiver(tolerance=Tolerance(), causes=frozenset({Cause.WRITE_ORDER}))
    assert judge(report, other).verdict is Verdict.VIOLATED


def test_unknown_cause_fails_the_gate_unless_it_is_allowed() -> None:
    report = explain(
        make_report(compare_values("spend", Dtype.FLOAT64, [1.0], [2.0])), Cause.UNKNOWN
    )
    assert "1 of 1 values differ without a known cause" in judge(report).violations
    accepting = waiver(tolerance=Tolerance(), causes=frozenset({Cause.UNKNOWN}))
    assert judge(report, accepting, allows=True).verdict is Verdict.PASSED
    assert judge(report, accepting).verdict is Verdict.VIOLATED


def test_waiver_is_not_applied_where_not_all_differing_cells_were_kept() -> None:
    compared = compare_values("spend", Dtype.FLOAT64, [1.0, 2.0], [1.0 + 1e-12, 2.0 + 1e-12])
    sampled = dataclasses.replace(compared, differences=compared.differences[:1])
    judged = judge(make_report(sampled), waiver())
    assert judged.total.n_differing == 2
    assert any("only 1 of 2 differing cells were kept" in s for s in judged.violations)
