"""The `evenstore` command: embedded Redis, feature tables from SQL, their files, the doctor."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from evenstore.clock import clock_from_environment
from evenstore.compute.reconcile_command import add_reconcile, run_reconcile
from evenstore.doctor.command import add_doctor, run_doctor
from evenstore.errors import (
    EvenstoreError,
    OfflineStoreError,
    SourceUnavailableError,
    UnknownFeatureError,
)
from evenstore.index.build import IndexSummary, build_index, remove_index
from evenstore.index.catalogue import index_folder
from evenstore.processes import interrupt_on_termination
from evenstore.progress import open_progress
from evenstore.redis_server import running_redis, start_redis, stop_redis
from evenstore.redis_url import redact_url
from evenstore.transform.feature_sql import load_feature_sql
from evenstore.transform.incidents import NO_INCIDENTS, load_incidents
from evenstore.transform.run import TransformReport, run_transform

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

    from evenstore.compaction.compact import CompactionReport
    from evenstore.schema.files import SourceFiles
    from evenstore.schema.model import FeatureViewSchema

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
    --from 2011-12-01 --to 2011-12-08

  evenstore index --repo feature_repo          index every view; again after new files came
  evenstore index customer_activity --repo feature_repo --kind positions
  evenstore compact --repo feature_repo --dry-run
  evenstore doctor --repo feature_repo --strict
  evenstore reconcile --repo feature_repo      what the online store has too much; then --apply"""


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
        if arguments.command == "doctor":
            return run_doctor(arguments)
        if arguments.command == "reconcile":
            return run_reconcile(arguments)
        print(_COMMANDS[arguments.command](arguments))
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


def _index(arguments: argparse.Namespace) -> str:
    # Feast takes seconds to import, and the other commands do without.
    from evenstore.offline.limits import session_limits
    from evenstore.schema.repository import open_repository

    store = open_repository(arguments.repo)
    limits = session_limits(store.config)
    reports, lines = [], []
    for view, schema in _chosen_views(store, arguments.views):
        folder = index_folder(Path(store.repo_path), schema.name)
        if arguments.remove:
            is_removed = remove_index(folder)
            reports.append({"view": schema.name, "is_removed": is_removed})
            lines.append(f"{schema.name}: {'removed' if is_removed else 'there is no index'}")
            continue
        source = _open_source(view, schema, store, is_named=bool(arguments.views))
        if source is None:
            continue
        started_s = time.monotonic()
        with open_progress(schema.name) as progress:
            summary = build_index(
                folder, source, schema, kind=arguments.kind, limits=limits, progress=progress
            )
        seconds = round(time.monotonic() - started_s, 3)
        reports.append({**dataclasses.asdict(summary), "seconds": seconds})
        lines.append(_describe_index(summary, seconds))
    return json.dumps(reports) if arguments.json else "\n".join(lines)


def _compact(arguments: argparse.Namespace) -> str:
    from evenstore.compaction.feast_source import compact_view, source_folder
    from evenstore.offline.limits import session_limits
    from evenstore.schema.repository import open_repository
    from evenstore.schema.source import batch_source

    store = open_repository(arguments.repo)
    repo_path = Path(store.repo_path)
    reports, done = [], set()
    for view, schema in _chosen_views(store, arguments.views):
        try:
            folder = source_folder(batch_source(view), repo_path)
            if folder in done:
                # Sorted by one view's keys it would not stay sorted by another's.
                continue
            done.add(folder)
            with open_progress(schema.name) as progress:
                report = compact_view(
                    view,
                    schema,
                    repo_path,
                    target_rows=arguments.target_rows,
                    is_dry_run=arguments.dry_run,
                    limits=session_limits(store.config),
                    progress=progress,
                )
        except OfflineStoreError as exc:
            if arguments.views:
                raise
            print(f"skipped: {schema.name}: {exc.message}", file=sys.stderr)
            continue
        reports.append(report)
    if arguments.json:
        return json.dumps([dataclasses.asdict(report) for report in reports])
    return "\n".join(
        _describe_compaction(report, is_dry_run=arguments.dry_run) for report in reports
    )


