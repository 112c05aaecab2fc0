"""The options of `python -m benchmarks serving`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.names import check_names, find_named, split_names
from benchmarks.serving.cases import CASES, EVENSTORE, STOCK
from evenstore.errors import ConfigurationError

__all__ = [
    "PARTS",
    "add_serving_options",
    "add_writer_options",
    "look_up_serving",
    "run_settings",
    "serving_epilog",
]

PARTS = ("closed", "open", "busy", "start")
"""Closed loop, open loop, open loop while rows are written, start-up and memory."""

_CONTENDERS = (STOCK, EVENSTORE)
_EXAMPLES = """examples:
  python -m benchmarks serving --cases 1x10 --parts closed --seconds 3 --cache /tmp/bench
  python -m benchmarks serving --cases 1x10 --contenders evenstore --parts closed --cache /tmp/bench
  python -m benchmarks serving --layout both --cache /tmp/bench --out serving.json

A second run with the same --cache starts from a snapshot of Redis. Needs `wrk`."""


def serving_epilog() -> str:
    """List cases, contenders and examples for `--help`."""
    cases = "\n".join(f"  {case.name:<16} {case.summary}" for case in CASES.values())
    contenders = f"  {STOCK:<16} stock `feast serve --workers 1 --max-requests 0`, no access log\n"
    contenders += f"  {EVENSTORE:<16} `evenstore-serve --workers 1`"
    return f"cases:\n{cases}\n\ncontenders:\n{contenders}\n\n{_EXAMPLES}"


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Add what only this benchmark has."""
    parser.add_argument("--cases", metavar="A,B", help="by comma (default: all)")
    parser.add_argument(
        "--layout",
        choices=["packed", "feast", "both"],
        default="packed",
        help="of evenstore's rows (default %(default)s)",
    )
    parser.add_argument("--parts", metavar="A,B", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="of each closed loop, in whole ones (default %(default)s)",
    )
    parser.add_argument(
        "--connections", type=int, default=8, help="of the closed loop (default %(default)s)"
    )
    parser.add_argument(
        "--rates",
        metavar="N,N",
        default="200",
        help="requests/s of the open loop (default %(default)s)",
    )
    parser.add_argument(
        "--open-seconds",
        type=float,
        default=30.0,
        help="of each open loop (default %(default)s)",
    )


def add_writer_options(parser: argparse.ArgumentParser) -> None:
    """Add what a process is told that writes beside the lookups."""
    parser.add_argument("--folder", type=Path, required=True, help="a data set")
    parser.add_argument("--repo", type=Path, required=True, help="of the contender")
    parser.add_argument("--rows-per-s", type=float, required=True, help="what is tried")
    parser.add_argument("--url", help="push to this server; without, materialize")
    parser.add_argument("--api-key", help="of that server")


def look_up_serving(arguments: argparse.Namespace) -> None:
    """Look up what was named by comma.

    Raises:
        ConfigurationError: There is no such case, contender, part or rate.
    """
    arguments.cases = find_named(split_names(arguments.cases) or CASES, CASES, "case")
    arguments.contenders = check_names(
        split_names(arguments.contenders) or _CONTENDERS, _CONTENDERS, "contender"
    )
    arguments.parts = check_names(split_names(arguments.parts) or PARTS, PARTS, "part")
    try:
        arguments.rates = [float(rate) for rate in split_names(arguments.rates)]
    except ValueError as exc:
        msg = f"not rates: {arguments.rates!r}"
        raise ConfigurationError(msg, hint="requests/s by comma, such as 200,1000") from exc


def run_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return those settings of a run that only this benchmark has."""
    both = arguments.layout == "both"
    return {
        "layouts": ["packed", "feast"] if both else [arguments.layout],
        "parts": arguments.parts,
        "seconds": arguments.seconds,
        "n_connections": arguments.connections,
        "rates_per_s": arguments.rates,
        "open_seconds": arguments.open_seconds,
    }
