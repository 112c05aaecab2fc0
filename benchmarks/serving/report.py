"""Serving results as Markdown: what is demanded, then tables of both loops and of starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import ge, le

from benchmarks.cells import DASH, failure_cell, ratio_text, spread_cell, two_digits, verdict_cell
from benchmarks.results import Spread
from benchmarks.serving.cases import EVENSTORE, STOCK, TARGETS
from benchmarks.serving.open_loop import OpenLoop
from benchmarks.serving.results import (
    ClosedSample,
    ServingCaseResult,
    ServingContenderResult,
    ServingResults,
    StartSample,
)

__all__ = ["render_serving_report"]

_CLOSED_COLUMNS = (
    "case",
    "layout",
    "server",
    "requests/s",
    f"x {STOCK}",
    "p50, ms",
    "p99, ms",
    "max, ms",
    "errors",
    "cpu, us per vector",
    f"x {STOCK} in cpu",
    "Redis cpu, us per vector",
    "worker, MB",
)
_OPEN_COLUMNS = (
    "case",
    "layout",
    "server",
    "requests/s",
    "p50, ms",
    "p99, ms",
    "p99.9, ms",
    "max, ms",
    "errors",
    "generator late, p99, ms",
)
_BUSY_COLUMNS = (
    "case",
    "server",
    "requests/s",
    "p99 idle, ms",
    "p99 busy, ms",
    "x idle",
    "errors",
    "materialized, rows/s",
    "pushed, rows/s",
)
_START_COLUMNS = ("server", "start", "ready, s", "worker, MB", "all processes, MB")
_WHOLE_FROM_MS = 100
_MAX_READY_S = 3.0
_MAX_WORKER_MB = 150.0
_MAX_BUSY_RATIO = 2.0
_MAX_OPEN_MS = {"p50": 0.6, "p99": 1.5, "p99.9": 5.0}


def render_serving_report(results: ServingResults) -> str:
    """Render results as Markdown.

    Figures are medians with the range in brackets; ratios are medians of the ratios of each round.
    """
    lines = ["# Lookups over HTTP: stock `feast serve` beside evenstore", "", *_head(results)]
    demands = list(_demands(results))
    if demands:
        lines += ["", "## What is demanded", ""]
        lines += [*_table_head(("case", "layout", "demand", "measured", "met")), *demands]
    lines += ["", "## Closed loop", "", *_table_head(_CLOSED_COLUMNS), *_closed_rows(results)]
    opened = list(_open_rows(results))
    if opened:
        lines += ["", "## Open loop", "", *_table_head(_OPEN_COLUMNS), *opened]
    busy = list(_busy_rows(results))
    if busy:
        lines += ["", "## Beside writes", "", *_table_head(_BUSY_COLUMNS), *busy]
    if results.starts:
        lines += ["", "## Start", "", *_table_head(_START_COLUMNS), *_start_rows(results)]
    return "\n".join(lines)


def _head(results: ServingResults) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in results.machine.items()) + "."
    yield ""
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    entities = {case.n_entities for case in results.cases.values()}
    counts = " or ".join(f"{count:,}" for count in sorted(entities))
    compared = min((case.n_compared for case in results.cases.values()), default=0)
    yield (
        f"Seed {results.seed}, {counts} entities, {results.repeats} rounds in turns, one worker"
        f" each; {settings}. {compared} answers of each case compared before. Median (least to"
        " greatest)."
    )
    if not results.is_complete:
        yield ""
        yield "**The run was interrupted.**"


def _closed_rows(results: ServingResults) -> Iterator[str]:
    for case in results.cases.values():
        for name, result in case.contenders.items():
            cells = [case.case.name, case.layout if name == EVENSTORE else "feast", name]
            if not result.closed:
                yield _row([*cells, failure_cell(result)], len(_CLOSED_COLUMNS))
                continue
            n_vectors = case.case.n_entity_rows
            cells += [
                spread_cell(result.spread(_requests_per_s), _whole),
                spread_cell(case.ratio(name, STOCK, _requests_per_s), ratio_text),
                spread_cell(result.spread(lambda sample: sample.loop.p50_us), _milliseconds),
                spread_cell(result.spread(lambda sample: sample.loop.p99_us), _milliseconds),
                spread_cell(result.spread(lambda sample: sample.loop.max_us), _milliseconds),
                _whole(sum(_errors(sample) for sample in result.closed)),
                spread_cell(result.spread(_per_vector(_cpu_us, n_vectors)), ratio_text),
                spread_cell(case.ratio(STOCK, name, _cpu_us), ratio_text),
                spread_cell(result.spread(_per_vector(_redis_cpu_us, n_vectors)), ratio_text),
                spread_cell(result.spread(lambda sample: sample.worker_rss_bytes / 1e6), _whole),
            ]
            yield _row(cells, len(_CLOSED_COLUMNS))


def _open_rows(results: ServingResults) -> Iterator[str]:
    for case in results.cases.values():
        for name, result in case.contenders.items():
            for rate_per_s, loops in _by_rate(result).items():
                cells = [case.case.name, case.layout if name == EVENSTORE else "feast", name]
                cells.append(f"{rate_per_s:g}")
                cells += [
                    spread_cell(_open_spread(loops, quantity), _milliseconds)
                    for quantity in (*_OPEN_QUANTITIES.values(), _max_us)
                ]
                cells.append(_whole(sum(loop.n_errors for loop in loops)))
                late = _open_spread(loops, lambda loop: loop.late_p99_us)
                yield _row([*cells, spread_cell(late, _milliseconds)], len(_OPEN_COLUMNS))


def _busy_rows(results: ServingResults) -> Iterator[str]:
    for name, case in results.cases.items():
        for contender, result in case.contenders.items():
            for sample in result.busy:
                cells = [
                    name,
                    contender,
                    f"{sample.busy.rate_per_s:g}",
                    _milliseconds(sample.idle.p99_us),
                    _milliseconds(sample.busy.p99_us),
                    ratio_text(sample.busy.p99_us / sample.idle.p99_us),
                    _whole(sample.busy.n_errors),
                    _whole(sample.written.materialized_per_s),
                    _whole(sample.written.pushed_per_s),
                ]
                yield _row(cells, len(_BUSY_COLUMNS))


def _start_rows(results: ServingResults) -> Iterator[str]:
    for name, starts in results.starts.items():
        for label, is_first in (("first", True), ("again", False)):
            some = [start for start in starts if start.is_first is is_first]
            if some:
                cells = [
                    name,
                    label,
                    spread_cell(_start_spread(some, lambda start: start.ready_s), two_digits),
                    spread_cell(_start_spread(some, _worker_mb), _whole),
                    spread_cell(
                        _start_spread(some, lambda start: start.total_rss_bytes / 1e6), _whole
                    ),
                ]
                yield _row(cells, len(_START_COLUMNS))


def _demands(results: ServingResults) -> Iterator[str]:
    for case in results.cases.values():
        target = TARGETS.get((case.case.name, case.layout))
        result = case.contenders.get(EVENSTORE)
        if result is None:
            continue
        if target is not None and STOCK in case.contenders:
            least = target.min_speedup
            measured = case.ratio(EVENSTORE, STOCK, _requests_per_s)
            verdict = verdict_cell(measured, partial(le, least))
            yield _demand(
                case,
                f"at least {least:g} x stock's requests/s",
                spread_cell(measured, ratio_text),
                verdict,
            )
        yield from _open_demands(case, result)
        yield from _busy_demand(case, result)
    starts = results.starts.get(EVENSTORE, [])
    if starts:
        ready = _start_spread(starts, lambda start: start.ready_s)
        memory = _start_spread(starts, _worker_mb)
        cells = [
            "start",
            DASH,
            f"ready in under {_MAX_READY_S:g} s",
            spread_cell(ready, two_digits),
        ]
        yield _row([*cells, verdict_cell(ready, lambda value: value < _MAX_READY_S)], 5)
        cells = [
            "start",
            DASH,
            f"under {_MAX_WORKER_MB:g} MB per worker",
            spread_cell(memory, _whole),
        ]
        yield _row([*cells, verdict_cell(memory, lambda value: value < _MAX_WORKER_MB)], 5)


def _open_demands(case: ServingCaseResult, result: ServingContenderResult) -> Iterator[str]:
    for rate_per_s, loops in _by_rate(result).items():
        if rate_per_s != 200:  # noqa: PLR2004 - the demand names it
            continue
        for name, most in _MAX_OPEN_MS.items():
            spread = _open_spread(loops, _OPEN_QUANTITIES[name])
            verdict = verdict_cell(spread, partial(ge, most * 1e3))
            demand = f"{name} at most {most:g} ms at {rate_per_s:g}/s"
            yield _demand(case, demand, spread_cell(spread, _milliseconds), verdict)


def _busy_demand(case: ServingCaseResult, result: ServingContenderResult) -> Iterator[str]:
    if result.busy:
        ratio = Spread.of([one.busy.p99_us / one.idle.p99_us for one in result.busy])
        verdict = verdict_cell(ratio, lambda value: value <= _MAX_BUSY_RATIO)
        demand = f"p99 beside writes at most {_MAX_BUSY_RATIO:g} x idle"
        yield _demand(case, demand, spread_cell(ratio, ratio_text), verdict)


def _demand(case: ServingCaseResult, demand: str, measured: str, verdict: str) -> str:
    return _row([case.case.name, case.layout, demand, measured, verdict], 5)


_OPEN_QUANTITIES: dict[str, Callable[[OpenLoop], float]] = {
    "p50": lambda loop: loop.p50_us,
    "p99": lambda loop: loop.p99_us,
    "p99.9": lambda loop: loop.p999_us,
}


def _max_us(loop: OpenLoop) -> float:
    return loop.max_us


def _by_rate(result: ServingContenderResult) -> dict[float, list[OpenLoop]]:
    rates: dict[float, list[OpenLoop]] = {}
    for loop in result.opened:
        rates.setdefault(loop.rate_per_s, []).append(loop)
    return rates


def _open_spread(loops: Sequence[OpenLoop], quantity: Callable[[OpenLoop], float]) -> Spread:
    return Spread.of([quantity(loop) for loop in loops])


def _start_spread(
    starts: Sequence[StartSample], quantity: Callable[[StartSample], float]
) -> Spread:
    return Spread.of([quantity(start) for start in starts])


def _requests_per_s(sample: ClosedSample) -> float:
    return sample.requests_per_s


def _errors(sample: ClosedSample) -> int:
    return sample.loop.n_refused + sample.loop.n_broken


def _cpu_us(sample: ClosedSample) -> float:
    return sample.cpu_us_per_request()


def _redis_cpu_us(sample: ClosedSample) -> float:
    return sample.redis_cpu_us / max(1, sample.loop.n_requests)


def _per_vector(
    quantity: Callable[[ClosedSample], float], n_vectors: int
) -> Callable[[ClosedSample], float]:
    return lambda sample: quantity(sample) / n_vectors


def _worker_mb(start: StartSample) -> float:
    return start.worker_rss_bytes / 1e6


def _table_head(columns: Sequence[str]) -> tuple[str, str]:
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


def _row(cells: Sequence[str], n_columns: int) -> str:
    return f"| {' | '.join(cells)} {'| ' * (n_columns - len(cells))}|"


def _milliseconds(us: float) -> str:
    milliseconds = us / 1e3
    return f"{milliseconds:.2f}" if milliseconds < _WHOLE_FROM_MS else f"{milliseconds:.0f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"
