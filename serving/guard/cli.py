"""`evenstore-serve keys`: makes, shows and revokes API keys."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from evenstore.clock import SystemClock
from evenstore.errors import EvenstoreError
from serving.guard.key_file import SCOPES, create_key, read_records, revoke_key

__all__ = ["main"]

_EXIT_FAILED = 1
_S_PER_DAY = 86_400.0
_MAX_DAYS = 36_500

_DESCRIPTION = """\
Make, show and revoke the API keys of a gateway. The file holds their hashes only; a key itself is
printed once, when it is made. A gateway started with `--api-keys FILE` follows the file.
To rotate a key: create one of another name, move the callers, revoke the old one."""

_EXAMPLE = """\
examples:
  evenstore-serve keys create --file keys.json --name checkout --scope read
  evenstore-serve keys list --file keys.json
  evenstore-serve keys revoke --file keys.json --name checkout"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_FAILED


def _create(arguments: argparse.Namespace) -> int:
    record, key = create_key(
        arguments.file,
        arguments.name,
        arguments.scope,
        SystemClock(),
        expires_in_s=None if arguments.days is None else arguments.days * _S_PER_DAY,
    )
    if arguments.json:
        print(json.dumps({**record.describe(), "key": key}))
    else:
        print(key)
        print("this key is not shown again: the file holds its hash only", file=sys.stderr)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    records = read_records(arguments.file)
    if arguments.json:
        print(json.dumps([record.describe() for record in records]))
        return 0
    for record in records:
        shown = record.describe()
        expires = shown["expires"] or "never"
        scopes = ",".join(record.scopes)
        print(f"{record.name}  {scopes}  created {record.created}  expires {expires}")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    record = revoke_key(arguments.file, arguments.name)
    if arguments.json:
        print(json.dumps(record.describe()))
    else:
        print(f"revoked {record.name}: gateways refuse it within a second", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenstore-serve keys",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key and print it, once")
    _add_common(create)
    _add_name(create)
    create.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        required=True,
        help="what it allows: look up, write, or see the metrics; repeatable",
    )
    create.add_argument("--days", type=_days, metavar="N", help="valid for that long (for ever)")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="show names, scopes and dates")
    _add_common(listing)
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="remove a key")
    _add_common(revoke)
    _add_name(revoke)
    revoke.set_defaults(run=_revoke)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--file", type=Path, required=True, metavar="FILE", help="the file of API keys"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", required=True, help="whose key it is; shown in logs and error messages"
    )


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= _MAX_DAYS:
        raise ValueError
    return days
