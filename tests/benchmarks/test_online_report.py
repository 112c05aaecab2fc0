from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.online.cases import CASES, FEAST, FEAST_BATCHED, PACKED
from benchmarks.online.measure import LoadSample, LookupSample
from benchmarks.online.report import render_online_report
from benchmarks.online.results import OnlineCaseResult, OnlineContenderResult, OnlineResults


def _loaded(
    call_s: Sequence[float], *, n_rows: int = 1_000_000, over_mb: int = 100, redis_bytes: int = 300
) -> OnlineContenderResult:
    samples = [
        LoadSample(
            call_s=seconds,
            call_cpu_s=seconds,
            process_s=seconds + 5,
            process_cpu_s=seconds + 4,
            redis_cpu_s=1,
            imports_rss_bytes=250_000_000,
            peak_rss_bytes=250_000_000 + over_mb * 1_000_000,
            redis_bytes=redis_bytes * n_rows,
            n_rows=n_rows,
            n_entities=n_rows,
        )
        for seconds in call_s
    ]
    return OnlineContenderResult(n_rows, loads={"load": samples})


def _looked_up(p50_us: float) -> OnlineContenderResult:
    lookups = {
        shape: [LookupSample(100, p50_us, 2 * p50_us, 3 * p50_us, p50_us)]
        for shape in ("1x10", "100x10")
    }
    return OnlineContenderResult(10_000, lookups=lookups)


def _results() -> OnlineResults:
    results = OnlineResults(1, 7, 3, {"cores": 2}, is_complete=True)
    results.cases["M1"] = OnlineCaseResult(
        CASES["M1"],
        {
            FEAST: _loaded([20, 20, 20], n_rows=200_000),
            FEAST_BATCHED: _loaded([80, 90, 80]),
            PACKED: _loaded([3, 3, 5], over_mb=600, redis_bytes=150),
        },
    )
    results.cases["M10"] = OnlineCaseResult(
        CASES["M10"], {PACKED: _loaded([40], n_rows=10_000_000, over_mb=700)}
    )
    results.cases["OG"] = OnlineCaseResult(
        CASES["OG"], {FEAST_BATCHED: _looked_up(500), PACKED: _looked_up(250)}
    )
    return results


def test_demands_are_judged_against_the_faster_stock_variant_round_by_round() -> None:
    demands = [
        line
        for line in render_online_report(_results()).splitlines()
        if "at most" in line or "at least" in line or "under" in line
    ]
    stock = f"the rows/s of {FEAST_BATCHED}, the faster stock variant"
    assert f"| M1 | load | {PACKED} | at least 20 x {stock} | 26.7 (16 to 30) |" in demands[0]
    assert demands[0].endswith("| yes, not in every round |")
    assert demands[1].endswith("| 600 | **no** |")
    assert demands[2].endswith("| at most 0.65 of stock's bytes per entity | 0.50 | yes |")
    assert (
        f"| M10 | load | {PACKED} | at most 1.2 of the peak memory of M1 | 1.12 | yes |" in demands
    )
    assert demands[-2].endswith("| 1x10 at least 1.3 x as fast as stock | 2 | yes |")
    assert demands[-1].endswith("| 100x10 at least 3 x as fast as stock | 2 | **no** |")


def test_rows_of_a_smaller_load_are_compared_by_rate() -> None:
    lines = render_online_report(_results()).splitlines()
    row = next(line for line in lines if line.startswith(f"| {PACKED} | 1,000,000 | 333,333"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[-3] == "33.3 (20 to 33.3)"
    assert cells[-2] == "26.7 (16 to 30)"


def test_results_survive_json() -> None:
    results = _results()
    results.cases["OG"].contenders[PACKED].status = "wrong"
    document = json.loads(json.dumps(results.to_document()))
    again = OnlineResults.from_document(document)
    assert again == results
    assert again.failures == [f"OG/{PACKED}: wrong: None"]
