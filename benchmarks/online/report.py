"""Online results as Markdown: what is demanded, then a table per case and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from operator import le

from benchmarks.cells import (
    DASH,
    failure_cell,
    ratio_text,
    seconds_text,
    spread_cell,
    two_digits,
    verdict_cell,
)
from benchmarks.online.cases import (
    FEAST,
    FEAST_BATCHED,
    TARGETS,
    OnlineTarget,
    Step,
)
from benchmarks.online.measure import LoadSample, LookupSample
from benchmarks.online.results import (
    OnlineCaseResult,
    OnlineContenderResult,
    OnlineResults,
    rows_per_s,
)
from benchmarks.results import Spread

__all__ = ["render_online_report"]

_LOAD_COLUMNS = (
    "contender",
    "entities",
    "rows/s",
    "call, s",
    "call cpu, s",
    "process, s",
    "process cpu, s",
    "Redis cpu, s",
    "peak, MB",
    "peak over imports, MB",
    "bytes per entity",
    f"x {FEAST}",
    f"x {FEAST_BATCHED}",
    f"x {FEAST_BATCHED} in call cpu",
)
_LOOKUP_COLUMNS = (
    "contender",
    "lookup",
    "p50, us",
    "p99, us",
    "p50 with to_dict, us",
    "cpu, us",
    f"x {FEAST_BATCHED}",
    f"x {FEAST_BATCHED} with to_dict",
)
_Judged = tuple[str, Spread | None, Callable[[float], str], Callable[[float], bool]]


def render_online_report(results: OnlineResults) -> str:
    """Render results as Markdown.

    Figures are medians with the range in brackets; ratios are medians of the ratios of each round.
    """
    lines = ["# Materialization and lookups: stock Feast beside evenstore", "", *_head(results)]
    demands = list(_demands(results))
    if demands:
        lines += ["", "## What is demanded", ""]
        lines += ["| case | step | contender | demand | measured | met |", "|---" * 6 + "|"]
        lines += demands
    for name, case in results.cases.items():
        lines += ["", f"## {name}: {case.case.summary}"]
        for step in case.case.steps:
            lines += ["", f"### {name} {step}", "", *_load_table(case, step)]
        if case.case.has_lookups:
            lines += ["", f"### {name} lookups", "", *_lookup_table(case)]
    return "\n".join(lines)


def _head(results: OnlineResults) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in results.machine.items()) + "."
    yield ""
    scale = "" if results.scale == 1 else f"; entities times {results.scale:g}"
    yield (
        f"Seed {results.seed}, {results.repeats} rounds in turns, a Redis per contender and round,"
        f" a process per step{scale}. Median (least to greatest)."
    )
    if not results.is_complete:
        yield ""
        yield "**The run was interrupted.**"


def _load_table(case: OnlineCaseResult, step: Step) -> Iterator[str]:
    yield f"| {' | '.join(_LOAD_COLUMNS)} |"
    yield "|---" * len(_LOAD_COLUMNS) + "|"
    for name, result in case.contenders.items():
        if not result.loads.get(step):
            yield f"| {name} | {failure_cell(result)} {'| ' * (len(_LOAD_COLUMNS) - 1)}"
            continue

        def cell(
            quantity: Callable[[LoadSample], float],
            render: Callable[[float], str],
            name: str = name,
        ) -> str:
            return spread_cell(case.load_spread(name, step, quantity), render)

        cells = [
            f"{result.n_entities:,}",
            cell(rows_per_s, _whole),
            cell(lambda sample: sample.call_s, seconds_text),
            cell(lambda sample: sample.call_cpu_s, seconds_text),
            cell(lambda sample: sample.process_s, seconds_text),
            cell(lambda sample: sample.process_cpu_s, seconds_text),
            cell(lambda sample: sample.redis_cpu_s, seconds_text),
            cell(_peak_mb, _whole),
            cell(_over_imports_mb, _whole),
            cell(_bytes_per_entity, _whole) if step == "load" else DASH,
            spread_cell(case.load_ratio(name, FEAST, step, rows_per_s), ratio_text),
            spread_cell(case.load_ratio(name, FEAST_BATCHED, step, rows_per_s), ratio_text),
            spread_cell(case.load_ratio(name, FEAST_BATCHED, step, _rows_per_cpu_s), ratio_text),
        ]
        yield f"| {name}{_note(result)} | {' | '.join(cells)} |"


def _lookup_table(case: OnlineCaseResult) -> Iterator[str]:
    yield f"| {' | '.join(_LOOKUP_COLUMNS)} |"
    yield "|---" * len(_LOOKUP_COLUMNS) + "|"
    for name, result in case.contenders.items():
        if not result.lookups:
            yield f"| {name} | {failure_cell(result)} {'| ' * (len(_LOOKUP_COLUMNS) - 1)}"
        for shape, samples in result.lookups.items():
            cells = [
                spread_cell(Spread.of([sample.p50_us for sample in samples]), _whole),
                spread_cell(Spread.of([sample.p99_us for sample in samples]), _whole),
                spread_cell(Spread.of([sample.dict_p50_us for sample in samples]), _whole),
                spread_cell(Spread.of([sample.process_cpu_us for sample in samples]), _whole),
                spread_cell(case.lookup_ratio(FEAST_BATCHED, name, shape, _p50_us), ratio_text),
                spread_cell(
                    case.lookup_ratio(FEAST_BATCHED, name, shape, _dict_p50_us), ratio_text
                ),
            ]
            yield f"| {name}{_note(result)} | {shape} | {' | '.join(cells)} |"


def _demands(results: OnlineResults) -> Iterator[str]:
    for (name, step, contender), target in TARGETS.items():
        case = results.cases.get(name)
        if case is None or contender not in case.contenders:
            continue
        judged = chain(
            _judge_load(case, step, contender, target),
            _judge_peak(results, name, step, contender, target),
            _judge_lookups(case, contender, target),
        )
        for demand, measured, render, is_met in judged:
            verdict = verdict_cell(measured, is_met)
            cells = (name, step, contender, demand, spread_cell(measured, render), verdict)
            yield f"| {' | '.join(cells)} |"


def _judge_load(
    case: OnlineCaseResult, step: Step, contender: str, target: OnlineTarget
) -> Iterator[_Judged]:
    if (least := target.min_speedup) is not None:
        stock = case.faster_stock(step)
        yield (
            f"at least {least:g} x the rows/s of {stock or 'stock'}, the faster stock variant",
            case.load_ratio(contender, stock, step, rows_per_s),
            ratio_text,
            lambda value: value >= least,
        )
    if (most_mb := target.max_over_imports_mb) is not None:
        measured = case.load_spread(contender, step, _over_imports_mb)
        demand = f"peak memory under {most_mb:g} MB over the imports"
        yield demand, measured, _whole, lambda value: value < most_mb
    if (most := target.max_bytes_ratio) is not None:
        measured = case.load_ratio(contender, FEAST_BATCHED, step, _bytes_per_entity)
        demand = f"at most {most:g} of stock's bytes per entity"
        yield demand, measured, two_digits, lambda value: value <= most


def _judge_peak(
    results: OnlineResults, name: str, step: Step, contender: str, target: OnlineTarget
) -> Iterator[_Judged]:
    if target.max_peak_of is None or target.max_peak_of[0] not in results.cases:
        return
    other, most = target.max_peak_of
    base = results.cases[other].load_spread(contender, step, _peak_mb)
    peak = results.cases[name].load_spread(contender, step, _peak_mb)
    if base is not None and peak is not None:
        # Not round by round: the cases do not run next to each other.
        ratio = Spread(peak.median / base.median, peak.low / base.high, peak.high / base.low)
        demand = f"at most {most:g} of the peak memory of {other}"
        yield demand, ratio, two_digits, lambda value: value <= most


def _judge_lookups(
    case: OnlineCaseResult, contender: str, target: OnlineTarget
) -> Iterator[_Judged]:
    for shape, least in target.min_lookup_speedups:
        measured = case.lookup_ratio(FEAST_BATCHED, contender, shape, _p50_us)
        demand = f"{shape} at least {least:g} x as fast as stock"
        yield demand, measured, ratio_text, partial(le, least)


def _note(result: OnlineContenderResult) -> str:
    return "" if result.status == "ok" else f" ({failure_cell(result)})"


def _peak_mb(sample: LoadSample) -> float:
    return sample.peak_rss_bytes / 1e6


def _over_imports_mb(sample: LoadSample) -> float:
    return (sample.peak_rss_bytes - sample.imports_rss_bytes) / 1e6


def _rows_per_cpu_s(sample: LoadSample) -> float:
    return sample.n_rows / sample.call_cpu_s


def _bytes_per_entity(sample: LoadSample) -> float:
    return sample.redis_bytes / sample.n_entities


def _p50_us(sample: LookupSample) -> float:
    return sample.p50_us


def _dict_p50_us(sample: LookupSample) -> float:
    return sample.dict_p50_us


def _whole(value: float) -> str:
    return f"{value:,.0f}"
