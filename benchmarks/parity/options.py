"""The options of `python -m benchmarks parity`, and of the process that it starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.parity.cases import CASES

__all__ = ["add_parity_step_options", "parity_epilog"]

_STEPS = ("service", "full", "live", "golden")
_EXAMPLES = """examples:
  python -m benchmarks parity --cases full --cache /tmp/bench
  python -m benchmarks parity --cases full,live --scale 0.05 --repeats 1 --cache /tmp/bench

Each round has a redis-server of its own, and the live one a gateway."""


def parity_epilog() -> str:
    """List cases and examples for `--help`."""
    cases = "\n".join(f"  {case.name:<16} {case.summary}" for case in CASES.values())
    return f"cases:\n{cases}\n\n{_EXAMPLES}"


def add_parity_step_options(step: argparse.ArgumentParser) -> None:
    """Add what one measurement is told."""
    step.add_argument("--repo", type=Path, required=True, help="a loaded Feast repo")
    step.add_argument("--step", choices=_STEPS, required=True, help="what to do")
    step.add_argument("--entity-rows", type=int, default=1_000, help="to draw (%(default)s)")
    step.add_argument("--url", help="of the gateway")
    step.add_argument("--started-ns", type=int, required=True, help=argparse.SUPPRESS)
