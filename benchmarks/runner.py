"""Runs contenders side by side: answers are compared first, then rounds A B C, A B C, ...

Each measurement is a process of its own. A contender with another answer than the others is
reported and not timed; one that runs out of time or memory is reported and not asked again.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.answers import describe_difference, load_answer
from benchmarks.cases import Case
from benchmarks.cells import first_line
from benchmarks.contenders.contender import Contender
from benchmarks.data import Dataset, build_dataset
from benchmarks.guard import Limits
from benchmarks.measure import Outcome
from benchmarks.results import CaseResult, ContenderResult, Results
from benchmarks.steps import run_step
from evenstore.progress import open_progress

__all__ = ["Plan", "Runner"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run.

    Attributes:
        cases: At full size.
        contenders: In the order of a round.
        cache: Where data sets are.
        scale: What the cases' counts are multiplied with.
        seed: Of the data.
        repeats: Rounds.
        limits: Of each process.
    """

    cases: Sequence[Case]
    contenders: Sequence[Contender]
    cache: Path
    scale: float
    seed: int
    repeats: int
    limits: Limits


class Runner:
    """Runs a plan and fills in results as they come, so that an interrupted run keeps them.

    Args:
        plan: What to run.
        results: Where to put it.
        say: Prints one line of progress.
    """

    def __init__(self, plan: Plan, results: Results, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._results = results
        self._say = say

    def run(self) -> None:
        """Run all cases."""
        for case in self._plan.cases:
            self._run_case(case)
        self._results.is_complete = True

    def _run_case(self, case: Case) -> None:
        plan = self._plan
        self._say(f"{case.name}: {case.summary}" + (f", x {plan.scale:g}" * (plan.scale != 1)))
        n_rows = case.n_views * case.scaled(plan.scale).n_rows
        with open_progress(f"{case.name}: data", total=n_rows) as progress:
            dataset = build_dataset(
                plan.cache, case, scale=plan.scale, seed=plan.seed, advance=progress.advance
            )
        result = CaseResult(dataset.case)
        self._results.cases[case.name] = result
        for contender in plan.contenders:
            result.contenders[contender.name] = self._prepare(contender, dataset)
        self._compare(dataset, result)
        for number in range(plan.repeats):
            for contender in plan.contenders:
                if result.contenders[contender.name].status == "ok":
                    self._repeat(dataset, contender, result.contenders[contender.name], number)

    def _prepare(self, contender: Contender, dataset: Dataset) -> ContenderResult:
        result = ContenderResult()
        if contender.max_rows is not None and dataset.case.n_rows > contender.max_rows:
            result.fail(Outcome("unavailable", reason="written for smaller data"))
            return result
        if contender.is_hand_written:
            return result
        started_s = time.monotonic()
        outcome = self._call("prepare", dataset, contender)
        if outcome.status != "ok":
            result.fail(outcome)
            self._say(f"  {contender.name:<16} {outcome.status}: {first_line(outcome.reason)}")
        result.prepare_s = time.monotonic() - started_s
        return result

    def _compare(self, dataset: Dataset, result: CaseResult) -> None:
        """Let each contender answer once; the answer of most is the reference."""
        with tempfile.TemporaryDirectory(prefix="evenstore-answers-") as folder:
            saved: dict[str, Path] = {}
            for contender in self._plan.contenders:
                of = result.contenders[contender.name]
                if of.status != "ok":
                    continue
                path = Path(folder) / f"{contender.name}.parquet"
                outcome = self._call("measure", dataset, contender, "--save", str(path))
                self._say(f"  {contender.name:<16} first   {_describe(outcome)}")
                if outcome.sample is None:
                    of.fail(outcome)
                else:
                    of.value_hash = outcome.sample.value_hash
                    saved[contender.name] = path
            self._blame(dataset, result, saved)

    def _blame(self, dataset: Dataset, result: CaseResult, saved: dict[str, Path]) -> None:
        hashes = {name: result.contenders[name].value_hash for name in saved}
        if len(set(hashes.values())) <= 1:
            return
        most = Counter(hashes.values()).most_common(1)[0][0]
        reference = next(name for name, value_hash in hashes.items() if value_hash == most)
        columns = dataset.answer_columns
        for name, value_hash in hashes.items():
            if value_hash == most:
                continue
            difference = describe_difference(
                load_answer(saved[reference], columns), load_answer(saved[name], columns), columns
            )
            outcome = Outcome("wrong", reason=f"not the answer of {reference}: {difference}")
            result.contenders[name].fail(outcome)
            self._say(f"  {name:<16} WRONG   {outcome.reason}")

    def _repeat(
        self, dataset: Dataset, contender: Contender, result: ContenderResult, number: int
    ) -> None:
        outcome = self._call("measure", dataset, contender)
        if outcome.sample is not None and outcome.sample.value_hash != result.value_hash:
            outcome = Outcome("wrong", reason="another answer than in an earlier run")
        # Kept before it is said: an interrupt may come with the line.
        if outcome.sample is None:
            result.fail(outcome)
        else:
            result.samples.append(outcome.sample)
        self._say(
            f"  {contender.name:<16} {number + 1} of {self._plan.repeats}  {_describe(outcome)}"
        )

    def _call(self, command: str, dataset: Dataset, contender: Contender, *options: str) -> Outcome:
        words = [command, "--folder", str(dataset.folder), "--contender", contender.name, *options]
        if command == "measure":
            words += ["--started-ns", str(time.monotonic_ns())]
        return run_step(words, Outcome, self._plan.limits)


def _describe(outcome: Outcome) -> str:
    sample = outcome.sample
    if sample is None:
        return f"{outcome.status}: {first_line(outcome.reason)}"
    return (
        f"{sample.join_s:8.3f} s, cpu {sample.join_cpu_s:7.3f} s,"
        f" process {sample.process_s:6.2f} s, peak {sample.peak_rss_bytes / 1e9:5.2f} GB"
    )
