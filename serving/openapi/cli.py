"""The commands of `python -m serving.openapi`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.whole_file import whole_file
from serving.openapi.document import build_document, render_document
from serving.openapi.rules import breaking_changes

__all__ = ["main"]

_EXIT_FAILED = 1
_EXIT_BREAKING = 3
_STDIN = "-"

_DESCRIPTION = """\
Print the gateway's OpenAPI document, as the checked-in docs/reference/openapi.json has it."""

_EXAMPLE = """\
example:
  python -m serving.openapi write docs/reference/openapi.json
  git show main:docs/reference/openapi.json | python -m serving.openapi check --against -

exit codes: 0 nothing breaks callers, 1 the command failed, 2 wrong arguments,
3 a change breaks callers (each is a line on standard output)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    document = build_document()
    try:
        if arguments.command == "check":
            return _tell_breaking(_read(arguments.against), document)
        if arguments.command == "write":
            return _write(arguments.file, document, allows_breaking=arguments.allow_breaking)
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_FAILED
    print(render_document(document), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.openapi",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check = commands.add_parser("check", help="tell which changes break callers of another one")
    check.add_argument(
        "--against", required=True, metavar="FILE", help="the other document, - for standard input"
    )
    write = commands.add_parser("write", help="write it to a file, unless that breaks callers")
    write.add_argument("file", type=Path, metavar="FILE")
    write.add_argument(
        "--allow-breaking", action="store_true", help="write it although it breaks callers"
    )
    return parser


def _write(path: Path, document: dict[str, Any], *, allows_breaking: bool) -> int:
    if path.exists() and not allows_breaking:
        exit_code = _tell_breaking(_read(str(path)), document)
        if exit_code:
            print("not written: `--allow-breaking` writes it", file=sys.stderr)
            return exit_code
    with whole_file(path) as temporary:
        temporary.write_text(render_document(document), encoding="utf-8")
    return 0


def _tell_breaking(old: dict[str, Any], new: dict[str, Any]) -> int:
    changes = breaking_changes(old, new)
    for change in changes:
        print(change)
    return _EXIT_BREAKING if changes else 0


def _read(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if source == _STDIN else Path(source).read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError) as exc:
        msg = f"cannot read an OpenAPI document from {source!r}: {exc}"
        raise ConfigurationError(msg, hint="`python -m serving.openapi` prints one") from exc
    if not isinstance(document, dict) or "paths" not in document:
        msg = f"{source!r} holds no OpenAPI document"
        raise ConfigurationError(msg, hint="`python -m serving.openapi` prints one")
    return document
