"""The parity benchmark's results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.cells import DASH, failure_cell, spread_cell
from benchmarks.parity.measure import ParitySample
from benchmarks.parity.results import ParityCaseResult, ParityResults

__all__ = ["render_parity_report"]

_COLUMNS = ("case", "compared", "s", "per s", "cpu s", "peak MB", "process s", "parts", "demand")


def render_parity_report(results: ParityResults) -> str:
    """Render a table, one line per case; medians of the rounds with least and greatest."""
    lines = ["# Parity", ""]
    lines.append(", ".join(f"{name} {value}" for name, value in results.machine.items()) + ".")
    lines += ["", f"Seed {results.seed}, {results.repeats} rounds. Median (least to greatest)."]
    if not results.is_complete:
        lines += ["", "**The run was interrupted.**"]
    lines += ["", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    lines += [f"| {' | '.join(_cells(result))} |" for result in results.cases.values()]
    return "\n".join(lines)


def _cells(result: ParityCaseResult) -> Iterator[str]:
    yield result.case.name
    if not result.samples:
        yield failure_cell(result)
        yield from [DASH] * (len(_COLUMNS) - 2)
        return
    last = result.samples[-1]
    yield f"{last.n_rows:,} rows, {last.n_cells:,} values"
    yield _spread(result, lambda sample: sample.call_s, "{:.2f}")
    yield _spread(result, lambda sample: sample.n_rows / sample.call_s, "{:,.0f}")
    yield _spread(result, lambda sample: sample.cpu_s, "{:.2f}")
    yield _spread(result, lambda sample: sample.peak_rss_bytes / 1e6, "{:,.0f}")
    yield _spread(result, lambda sample: sample.process_s, "{:.1f}")
    yield _parts(result)
    yield result.case.demand


def _parts(result: ParityCaseResult) -> str:
    names = list(result.samples[-1].parts_s)
    shown = [f"{name} {_spread(result, _part(name), '{:.2f}')} s" for name in names]
    if "gateway" in names:
        share = _spread(result, _lookup_share, "{:.0%}")
        shown.append(f"lookups at {share} of the gateway's throughput")
    return ", ".join(shown) or DASH


def _part(name: str) -> Callable[[ParitySample], float]:
    return lambda sample: sample.parts_s[name]


def _lookup_share(sample: ParitySample) -> float:
    return sample.parts_s["gateway"] / sample.parts_s["lookups"]


def _spread(result: ParityCaseResult, quantity: Callable[[ParitySample], float], form: str) -> str:
    return spread_cell(result.spread(quantity), form.format)
