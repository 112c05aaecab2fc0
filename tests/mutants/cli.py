"""The command: judges mutants, and writes what is kept of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evenstore.processes import interrupt_on_termination
from evenstore.redis_server import embedded_redis
from tests.mutants.catalogue.mutants import MUTANTS
from tests.mutants.result import Judged, format_page, format_summary, load_result, save_result
from tests.mutants.runner import TIMEOUT_S, Runner
from tests.mutants.source_copy import SourceCopy
from tests.repo.sources import ROOT

__all__ = ["main"]

_KEPT = ROOT / "docs" / "reports" / "mutants.json"
_PAGE = ROOT / "docs" / "reports" / "mutants.md"
_FAILED, _SURPRISED, _INTERRUPTED = 1, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "list":
        for mutant in MUTANTS:
            print(f"{mutant.name}: {mutant.breaks}")
        return 0
    if arguments.command == "page":
        _PAGE.write_text(format_page(load_result(_KEPT, MUTANTS)), encoding="utf-8")
        return 0
    interrupt_on_termination()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted: everything that was started is stopped", file=sys.stderr)
        return _INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    mutants = [mutant for mutant in MUTANTS if mutant.name in (arguments.only or [mutant.name])]
    if not mutants:
        print("error: no such mutant; `python -m tests.mutants list`", file=sys.stderr)
        return _FAILED
    started_s = time.monotonic()
    judged: list[Judged] = []
    kept = arguments.json if arguments.only else None
    with _open_runner(arguments.timeout_s) as runner:
        control = runner.judge(None)
        if not control.is_clean:
            print(f"error: the code is red without a mutant: {control}", file=sys.stderr)
            return _FAILED
        for mutant in mutants:
            judged.append(Judged(mutant, runner.judge(mutant)))
            print(f"{mutant.name}: {_told(judged[-1])}", flush=True)
            if arguments.json is not None:
                save_result(judged, arguments.json, beside=kept)
    print("\n".join(["", *format_summary(judged)]))
    print(f"done in {time.monotonic() - started_s:.0f} s")
    return 0 if all(each.is_as_expected for each in judged) else _SURPRISED


@contextmanager
def _open_runner(timeout_s: float) -> Iterator[Runner]:
    # Imported late: Feast takes seconds, and a wrong argument need not wait for it.
    from tests.mutants.world import write_world

    with tempfile.TemporaryDirectory(prefix="evenstore-mutants-") as name:
        folder = Path(name)
        for part in ("redis", "world", "source", "judges"):
            (folder / part).mkdir()
        # A server of its own, whatever the environment names.
        with embedded_redis(folder / "redis", environ={}) as server:
            repo, golden = write_world(folder / "world", server.url)
            copy = SourceCopy(folder / "source")
            copy.compile()
            yield Runner(copy, repo, golden, folder / "judges", timeout_s=timeout_s)


def _told(judged: Judged) -> str:
    verdict = judged.verdict
    by = ", ".join(sorted(catcher.value for catcher in verdict.caught_by))
    told = f"seen by {by}" if by else "NOT SEEN"
    if verdict.golden_stopped is not None:
        told = f"golden stopped with an error: {verdict.golden_stopped[:160]}"
    return told if judged.is_as_expected else f"{told}  NOT AS EXPECTED"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="judge mutants, a quarter of a minute each")
    run.add_argument("--only", action="append", metavar="NAME", help="this one; repeat for more")
    run.add_argument("--json", type=Path, metavar="PATH", help="keep the verdicts as JSON")
    run.add_argument(
        "--timeout-s",
        type=float,
        default=TIMEOUT_S,
        metavar="S",
        help="of each mutant; one that takes longer is red (%(default)s)",
    )
    commands.add_parser("list", help="list all mutants")
    commands.add_parser("page", help=f"write {_PAGE.name} from {_KEPT.name}")
    return parser
