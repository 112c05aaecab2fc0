"""Runs the cases: data, a Redis of its own, a load, then the comparison in a process of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cells import first_line
from benchmarks.guard import Limits
from benchmarks.online.data import OnlineDataset, build_online_dataset
from benchmarks.online.server import measured_server
from benchmarks.parity.cases import ParityCase
from benchmarks.parity.measure import ParityStepOutcome
from benchmarks.parity.results import ParityCaseResult, ParityResults
from benchmarks.serving.cases import EVENSTORE
from benchmarks.serving.servers import running_server
from benchmarks.steps import run_step
from evenstore.errors import EvenstoreError
from evenstore.progress import open_progress

__all__ = ["ParityPlan", "ParityRunner"]

_KEY = "EVENSTORE_API_KEY"


@dataclass(frozen=True, slots=True)
class ParityPlan:
    """What to run.

    Attributes:
        cases: The cases.
        cache: Folder of the data sets.
        scale: Multiplies every count.
        seed: Of the data.
        repeats: Rounds.
        limits: Of each process.
    """

    cases: tuple[ParityCase, ...]
    cache: Path
    scale: float
    seed: int
    repeats: int
    limits: Limits


class ParityRunner:
    """Runs a plan and fills in results as they come.

    Args:
        plan: What to run.
        results: Where to put it.
        say: Prints one line of progress.
    """

    def __init__(
        self, plan: ParityPlan, results: ParityResults, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._results = results
        self._say = say

    def run(self) -> None:
        """Run all cases."""
        for case in self._plan.cases:
            self._run_case(case)
        self._results.is_complete = True

    def _run_case(self, case: ParityCase) -> None:
        plan = self._plan
        rows = case.rows(scale=plan.scale)
        self._say(f"{case.name}: {case.summary}" + (f", x {plan.scale:g}" * (plan.scale != 1)))
        result = ParityCaseResult(case, rows.n_entities)
        self._results.cases[case.name] = result
        with open_progress(f"{case.name}: data", total=rows.n_views * rows.n_rows) as progress:
            dataset = build_online_dataset(
                plan.cache, rows, seed=plan.seed, advance=progress.advance
            )
        for number in range(plan.repeats):
            if result.status != "ok":
                return
            outcome = self._round(case, dataset)
            result.add(outcome)
            self._say(f"  {number + 1} of {plan.repeats}  {_describe(outcome)}")

    def _round(self, case: ParityCase, dataset: OnlineDataset) -> ParityStepOutcome:
        work = dataset.work_folder(f"parity-{case.name}")
        shutil.rmtree(work, ignore_errors=True)
        try:
            with measured_server(work, max_bytes=self._plan.limits.memory_bytes) as server:
                loaded = self._load(case, dataset, server.port)
                return self._measure(case, dataset, work) if loaded is None else loaded
        except EvenstoreError as exc:
            return ParityStepOutcome("error", exc.message)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(dataset.work_folder(case.loads_with), ignore_errors=True)

    def _load(
        self, case: ParityCase, dataset: OnlineDataset, port: int
    ) -> ParityStepOutcome | None:
        """Load the rows as the online benchmark does; None where that went well."""
        words = ["online-step", "--port", str(port), "--folder", str(dataset.folder)]
        words += ["--contender", case.loads_with, "--step", "load"]
        loaded = self._call(words)
        return None if loaded.status == "ok" else loaded

    def _measure(self, case: ParityCase, dataset: OnlineDataset, work: Path) -> ParityStepOutcome:
        repo = dataset.work_folder(case.loads_with) / "repo"
        words = ["parity-step", "--repo", str(repo), "--step"]
        if case.mode == "full":
            return self._call([*words, "full"])
        applied = self._call([*words, "service"])
        if applied.status != "ok":
            return applied
        n_rows = case.scaled_rows(scale=self._plan.scale)
        words += [case.mode, "--entity-rows", str(n_rows)]
        if case.mode == "golden":
            return self._call(words)
        with (
            running_server(EVENSTORE, repo, work / "gateway") as gateway,
            _environment(_KEY, gateway.api_key or ""),
        ):
            return self._call([*words, "--url", gateway.url])

    def _call(self, words: list[str]) -> ParityStepOutcome:
        words = [*words, "--started-ns", str(time.monotonic_ns())]
        return run_step(words, ParityStepOutcome, self._plan.limits)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for the processes that the block starts."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _describe(outcome: ParityStepOutcome) -> str:
    sample = outcome.sample
    if sample is None:
        return f"{outcome.status}: {first_line(outcome.reason)}"
    parts = "".join(f", {name} {part_s:.2f} s" for name, part_s in sample.parts_s.items())
    return (
        f"{sample.n_rows:,} rows in {sample.call_s:.2f} s,"
        f" {sample.n_rows / sample.call_s:,.0f}/s, cpu {sample.cpu_s:.2f} s,"
        f" process {sample.process_s:.1f} s, peak {sample.peak_rss_bytes / 1e6:.0f} MB{parts}"
    )
