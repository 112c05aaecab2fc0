"""Runs the online contenders side by side, in rounds A B C, A B C, ...

In each round a contender gets a Redis of its own, and a process for every step. The answers are
judged in each of these processes, by the source: who is wrong is reported and not timed again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cells import first_line
from benchmarks.guard import Limits
from benchmarks.online.cases import OnlineCase, Step
from benchmarks.online.contenders import OnlineContender
from benchmarks.online.data import OnlineDataset, build_online_dataset
from benchmarks.online.measure import LookupSample, StepOutcome
from benchmarks.online.results import OnlineCaseResult, OnlineContenderResult, OnlineResults
from benchmarks.online.server import measured_server
from benchmarks.steps import run_step
from evenstore.errors import EvenstoreError
from evenstore.progress import open_progress

__all__ = ["OnlinePlan", "OnlineRunner"]

_REDIS_BYTES_PER_ROW = 500
_SPARE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class OnlinePlan:
    """What is run.

    Attributes:
        cases: At full size.
        contenders: In the order of a round; each runs in the cases that name it, and one that is
            not of this benchmark in all.
        cache: Where data sets are.
        scale: What the cases' counts are multiplied with.
        seed: Of the data.
        repeats: Rounds.
        limits: Of each process; that of memory holds for each Redis too.
    """

    cases: Sequence[OnlineCase]
    contenders: Sequence[OnlineContender]
    cache: Path
    scale: float
    seed: int
    repeats: int
    limits: Limits


class OnlineRunner:
    """Runs a plan and fills in results as they come, so that an interrupted run keeps them.

    Args:
        plan: What to run.
        results: Where to put it.
        say: Prints one line of progress.
    """

    def __init__(
        self, plan: OnlinePlan, results: OnlineResults, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._results = results
        self._say = say

    def run(self) -> None:
        """Run all cases."""
        for case in self._plan.cases:
            self._run_case(case)
        self._results.is_complete = True

    def _run_case(self, case: OnlineCase) -> None:
        plan = self._plan
        self._say(f"{case.name}: {case.summary}" + (f", x {plan.scale:g}" * (plan.scale != 1)))
        result = OnlineCaseResult(case.resized(scale=plan.scale))
        self._results.cases[case.name] = result
        datasets: list[tuple[OnlineContender, OnlineDataset]] = []
        for contender in _taking_part(plan.contenders, case):
            sized = case.resized(scale=plan.scale, max_entities=contender.max_entities)
            of = OnlineContenderResult(sized.n_entities)
            result.contenders[contender.name] = of
            missing = _missing_memory(sized, contender)
            if missing is None:
                datasets.append((contender, self._build(sized)))
            else:
                of.add(None, StepOutcome("unavailable", missing))
                self._say(f"  {contender.name:<16} unavailable: {missing}")
        for number in range(plan.repeats):
            for contender, dataset in datasets:
                if result.contenders[contender.name].status == "ok":
                    self._round(dataset, contender, result.contenders[contender.name], number)

    def _build(self, case: OnlineCase) -> OnlineDataset:
        with open_progress(f"{case.name}: data", total=case.n_views * case.n_rows) as progress:
            return build_online_dataset(
                self._plan.cache, case, seed=self._plan.seed, advance=progress.advance
            )

    def _round(
        self,
        dataset: OnlineDataset,
        contender: OnlineContender,
        result: OnlineContenderResult,
        number: int,
    ) -> None:
        """Run all steps of a contender on a Redis that is empty at first."""
        work = dataset.work_folder(contender.name)
        steps: list[Step | None] = [*dataset.case.steps]
        if dataset.case.has_lookups:
            steps.append(None)
        try:
            shutil.rmtree(work, ignore_errors=True)
            with measured_server(work, max_bytes=self._plan.limits.memory_bytes) as server:
                for step in steps:
                    outcome = self._call(dataset, contender, step, server.port)
                    # Kept before it is said: an interrupt may come with the line.
                    result.add(step, outcome)
                    label = f"{number + 1} of {self._plan.repeats}  {step or 'lookups':<11}"
                    self._say(f"  {contender.name:<16} {label} {_describe(outcome)}")
                    if outcome.status != "ok":
                        return
        except EvenstoreError as exc:
            result.add(None, StepOutcome("error", exc.message))
            self._say(f"  {contender.name:<16} error: {exc.message}")
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _call(
        self, dataset: OnlineDataset, contender: OnlineContender, step: Step | None, port: int
    ) -> StepOutcome:
        words = ["online-step", "--port", str(port), "--folder", str(dataset.folder)]
        words += ["--contender", contender.name, "--step", step or "lookups"]
        words += ["--started-ns", str(time.monotonic_ns())]
        return run_step(words, StepOutcome, self._plan.limits)


def _taking_part(
    contenders: Sequence[OnlineContender], case: OnlineCase
) -> Sequence[OnlineContender]:
    return [one for one in contenders if "." in one.name or one.name in case.contenders]


def _missing_memory(case: OnlineCase, contender: OnlineContender) -> str | None:
    """Say why the machine has not enough memory now, None where it has or does not tell."""
    needed = case.n_rows * contender.row_bytes + _SPARE_BYTES
    needed += case.n_views * case.n_entities * _REDIS_BYTES_PER_ROW
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    if needed <= free:
        return None
    return f"needs about {needed / 1e9:.0f} GB of memory, {free / 1e9:.0f} are available"


def _describe(outcome: StepOutcome) -> str:
    if outcome.load is not None:
        load = outcome.load
        over = load.peak_rss_bytes - load.imports_rss_bytes
        return (
            f"{load.n_rows / load.call_s:9,.0f} rows/s, {load.call_s:7.2f} s,"
            f" cpu {load.call_cpu_s:6.2f} s, process {load.process_s:6.1f} s,"
            f" Redis {load.redis_cpu_s:5.2f} s,"
            f" peak {load.peak_rss_bytes / 1e6:5.0f} MB (+{over / 1e6:.0f})"
        )
    if outcome.lookups is not None:
        return ", ".join(_describe_lookup(*item) for item in outcome.lookups.items())
    return f"{outcome.status}: {first_line(outcome.reason)}"


def _describe_lookup(shape: str, sample: LookupSample) -> str:
    return f"{shape} p50 {sample.p50_us:,.0f} us, p99 {sample.p99_us:,.0f} us"
