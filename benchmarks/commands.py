"""The commands of `python -m benchmarks`; each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arguments import parse_arguments
from evenstore.errors import EvenstoreError
from evenstore.processes import interrupt_on_termination

if TYPE_CHECKING:
    from benchmarks.results import AnyResults

__all__ = ["main"]

_FAILED = 1
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    interrupt_on_termination()
    try:
        arguments = parse_arguments(argv)
        return _COMMANDS[arguments.command](arguments)
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED


def _offline(arguments: argparse.Namespace) -> int:
    from benchmarks.machine import machine_facts
    from benchmarks.report import render_report
    from benchmarks.results import Results
    from benchmarks.runner import Plan, Runner

    results = Results(arguments.scale, arguments.seed, arguments.repeats, machine_facts())
    with ExitStack() as stack:
        plan = Plan(**_plan_settings(arguments, stack))
        _run(Runner(plan, results, _say).run)
    return _conclude(arguments, results, lambda: render_report(results))


def _online(arguments: argparse.Namespace) -> int:
    from benchmarks.machine import machine_facts
    from benchmarks.online.report import render_online_report
    from benchmarks.online.results import OnlineResults
    from benchmarks.online.runner import OnlinePlan, OnlineRunner
    from benchmarks.online.server import server_version

    machine = machine_facts() | {"redis-server": server_version()}
    results = OnlineResults(arguments.scale, arguments.seed, arguments.repeats, machine)
    with ExitStack() as stack:
        plan = OnlinePlan(**_plan_settings(arguments, stack))
        _run(OnlineRunner(plan, results, _say).run)
    return _conclude(arguments, results, lambda: render_online_report(results))


def _serving(arguments: argparse.Namespace) -> int:
    from benchmarks.machine import machine_facts
    from benchmarks.online.server import server_version
    from benchmarks.serving.options import run_settings
    from benchmarks.serving.report import render_serving_report
    from benchmarks.serving.results import ServingResults
    from benchmarks.serving.runner import ServingPlan, ServingRunner
    from benchmarks.serving.wrk import find_wrk

    find_wrk()  # Told before minutes of loading, not after.
    machine = machine_facts() | {"redis-server": server_version()}
    settings = run_settings(arguments)
    shown = {name: value for name, value in settings.items() if name != "layouts"}
    results = ServingResults(
        arguments.scale, arguments.seed, arguments.repeats, machine, settings=shown
    )
    with ExitStack() as stack:
        plan = ServingPlan(**_plan_settings(arguments, stack), **settings)
        _run(ServingRunner(plan, results, _say).run)
    return _conclude(arguments, results, lambda: render_serving_report(results))


def _serving_writer(arguments: argparse.Namespace) -> int:
    from benchmarks.serving.background import materialize_until_told, push_until_told

    folder, rows_per_s = arguments.folder, arguments.rows_per_s
    if arguments.url is None:
        reached = materialize_until_told(folder, arguments.repo, rows_per_s)
    else:
        reached = push_until_told(folder, arguments.url, rows_per_s, arguments.api_key)
    print(json.dumps(reached), flush=True)
    return 0


def _parity(arguments: argparse.Namespace) -> int:
    from benchmarks.guard import Limits
    from benchmarks.machine import machine_facts
    from benchmarks.online.server import server_version
    from benchmarks.parity.report import render_parity_report
    from benchmarks.parity.results import ParityResults
    from benchmarks.parity.runner import ParityPlan, ParityRunner

    machine = machine_facts() | {"redis-server": server_version()}
    results = ParityResults(arguments.scale, arguments.seed, arguments.repeats, machine)
    with ExitStack() as stack:
        plan = ParityPlan(
            cases=arguments.cases,
            cache=_cache(arguments, stack),
            scale=arguments.scale,
            seed=arguments.seed,
            repeats=arguments.repeats,
            limits=Limits(arguments.time_limit, int(arguments.memory_guard * 1e9)),
        )
        _run(ParityRunner(plan, results, _say).run)
    return _conclude(arguments, results, lambda: render_parity_report(results))


def _parity_step(arguments: argparse.Namespace) -> int:
    from benchmarks.measure import print_outcome
    from benchmarks.parity.measure import apply_service, measure_parity

    if arguments.step == "service":
        return print_outcome(lambda: apply_service(arguments.repo))
    return print_outcome(
        lambda: measure_parity(
            arguments.repo,
            arguments.step,
            n_entity_rows=arguments.entity_rows,
            url=arguments.url,
            started_ns=arguments.started_ns,
        )
    )


def _plan_settings(arguments: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    from benchmarks.guard import Limits

    return {
        "cases": arguments.cases,
        "contenders": arguments.contenders,
        "cache": _cache(arguments, stack),
        "scale": arguments.scale,
        "seed": arguments.seed,
        "repeats": arguments.repeats,
        "limits": Limits(arguments.time_limit, int(arguments.memory_guard * 1e9)),
    }


def _run(run: Callable[[], object]) -> None:
    try:
        run()
    except KeyboardInterrupt:
        _say("interrupted: what was measured until here is kept")


def _conclude(arguments: argparse.Namespace, results: AnyResults, render: Callable[[], str]) -> int:
    """Write and print what was measured, and return the exit code."""
    from benchmarks.results import write_results

    if arguments.out is not None:
        write_results(results, arguments.out)
    print(json.dumps(results.to_document()) if arguments.json else render(), flush=True)
    return _exit_code(results.failures, is_complete=results.is_complete)


def _cache(arguments: argparse.Namespace, stack: ExitStack) -> Path:
    return arguments.cache or Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="evenstore-benchmark-"))
    )


def _exit_code(failures: Sequence[str], *, is_complete: bool) -> int:
    for failure in failures:
        _say(f"failed: {failure}")
    if not is_complete:
        return _INTERRUPTED
    return _FAILED if failures else 0


def _online_step(arguments: argparse.Namespace) -> int:
    from benchmarks.measure import print_outcome
    from benchmarks.online.measure import apply_definitions, measure_lookups, measure_step

    folder, contender = arguments.folder, arguments.contender
    target = {"port": arguments.port, "project": arguments.project}
    if arguments.step == "lookups":
        return print_outcome(lambda: measure_lookups(folder, contender))
    if arguments.step == "apply":
        return print_outcome(lambda: apply_definitions(folder, contender, **target))
    return print_outcome(
        lambda: measure_step(
            folder, contender, arguments.step, started_ns=arguments.started_ns, **target
        )
    )


def _report(arguments: argparse.Namespace) -> int:
    from benchmarks.online.report import render_online_report
    from benchmarks.online.results import OnlineResults
    from benchmarks.parity.report import render_parity_report
    from benchmarks.parity.results import ParityResults
    from benchmarks.report import render_report
    from benchmarks.results import Results, read_document
    from benchmarks.serving.report import render_serving_report
    from benchmarks.serving.results import ServingResults

    renders: dict[str, Callable[[dict[str, Any]], str]] = {
        "offline": lambda of: render_report(Results.from_document(of)),
        "online": lambda of: render_online_report(OnlineResults.from_document(of)),
        "serving": lambda of: render_serving_report(ServingResults.from_document(of)),
        "parity": lambda of: render_parity_report(ParityResults.from_document(of)),
    }
    document = read_document(arguments.results)
    rendered = json.dumps(document) if arguments.json else renders[document["benchmark"]](document)
    print(rendered)
    return 0


def _data(arguments: argparse.Namespace) -> int:
    from benchmarks.data import build_dataset
    from evenstore.progress import open_progress

    for case in arguments.cases:
        n_rows = case.n_views * case.scaled(arguments.scale).n_rows
        with open_progress(f"{case.name}: data", total=n_rows) as progress:
            dataset = build_dataset(
                arguments.cache,
                case,
                scale=arguments.scale,
                seed=arguments.seed,
                advance=progress.advance,
            )
        print(dataset.folder, flush=True)
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from benchmarks.measure import prepare, print_outcome

    return print_outcome(lambda: prepare(arguments.folder, arguments.contender))


def _measure(arguments: argparse.Namespace) -> int:
    from benchmarks.measure import measure, print_outcome

    return print_outcome(
        lambda: measure(
            arguments.folder,
            arguments.contender,
            n_calls=arguments.calls,
            save=arguments.save,
            started_ns=arguments.started_ns,
        )
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_COMMANDS = {
    "offline": _offline,
    "online": _online,
    "serving": _serving,
    "online-step": _online_step,
    "serving-writer": _serving_writer,
    "parity": _parity,
    "parity-step": _parity_step,
    "report": _report,
    "data": _data,
    "prepare": _prepare,
    "measure": _measure,
}
