"""`evenstore-serve`: starts a gateway in front of a Feast repo's online store."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from evenstore.clock import clock_from_environment
from evenstore.errors import EvenstoreError
from evenstore.redis_server import default_home
from serving.listener import bind_socket
from serving.logs import configure_logging
from serving.settings import GatewaySettings, Limits

__all__ = ["main"]

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130

_DESCRIPTION = """\
Serve online lookups over HTTP: POST /get-online-features as Feast's feature server has it,
GET /healthz, /readyz and /docs. Redis is the one that feature_store.yaml names as online store.
Prints the base URL on standard output when it accepts requests; the log goes to standard error.
SIGTERM or Ctrl-C finishes the requests under way and exits 0."""

_EXAMPLE = """\
example:
  evenstore-serve --repo feature_repo --port 6566 --workers 2
  curl -s http://127.0.0.1:6566/readyz"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    configure_logging("supervisor")
    try:
        return _serve(_settings(arguments))
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED


def _serve(settings: GatewaySettings) -> int:
    clock_from_environment()  # A wrong frozen time is told here, not by each worker.
    with bind_socket(settings.host, settings.port) as listener:
        # Imported late: Feast takes seconds, and `--help` or a busy port need not wait for it.
        from serving.supervisor import Supervisor

        asyncio.run(Supervisor(settings, listener, _announce).run())
    return 0


def _announce(url: str) -> None:
    print(url, flush=True)


def _settings(arguments: argparse.Namespace) -> GatewaySettings:
    repo_path: Path = arguments.repo.resolve()
    return GatewaySettings(
        repo_path=repo_path,
        home=default_home(repo_path) if arguments.home is None else arguments.home,
        host=arguments.host,
        port=arguments.port,
        n_workers=arguments.workers,
        registry_poll_s=arguments.registry_poll_s,
        redis_timeout_s=arguments.redis_timeout_s,
        max_redis_connections=arguments.max_redis_connections,
        drain_s=arguments.drain_s,
        owner_pid=arguments.owner_pid,
        limits=Limits(
            max_body_bytes=arguments.max_body_bytes,
            max_entity_rows=arguments.max_entity_rows,
            max_features=arguments.max_features,
            max_values=arguments.max_values,
        ),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenstore-serve",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repo", type=Path, required=True, metavar="PATH", help="folder of the Feast repo"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=6566, help="port to listen on, 0 for a free one (%(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, help="worker processes (%(default)s)")
    parser.add_argument(
        "--registry-poll-s",
        type=float,
        default=2.0,
        metavar="S",
        help="how often the registry is looked at (%(default)s)",
    )
    parser.add_argument(
        "--home",
        type=Path,
        metavar="PATH",
        help="private folder for the compiled schema (.evenstore beside the repo)",
    )
    parser.add_argument(
        "--owner-pid", type=int, metavar="PID", help="stop when that process ends, however it ends"
    )
    _add_tuning(parser.add_argument_group("tuning"))
    return parser


def _add_tuning(group: argparse._ArgumentGroup) -> None:
    limits = Limits()
    group.add_argument(
        "--redis-timeout-s", type=float, default=1.0, metavar="S", help="for Redis (%(default)s)"
    )
    group.add_argument(
        "--max-redis-connections",
        type=int,
        default=64,
        metavar="N",
        help="per worker (%(default)s)",
    )
    group.add_argument(
        "--drain-s",
        type=int,
        default=10,
        metavar="S",
        help="longest wait for requests under way when stopping (%(default)s)",
    )
    for name, number, what in (
        ("--max-body-bytes", limits.max_body_bytes, "size of a request"),
        ("--max-entity-rows", limits.max_entity_rows, "entity rows of a request"),
        ("--max-features", limits.max_features, "length of a list of references"),
        ("--max-values", limits.max_values, "entity rows times features of a request"),
    ):
        group.add_argument(
            name, type=int, default=number, metavar="N", help=f"{what} (%(default)s)"
        )
