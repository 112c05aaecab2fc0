"""`python -m demo.duel`: what `make duel` calls."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from demo.commands import CommandError
from demo.duel.results import DuelResult, save_result
from demo.duel.shop import MODELS, make_shop
from demo.duel.side import EVENSTORE, STOCK, make_side
from demo.duel.tables import format_incident, format_summary
from demo.duel.week import Week
from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.processes import interrupt_on_termination
from evenstore.redis_server import embedded_redis

__all__ = ["main", "run_duel"]

_FAILED = 1
_INTERRUPTED = 130
_ROOT = Path(__file__).resolve().parent.parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the duel; returns the exit code."""
    arguments = _parser().parse_args(argv)
    interrupt_on_termination()
    try:
        with ExitStack() as stack:
            home = _home(arguments.keep, stack)
            started_s = time.monotonic()
            result = run_duel(
                home,
                n_customers=arguments.customers,
                n_lines=arguments.lines,
                seed=arguments.seed,
            )
        if arguments.json is not None:
            save_result(result, arguments.json)
        _print(result)
        print(f"done in {time.monotonic() - started_s:.0f} s")
    except CommandError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("\ninterrupted: everything that was started is stopped", file=sys.stderr)
        return _INTERRUPTED
    return 0


def run_duel(home: Path, *, n_customers: int, n_lines: int, seed: int) -> DuelResult:
    """Let both sides live through the week.

    Args:
        home: An empty folder.
        n_customers: Of the shop; the models need 300.
        n_lines: Invoice lines of the shop.
        seed: Of the shop.

    Raises:
        CommandError: A command failed.
        ConfigurationError: The shop is too small, or there is no redis-server.
    """
    definitions = _ROOT / "feature_repo"
    # A server of the duel's own, whatever the environment names: it is filled and thrown away.
    with embedded_redis(home, environ={}) as redis:
        print(f"{n_lines:,} invoice lines of {n_customers:,} customers, features of every day")
        shop = make_shop(home, definitions, n_customers=n_customers, n_lines=n_lines, seed=seed)
        stock, ours = (
            make_side(
                name,
                home=home,
                definitions=definitions,
                redis_url=redis.url,
                features=shop.files.published,
            )
            for name in (STOCK, EVENSTORE)
        )
        incidents = tuple(Week(shop, (stock, ours), _say).live())
    thresholds = {model.service: model.threshold for model in MODELS}
    return DuelResult(shop.n_customers, n_lines, seed, thresholds, incidents)


def _print(result: DuelResult) -> None:
    for incident in result.incidents:
        print()
        for line in format_incident(incident):
            print(line)
    print()
    for line in format_summary(result):
        print(line)
    print()


def _home(keep: Path | None, stack: ExitStack) -> Path:
    if keep is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evenstore-duel-")))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        msg = f"`{keep}` is not an empty folder"
        raise ConfigurationError(msg, hint="name a new one")
    keep.mkdir(parents=True, exist_ok=True)
    return keep.resolve()


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.duel", description=__doc__)
    parser.add_argument(
        "--customers", type=int, default=600, help="of the shop (%(default)s); the models need 300"
    )
    parser.add_argument("--lines", type=int, default=40_000, help="invoice lines (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the shop (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep everything in a new folder")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
