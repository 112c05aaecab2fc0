"""The options of `python -m benchmarks online`, and of the process that it starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.online.cases import CASES
from benchmarks.online.contenders import ONLINE_CONTENDERS

__all__ = ["add_online_step_options", "online_epilog"]

_STEPS = ("load", "again", "changed", "incremental", "lookups", "apply")
_EXAMPLES = """examples:
  python -m benchmarks online --scale 0.05 --repeats 1 --cache /tmp/bench
  python -m benchmarks online --cases M1,MS,OG --cache /tmp/bench --out online.json

Each contender has a redis-server of its own, which ends with the round."""


def online_epilog() -> str:
    """List cases, contenders and examples for `--help`."""
    cases = "\n".join(f"  {case.name:<16} {case.summary}" for case in CASES.values())
    contenders = "\n".join(f"  {one.name:<16} {one.summary}" for one in ONLINE_CONTENDERS.values())
    return f"cases:\n{cases}\n\ncontenders:\n{contenders}\n\n{_EXAMPLES}"


def add_online_step_options(step: argparse.ArgumentParser) -> None:
    """Add what one measurement is told."""
    step.add_argument("--folder", type=Path, required=True, help="a data set")
    step.add_argument("--contender", required=True, help="its name, see online --help")
    step.add_argument("--step", choices=_STEPS, required=True, help="what to measure")
    step.add_argument("--port", type=int, required=True, help="of the Redis")
    step.add_argument("--project", default="benchmark", help="Feast project (%(default)s)")
    step.add_argument("--started-ns", type=int, required=True, help=argparse.SUPPRESS)
