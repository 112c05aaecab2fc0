from __future__ import annotations

import pytest

from benchmarks.names import find_named
from benchmarks.parity.cases import CASES
from benchmarks.parity.measure import ParitySample, ParityStepOutcome
from benchmarks.parity.report import render_parity_report
from benchmarks.parity.results import ParityCaseResult, ParityResults
from evenstore.errors import ConfigurationError


def measured() -> ParityResults:
    results = ParityResults(1.0, 7, 2, {"cores": 2})
    full = results.cases["full"] = ParityCaseResult(CASES["full"], 1_000_000)
    for call_s in (8.0, 10.0):
        full.add(ParityStepOutcome("ok", sample=sample(call_s, {})))
    live = results.cases["live"] = ParityCaseResult(CASES["live"], 100_000)
    parts_s = {"gateway": 0.8, "client": 1.5, "lookups": 1.0}
    live.add(ParityStepOutcome("ok", sample=sample(3.0, parts_s)))
    results.cases["golden"] = ParityCaseResult(CASES["golden"], 20_000)
    results.cases["golden"].add(ParityStepOutcome("wrong", "3 values differ"))
    return results


def sample(call_s: float, parts_s: dict[str, float]) -> ParitySample:
    return ParitySample(call_s, 6.0, call_s + 5, 500_000_000, 1_000_000, 10_000_000, parts_s)


def test_results_come_back_from_their_document() -> None:
    results = measured()
    assert ParityResults.from_document(results.to_document()) == results
    assert results.failures == ["golden: wrong: 3 values differ"]


def test_report_has_rates_shares_and_failures() -> None:
    text = render_parity_report(measured())
    assert "| 9.00 (8.00 to 10.00) | 112,500 (100,000 to 125,000) |" in text
    assert "lookups at 80% of the gateway's throughput" in text
    assert "wrong: 3 values differ" in text
    assert "**The run was interrupted.**" in text


def test_unknown_case_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as refused:
        find_named(["ful"], CASES, "case")
    assert "full-feast" in str(refused.value)
