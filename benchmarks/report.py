"""Results as Markdown: a table of what is demanded, and one table per case."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.cases import INDEX_TARGETS, TARGETS, Target
from benchmarks.cells import (
    DASH,
    failure_cell,
    ratio_text,
    seconds_text,
    spread_cell,
    two_digits,
    verdict_cell,
)
from benchmarks.contenders.contender import (
    BARE_QUERY,
    CONTENDERS,
    EVENSTORE,
    EVENSTORE_INDEX,
    MAPPED,
    STOCK,
)
from benchmarks.measure import Sample
from benchmarks.results import CaseResult, Results, Spread

__all__ = ["best_hand_written", "render_report"]

_COLUMNS = (
    "contender",
    "join, s",
    "cpu, s",
    "first call, s",
    "process, s",
    "peak, GB",
    "x as fast as stock",
    "memory / stock",
    "time / best hand-written",
)


def render_report(results: Results) -> str:
    """Render results as Markdown.

    Times and memory are medians with the range in brackets; ratios are medians of the ratios of
    each round, with their range.
    """
    lines = ["# Point-in-time joins: stock Feast, evenstore, hand-written", "", *_machine(results)]
    demands = list(_demands(results))
    if demands:
        lines += [
            "",
            "## What is demanded",
            "",
            "| case | contender | demand | measured | met |",
            "|---|---|---|---|---|",
            *demands,
        ]
    for name, case in results.cases.items():
        lines += ["", f"## {name}: {case.case.summary}", "", *_case_table(case)]
    return "\n".join(lines)


def best_hand_written(case: CaseResult) -> str | None:
    """Name the hand-written formulation with the lowest median time on the same files."""
    medians = {
        name: spread.median
        for name, result in case.contenders.items()
        if name in CONTENDERS
        and CONTENDERS[name].is_hand_written
        and (spread := result.spread(_join_s)) is not None
    }
    return min(medians, key=lambda name: medians[name], default=None)


def _machine(results: Results) -> Iterator[str]:
    facts = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    yield f"{facts}."
    yield ""
    scale = "" if results.scale == 1 else f"; counts times {results.scale:g}"
    yield (
        f"Seed {results.seed}, {results.repeats} rounds in turns, a process per measurement{scale}."
        " Median (least to greatest)."
    )
    if not results.is_complete:
        yield ""
        yield "**The run was interrupted.**"


def _case_table(case: CaseResult) -> Iterator[str]:
    best = best_hand_written(case)
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for name, result in case.contenders.items():
        label = f"{name} (best)" if name == best else name
        if not result.samples:
            yield f"| {label} | {failure_cell(result)} {'| ' * (len(_COLUMNS) - 1)}"
            continue
        cells = [
            spread_cell(result.spread(_join_s), seconds_text),
            spread_cell(result.spread(_cpu_s), seconds_text),
            spread_cell(result.spread(_first_call_s), seconds_text),
            spread_cell(result.spread(_process_s), seconds_text),
            spread_cell(result.spread(_peak_gb), two_digits),
            spread_cell(case.ratio(STOCK, name, _join_s), ratio_text),
            spread_cell(case.ratio(name, STOCK, _peak_gb), two_digits),
            DASH if best is None else spread_cell(case.ratio(name, best, _join_s), ratio_text),
        ]
        note = "" if result.status == "ok" else f" ({failure_cell(result)})"
        yield f"| {label}{note} | {' | '.join(cells)} |"


def _demands(results: Results) -> Iterator[str]:
    for name, case in results.cases.items():
        for contender, targets, reference in (
            (EVENSTORE, TARGETS, best_hand_written(case)),
            (EVENSTORE_INDEX, INDEX_TARGETS, MAPPED),
        ):
            result = case.contenders.get(contender)
            if name in targets and result is not None and result.samples:
                for cells in _judge(case, contender, targets[name], reference):
                    yield f"| {name} | {contender} | {' | '.join(cells)} |"


def _judge(
    case: CaseResult, contender: str, target: Target, reference: str | None
) -> Iterator[tuple[str, str, str]]:
    """Yield demand, measurement and verdict of what can be judged."""
    samples = case.contenders[contender]
    if target.min_speedup is not None:
        measured = case.ratio(STOCK, contender, _join_s)
        demand = f"at least {target.min_speedup:g} x as fast as stock"
        yield demand, spread_cell(measured, ratio_text), _at_least(measured, target.min_speedup)
    if target.max_memory_ratio is not None:
        measured = case.ratio(contender, STOCK, _peak_gb)
        demand = f"peak memory at most {target.max_memory_ratio:.2f} of stock's"
        yield demand, spread_cell(measured, two_digits), _at_most(measured, target.max_memory_ratio)
    if target.max_reference_ratio is not None and reference is not None:
        measured = case.ratio(contender, reference, _join_s)
        demand = f"at most {target.max_reference_ratio:g} x the time of {reference}"
        yield (
            demand,
            spread_cell(measured, ratio_text),
            _at_most(measured, target.max_reference_ratio),
        )
    if target.max_overhead_ms is not None:
        measured = _overhead_ms(case, contender, BARE_QUERY)
        demand = f"at most {target.max_overhead_ms:g} ms over the bare query, {BARE_QUERY}"
        yield demand, spread_cell(measured, _whole), _at_most(measured, target.max_overhead_ms)
    if target.max_peak_gb is not None:
        measured = samples.spread(_peak_gb)
        demand = f"peak memory under {target.max_peak_gb:g} GB"
        yield demand, spread_cell(measured, two_digits), _at_most(measured, target.max_peak_gb)


def _overhead_ms(case: CaseResult, contender: str, reference: str) -> Spread | None:
    if reference not in case.contenders:
        return None
    pairs = zip(
        case.contenders[contender].samples, case.contenders[reference].samples, strict=False
    )
    overheads = [(one.join_s - other.join_s) * 1000 for one, other in pairs]
    return Spread.of(overheads) if overheads else None


def _at_least(measured: Spread | None, demand: float) -> str:
    return verdict_cell(measured, lambda value: value >= demand)


def _at_most(measured: Spread | None, demand: float) -> str:
    return verdict_cell(measured, lambda value: value <= demand)


def _join_s(sample: Sample) -> float:
    return sample.join_s


def _cpu_s(sample: Sample) -> float:
    return sample.join_cpu_s


def _first_call_s(sample: Sample) -> float:
    return sample.first_call_s


def _process_s(sample: Sample) -> float:
    return sample.process_s


def _peak_gb(sample: Sample) -> float:
    return sample.peak_rss_bytes / 1e9


def _whole(value: float) -> str:
    return f"{value:.0f}"
