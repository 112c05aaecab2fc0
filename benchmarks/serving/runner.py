"""Runs the servers side by side, in rounds A B, A B, ..., after their answers were compared.

Cases with the same rows share a Redis and a start of each server. Both servers are there all the
time; the one that is not asked does next to nothing.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.guard import Limits
from benchmarks.online.data import build_online_dataset
from benchmarks.serving.bodies import request_bodies
from benchmarks.serving.cases import EVENSTORE, STOCK, Layout, ServingCase
from benchmarks.serving.loaded import Loaded, open_loaded
from benchmarks.serving.measure import (
    Requests,
    check_answers,
    compare_answers,
    measure_busy,
    measure_closed,
    measure_open,
)
from benchmarks.serving.open_loop import OpenLoop
from benchmarks.serving.results import (
    ClosedSample,
    ServingCaseResult,
    ServingContenderResult,
    ServingResults,
    StartSample,
)
from benchmarks.serving.servers import Server, running_server
from evenstore.errors import EvenstoreError
from evenstore.progress import open_progress

__all__ = ["ServingPlan", "ServingRunner"]

_N_BODIES = 2_000
_MAX_ROWS_OF_BODIES = 100_000
_N_COMPARED = 50
_WARM_UP_S = 1


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """What is run.

    Attributes:
        cases: In order.
        layouts: Of evenstore's rows.
        contenders: In the order of a round.
        parts: Of `options.PARTS`.
        cache: Where data sets and snapshots are.
        scale: What the number of entities is multiplied with.
        seed: Of the data.
        repeats: Rounds.
        seconds: Of each closed loop.
        n_connections: Of the closed loop.
        rates_per_s: Of the open loops.
        open_seconds: Of each open loop.
        limits: Of the processes that load, and of Redis' memory.
    """

    cases: Sequence[ServingCase]
    layouts: Sequence[Layout]
    contenders: Sequence[str]
    parts: Sequence[str]
    cache: Path
    scale: float
    seed: int
    repeats: int
    seconds: float
    n_connections: int
    rates_per_s: Sequence[float]
    open_seconds: float
    limits: Limits


class ServingRunner:
    """Runs a plan and fills in results as they come, so that an interrupted run keeps them.

    Args:
        plan: What to run.
        results: Where to put it.
        say: Prints one line of progress.
    """

    def __init__(
        self, plan: ServingPlan, results: ServingResults, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._results = results
        self._say = say

    def run(self) -> None:
        """Run all cases with all layouts."""
        cases = sorted(self._plan.cases, key=lambda case: (case.kind, case.n_views))
        for layout in self._plan.layouts:
            for _, group in groupby(cases, key=lambda case: (case.kind, case.n_views)):
                self._run_group(list(group), layout)
        self._results.is_complete = True

    def _run_group(self, cases: Sequence[ServingCase], layout: Layout) -> None:
        plan = self._plan
        rows = cases[0].rows(scale=plan.scale)
        self._say(f"{', '.join(case.name for case in cases)}: {rows.n_entities:,} entities")
        with open_progress(f"{rows.name}: data", total=rows.n_views * rows.n_rows) as progress:
            dataset = build_online_dataset(
                plan.cache, rows, seed=plan.seed, advance=progress.advance
            )
        with open_loaded(dataset, layout, limits=plan.limits, say=self._say) as loaded:
            with ExitStack() as stack:
                servers = [
                    stack.enter_context(self._started(name, loaded, layout, is_first=True))
                    for name in plan.contenders
                ]
                for case in cases:
                    self._run_case(case, loaded, layout, servers)
            if "start" in plan.parts and EVENSTORE in plan.contenders:
                with self._started(EVENSTORE, loaded, layout, is_first=False):
                    pass

    @contextlib.contextmanager
    def _started(
        self, name: str, loaded: Loaded, layout: Layout, *, is_first: bool
    ) -> Iterator[Server]:
        folder = loaded.dataset.folder / "servers" / name
        if is_first:
            shutil.rmtree(folder, ignore_errors=True)
        with running_server(name, loaded.repo(name, layout), folder) as server:
            used = server.use()
            start = StartSample(
                server.ready_s, used.worker_rss_bytes, used.total_rss_bytes, is_first
            )
            self._results.starts.setdefault(name, []).append(start)
            self._say(
                f"  {name:<10} ready after {start.ready_s:.2f} s,"
                f" worker {start.worker_rss_bytes / 1e6:.0f} MB"
            )
            yield server

    def _run_case(
        self, case: ServingCase, loaded: Loaded, layout: Layout, servers: Sequence[Server]
    ) -> None:
        result = ServingCaseResult(case, layout, loaded.dataset.case.n_entities)
        result.contenders = {server.contender: ServingContenderResult() for server in servers}
        self._results.cases[f"{case.name} {layout}"] = result
        count = min(_N_BODIES, max(_N_COMPARED, _MAX_ROWS_OF_BODIES // case.n_entity_rows))
        bodies = request_bodies(case, loaded.dataset, count=count, seed=self._plan.seed)
        requests = Requests.write(bodies, loaded.dataset.folder / "requests")
        self._compare(result, servers, requests)
        for server in servers:
            self._closed(server, requests, loaded, seconds=_WARM_UP_S)
        for number in range(self._plan.repeats):
            for server in servers:
                if result.contenders[server.contender].status == "ok":
                    self._round(number, result, server, requests, loaded)
        if "busy" in self._plan.parts and case.has_open_loop:
            for server in servers:
                self._busy(result, server, requests, loaded)

    def _compare(
        self, result: ServingCaseResult, servers: Sequence[Server], requests: Requests
    ) -> None:
        by_name = {server.contender: server for server in servers}
        if set(by_name) == {STOCK, EVENSTORE}:
            result.n_compared, wrong = compare_answers(
                by_name[STOCK], by_name[EVENSTORE], requests, count=_N_COMPARED
            )
            checked = {EVENSTORE: wrong}
        else:
            checked = {
                name: check_answers(server, requests, count=_N_COMPARED)
                for name, server in by_name.items()
            }
        for name, wrong in checked.items():
            if wrong is not None:
                result.contenders[name].fail("wrong", wrong)
                self._say(f"  {name:<10} wrong: {wrong}")

    def _closed(
        self, server: Server, requests: Requests, loaded: Loaded, *, seconds: float
    ) -> ClosedSample:
        n_connections = self._plan.n_connections
        return measure_closed(
            server, requests, loaded.server, n_connections=n_connections, seconds=seconds
        )

    def _round(
        self,
        number: int,
        result: ServingCaseResult,
        server: Server,
        requests: Requests,
        loaded: Loaded,
    ) -> None:
        plan, of = self._plan, result.contenders[server.contender]
        label = f"  {server.contender:<10} {result.case.name} {number + 1} of {plan.repeats} "
        try:
            if "closed" in plan.parts:
                sample = self._closed(server, requests, loaded, seconds=plan.seconds)
                # Kept before it is said: an interrupt may come with the line.
                of.closed.append(sample)
                self._say(label + _describe_closed(sample))
            if "open" in plan.parts and result.case.has_open_loop:
                for rate_per_s in plan.rates_per_s:
                    opened = measure_open(
                        server,
                        requests,
                        rate_per_s=rate_per_s,
                        seconds=plan.open_seconds,
                        n_connections=plan.n_connections,
                    )
                    of.opened.append(opened)
                    self._say(label + _describe_open(opened))
        except (EvenstoreError, OSError) as exc:
            of.fail("error", str(exc))
            self._say(f"{label} error: {exc}")

    def _busy(
        self, result: ServingCaseResult, server: Server, requests: Requests, loaded: Loaded
    ) -> None:
        of = result.contenders[server.contender]
        label = f"  {server.contender:<10} {result.case.name} busy "
        try:
            sample = measure_busy(
                server,
                requests,
                loaded.dataset.folder,
                loaded.repo(server.contender, result.layout),
                rate_per_s=self._plan.rates_per_s[0],
                n_connections=self._plan.n_connections,
            )
        except (EvenstoreError, OSError) as exc:
            of.fail("error", str(exc))
            self._say(f"{label} error: {exc}")
            return
        of.busy.append(sample)
        self._say(
            f"{label} p99 {sample.idle.p99_us / 1e3:.2f} ms idle, {sample.busy.p99_us / 1e3:.2f}"
            f" beside {sample.written.materialized_per_s:,.0f} rows/s materialized and"
            f" {sample.written.pushed_per_s:,.0f} pushed"
        )


def _describe_closed(sample: ClosedSample) -> str:
    loop = sample.loop
    return (
        f"{sample.requests_per_s:9,.0f} requests/s, p50 {loop.p50_us / 1e3:6.2f} ms,"
        f" p99 {loop.p99_us / 1e3:6.2f}, cpu {sample.cpu_us_per_request():7,.0f} us/request,"
        f" errors {loop.n_refused + loop.n_broken}"
    )


def _describe_open(opened: OpenLoop) -> str:
    return (
        f"{opened.rate_per_s:g}/s: p50 {opened.p50_us / 1e3:.2f} ms, p99 {opened.p99_us / 1e3:.2f},"
        f" p99.9 {opened.p999_us / 1e3:.2f}, errors {opened.n_errors}"
    )
