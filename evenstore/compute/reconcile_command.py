"""The `evenstore reconcile` command: its options, what it prints and its exit code."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evenstore.compute.reconciliation import Reconciliation, ViewReport

__all__ = ["add_reconcile", "run_reconcile"]

_FAILED = 1

_DESCRIPTION = """\
Compare what is stored online with the registry and the sources, and say what is left over: orphans
(entities that a run wrote and that the source does not name any more; pushed ones never count),
tombstones whose time is over, features and views that the registry no longer has, and entities
without the expiry that all their rows have (`expiry_grace_s`). With --apply it is removed or set,
each row only where it is still the one that was seen."""

_EXIT_CODES = """\
exit codes:
  0  compared; with --apply: removed
  1  a view could not be compared"""


def add_reconcile(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a program's commands."""
    parser = commands.add_parser(
        "reconcile",
        help="find, and remove, what the online store has too much",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "views", nargs="*", metavar="VIEW", help="feature views; all of the repo by default"
    )
    parser.add_argument(
        "--repo", type=Path, required=True, help="the Feast repo, with feature_store.yaml"
    )
    parser.add_argument("--apply", action="store_true", help="remove it; else only say what")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")


def run_reconcile(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    # Feast takes seconds to import, and the other commands do without.
    from evenstore.clock import clock_from_environment
    from evenstore.compute.reconciliation import reconcile
    from evenstore.schema.repository import open_repository

    found = reconcile(
        open_repository(arguments.repo),
        arguments.views,
        clock_from_environment(),
        is_dry_run=not arguments.apply,
    )
    text = _json(found) if arguments.json else _text(found, arguments)
    sys.stdout.write(f"{text}\n")
    for view in found.views:
        if view.error:
            sys.stderr.write(f"error: {view.view}: {view.error}\n")
    return _FAILED if any(view.error for view in found.views) else 0


def _json(found: Reconciliation) -> str:
    return json.dumps(dataclasses.asdict(found), default=_show)


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _text(found: Reconciliation, arguments: argparse.Namespace) -> str:
    lines = [line for view in found.views if not view.error for line in _describe(view)]
    lines += [
        f"{gone.view}: {gone.n_rows:,} rows, but the registry has no such view"
        for gone in found.gone_views
    ]
    if found.n_without_expiry:
        n_entities = found.n_without_expiry
        lines.append(f"{n_entities:,} entities do not expire, although all their rows do")
    n_removed = sum(view.n_removed for view in found.views)
    n_removed += sum(gone.n_removed for gone in found.gone_views)
    if not found.has_leftovers:
        lines.append("nothing is left over")
    elif found.is_dry_run:
        names = " ".join(["", *map(shlex.quote, arguments.views)])
        command = f"evenstore reconcile --repo {shlex.quote(str(arguments.repo))}{names} --apply"
        lines.append(f"nothing was removed; to remove it: {command}")
    else:
        lines.append(f"{n_removed:,} removed")
    return "\n".join(lines)


def _describe(view: ViewReport) -> list[str]:
    lines = [f"{view.view}: {view.n_rows:,} rows, {view.n_run_rows:,} of them written by runs"]
    if view.n_orphans:
        lines.append(f"  {view.n_orphans:,} orphans: the source does not name their entities")
        lines += [f"    {_entity(example)}" for example in view.examples]
        if view.n_orphans > len(view.examples):
            lines.append(f"    and {view.n_orphans - len(view.examples):,} more")
    if view.n_old_tombstones:
        lines.append(f"  {view.n_old_tombstones:,} tombstones whose time is over")
    if view.gone_features:
        names = ", ".join(view.gone_features)
        lines.append(f"  values of features that the view does not have: {names}")
    if view.n_unreadable:
        lines.append(f"  {view.n_unreadable:,} entities cannot be read; they stay")
    return lines


def _entity(example: dict[str, object]) -> str:
    return ", ".join(f"{name}={_show(value)}" for name, value in example.items()) or "(no entity)"
