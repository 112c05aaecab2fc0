"""The `evenstore` command: the embedded Redis, and feature tables from SQL."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from evenstore.clock import clock_from_environment
from evenstore.errors import EvenstoreError
from evenstore.processes import interrupt_on_termination
from evenstore.progress import open_progress
from evenstore.redis_server import running_redis, start_redis, stop_redis
from evenstore.redis_url import redact_url
from evenstore.transform.feature_sql import load_feature_sql
from evenstore.transform.incidents import NO_INCIDENTS, load_incidents
from evenstore.transform.run import TransformReport, run_transform

__all__ = ["main"]

_FAILED = 1
_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  evenstore redis start                 start the embedded Redis and leave it up
  evenstore redis status --json
  evenstore redis stop

  evenstore transform feature_repo/transforms/customer_activity.sql \\
    --source shop_lines=lines.parquet --out .evenstore/features/customer_activity \\
    --from 2011-12-01 --to 2011-12-08"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "transform" and arguments.last_day < arguments.first_day:
        parser.error(f"--to {arguments.last_day} is before --from {arguments.first_day}")
    interrupt_on_termination()
    try:
        if arguments.command == "redis":
            return _redis(arguments)
        print(_transform(arguments))
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("interrupted: only whole files were published", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _redis(arguments: argparse.Namespace) -> int:
    home: Path = arguments.home
    if arguments.action == "stop":
        print("stopped" if stop_redis(home) else "nothing to stop")
        return 0
    if arguments.action == "start":
        server = start_redis(home, detached=True)
    else:
        found = running_redis(home)
        if found is None:
            print(f"no Redis runs for `{home}`", file=sys.stderr)
            return _FAILED
        server = found
    state = {"url": redact_url(server.url), "pid": server.pid, "is_external": server.is_external}
    print(json.dumps(state) if arguments.json else state["url"])
    return 0


def _transform(arguments: argparse.Namespace) -> str:
    sql = load_feature_sql(arguments.sql)
    n_days = (arguments.last_day - arguments.first_day).days + 1
    with open_progress(sql.name, total=n_days, unit="days") as progress:
        report = run_transform(
            sql,
            sources=dict(arguments.source),
            destination=arguments.out,
            first_day=arguments.first_day,
            last_day=arguments.last_day,
            clock=clock_from_environment(),
            progress=progress,
            only_missing=arguments.only_missing,
            incidents=load_incidents(arguments.incidents) if arguments.incidents else NO_INCIDENTS,
        )
    if arguments.json:
        return json.dumps(dataclasses.asdict(report))
    return _describe(report)


def _describe(report: TransformReport) -> str:
    skipped = f", {report.n_days_skipped:,} skipped" if report.n_days_skipped else ""
    incomplete = f", {report.n_days_incomplete:,} not over yet" if report.n_days_incomplete else ""
    return (
        f"{report.name}: {report.n_rows:,} rows of {report.n_days:,} days{skipped}{incomplete}; "
        f"{report.files_written:,} files written, {report.files_removed:,} replaced"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenstore",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    redis = commands.add_parser("redis", help="start, stop or show the embedded Redis")
    redis.add_argument("action", choices=("start", "stop", "status"))
    redis.add_argument(
        "--home",
        type=Path,
        default=Path(os.environ.get("EVENSTORE_HOME") or ".evenstore"),
        help="folder of its data and state (%(default)s)",
    )
    redis.add_argument("--json", action="store_true", help="print the state as JSON")
    _add_transform(commands.add_parser("transform", help="make feature tables from a SQL file"))
    return parser


def _add_transform(transform: argparse.ArgumentParser) -> None:
    transform.add_argument("sql", type=Path, help="the versioned SQL file")
    transform.add_argument(
        "--source",
        type=_source,
        action="append",
        required=True,
        metavar="NAME=PATH",
        help="Parquet file or folder for a source that the SQL names; repeatable",
    )
    transform.add_argument("--out", type=Path, required=True, help="the feature table's folder")
    transform.add_argument(
        "--from",
        type=date.fromisoformat,
        required=True,
        dest="first_day",
        help="first day; a table that has rows only on days of change must begin with the first "
        "day of its events, or it lacks what did not change since",
    )
    transform.add_argument(
        "--to", type=date.fromisoformat, required=True, dest="last_day", help="last day, inclusive"
    )
    transform.add_argument(
        "--only-missing", action="store_true", help="skip days made before from the same events"
    )
    transform.add_argument(
        "--incidents",
        type=Path,
        metavar="FILE",
        help="JSON file of outages in which nothing was published (`outages`: since, until) and of "
        "events that arrived late (`late_events`: since, until, arrived), so that a backfill "
        "stamps what was known when; without it every run was on time",
    )
    transform.add_argument("--json", action="store_true", help="print the report as JSON")


def _source(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        msg = f"not NAME=PATH: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