def _describe_compaction(report: CompactionReport, *, is_dry_run: bool) -> str:
    recovered = "; a compaction that was killed was carried through" if report.is_recovered else ""
    if not report.rewritten:
        return f"{report.view}: nothing to compact in {_files(report.n_files)}{recovered}"
    counts = Counter(file.reason for file in report.rewritten)
    reasons = ", ".join(f"{n_files:,} {reason}" for reason, n_files in counts.items())
    said = f"{report.view}: {len(report.rewritten):,} of {_files(report.n_files)} ({reasons})"
    if is_dry_run:
        lines = [f"{said} would be rewritten, {report.n_rows:,} rows"]
        lines += [
            f"  {file.path}: {file.n_rows:,} rows, {file.reason}" for file in report.rewritten
        ]
        return "\n".join(lines)
    return f"{said} rewritten as {report.n_files_written:,}, {report.n_rows:,} rows{recovered}"


def _describe_index(summary: IndexSummary, seconds: float) -> str:
    added = f"{summary.n_files_added:,} of {_files(summary.n_files)} read"
    if not summary.n_files_added:
        added = f"{_files(summary.n_files)}, none new"
    segments = "1 segment" if summary.n_segments == 1 else f"{summary.n_segments} segments"
    return (
        f"{summary.view}: {summary.n_rows:,} rows, {added}; index of kind {summary.kind}: "
        f"{summary.n_bytes / 1e6:,.1f} MB in {segments}, {seconds:,.1f} s"
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _chosen_views(
    store: FeatureStore, names: Sequence[str]
) -> list[tuple[FeatureView, FeatureViewSchema]]:
    """Return the named views with their schemas, all that have a batch source without names."""
    from evenstore.schema.compile import compile_feature_view

    views = {
        view.name: view
        for view in (*store.list_feature_views(), *store.list_stream_feature_views())
        if names or view.batch_source is not None
    }
    missing = set(names) - set(views)
    if missing:
        raise UnknownFeatureError(missing, views)
    chosen = (views[name] for name in (names or sorted(views)))
    return [(view, compile_feature_view(view, is_offline=True)) for view in chosen]


def _open_source(
    view: FeatureView, schema: FeatureViewSchema, store: FeatureStore, *, is_named: bool
) -> SourceFiles | None:
    """Open a view's files; a view that nobody named may have none."""
    from evenstore.schema.source import open_source

    try:
        return open_source(view, schema, Path(store.repo_path))
    except SourceUnavailableError as exc:
        if is_named:
            raise
        print(f"skipped: {exc.message}", file=sys.stderr)
        return None


_COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    "transform": _transform,
    "index": _index,
    "compact": _compact,
}


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
    _add_index(commands.add_parser("index", help="index feature tables for faster joins"))
    _add_compact(commands.add_parser("compact", help="rewrite small or unsorted files as sorted"))
    add_doctor(commands)
    add_reconcile(commands)
    return parser


def _add_compact(compact: argparse.ArgumentParser) -> None:
    _add_views(compact)
    compact.add_argument(
        "--target-rows",
        type=_positive,
        default=5_000_000,
        metavar="N",
        help="rows of a file, about; a sorted file of less than half is small, and is rewritten "
        "where there is another to join it with (%(default)s)",
    )
    compact.add_argument(
        "--dry-run", action="store_true", help="only say what would be rewritten, and why"
    )
    compact.add_argument("--json", action="store_true", help="print the reports as JSON")


def _add_index(index: argparse.ArgumentParser) -> None:
    _add_views(index)
    index.add_argument(
        "--kind",
        choices=("table", "positions"),
        default="table",
        help="keep a copy of the features too, which is fastest, or only where their rows are, "
        "which is smaller (%(default)s)",
    )
    index.add_argument("--remove", action="store_true", help="remove the indexes")
    index.add_argument("--json", action="store_true", help="print the reports as JSON")


def _add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "views", nargs="*", metavar="VIEW", help="feature views; all of the repo by default"
    )
    parser.add_argument(
        "--repo", type=Path, required=True, help="the Feast repo, with feature_store.yaml"
    )


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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"not a positive number: {text}"
        raise argparse.ArgumentTypeError(msg)
    return number


def _source(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator or not name or not path:
        msg = f"not NAME=PATH: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
