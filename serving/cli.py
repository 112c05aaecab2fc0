"""`evenstore-serve`: starts a gateway in front of a Feast repo's online store."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from evenstore.clock import clock_from_environment
from evenstore.errors import EvenstoreError
from evenstore.redis_server import default_home
from serving.guard.cli import main as keys_main
from serving.guard.key_file import read_records
from serving.listener import bind_socket
from serving.logs import configure_logging
from serving.settings import AccessLog, Compat, GatewaySettings, Limits, LogFormat

__all__ = ["main"]

_EXIT_FAILED = 1
_EXIT_INTERRUPTED = 130

_DESCRIPTION = """\
Serve a feature repo over HTTP: POST /get-online-features, /push, /write-to-online-store and
/materialize as Feast's feature server has them, /v1/feature-vectors and more as GET /docs lists,
/healthz, /readyz and /metrics. Redis is the one that feature_store.yaml names as online store.
Prints the base URL on standard output when it accepts requests; the log goes to standard error.
SIGTERM or Ctrl-C finishes the requests under way and exits 0.
`evenstore-serve keys` makes, shows and revokes API keys."""

_EXAMPLE = """\
examples:
  evenstore-serve --repo feature_repo --port 6566 --workers 2
  evenstore-serve --repo feature_repo --host 0.0.0.0 --api-keys keys.json
  curl -s http://127.0.0.1:6566/readyz"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["keys"]:
        return keys_main(words[1:])
    arguments = _parser().parse_args(words)
    configure_logging("supervisor", log_format=arguments.log_format)
    try:
        return _serve(_settings(arguments))
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED


def _serve(settings: GatewaySettings) -> int:
    # A wrong frozen time and a wrong file of keys are told here, not by each worker.
    clock_from_environment()
    if settings.api_keys_path is not None:
        read_records(Path(settings.api_keys_path))
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
        drain_s=arguments.drain_s,
        owner_pid=arguments.owner_pid,
        limits=Limits(
            max_body_bytes=arguments.max_body_bytes,
            max_entity_rows=arguments.max_entity_rows,
            max_features=arguments.max_features,
            max_values=arguments.max_values,
            max_head_bytes=arguments.max_head_bytes,
            max_receive_s=arguments.max_receive_s,
        ),
        writes=arguments.writes,
        lazy_writer=arguments.lazy_writer,
        writer_timeout_s=arguments.writer_timeout_s,
        materialize_timeout_s=arguments.materialize_timeout_s,
        # Its links stay: where they lead is looked up anew whenever the file is looked at.
        api_keys_path=None if arguments.api_keys is None else str(arguments.api_keys.absolute()),
        insecure_no_keys=arguments.insecure_no_keys,
        metrics_need_key=arguments.metrics_need_key,
        compat=arguments.compat,
        max_in_flight=arguments.max_in_flight,
        test_mode=arguments.test_mode,
        log_format=arguments.log_format,
        access_log=arguments.access_log,
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
    _add_routes(parser.add_argument_group("routes and answers"))
    _add_access(parser.add_argument_group("access and log"))
    _add_tuning(parser.add_argument_group("tuning"))
    return parser


def _add_routes(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--compat",
        choices=get_args(Compat),
        default="evenstore",
        help="strict: stock Feast's shape, order and error codes for /get-online-features; ttl and "
        "statuses stay true (%(default)s)",
    )
    group.add_argument(
        "--no-writes", dest="writes", action="store_false", help="serve no route that writes"
    )
    group.add_argument(
        "--lazy-writer",
        action="store_true",
        help="start the process that writes at the first write, which waits for it; one that only "
        "reads is spared its memory",
    )
    group.add_argument(
        "--test-mode", action="store_true", help="let requests name their own `as_of`"
    )


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--api-keys",
        type=Path,
        metavar="FILE",
        help="file of API keys, made by `evenstore-serve keys create`; followed without a restart",
    )
    group.add_argument(
        "--insecure-no-keys",
        action="store_true",
        help="serve an address that other machines reach without API keys",
    )
    group.add_argument(
        "--metrics-need-key",
        action="store_true",
        help="ask for a key with the scope `admin` at /metrics on a loopback address, too",
    )
    group.add_argument(
        "--log-format",
        choices=get_args(LogFormat),
        default="json",
        help="one JSON object per line, or plain text (%(default)s)",
    )
    group.add_argument(
        "--access-log",
        choices=get_args(AccessLog),
        default="off",
        help="a log line for every request, for one in a hundred, or none (%(default)s)",
    )


def _add_tuning(group: argparse._ArgumentGroup) -> None:
    limits = Limits()
    group.add_argument(
        "--redis-timeout-s", type=float, default=1.0, metavar="S", help="for Redis (%(default)s)"
    )
    group.add_argument(
        "--drain-s",
        type=int,
        default=10,
        metavar="S",
        help="longest wait for requests under way when stopping (%(default)s)",
    )
    group.add_argument(
        "--writer-timeout-s",
        type=float,
        default=30.0,
        metavar="S",
        help="for the process that writes (%(default)s)",
    )
    group.add_argument(
        "--materialize-timeout-s",
        type=float,
        default=3600.0,
        metavar="S",
        help="for the end of a materialization that a request waits for; it goes on (%(default)s)",
    )
    group.add_argument(
        "--max-receive-s",
        type=float,
        default=limits.max_receive_s,
        metavar="S",
        help="in which a whole request must have come (%(default)s)",
    )
    for name, number, what in (
        ("--max-in-flight", 1024, "requests under way in a worker, more get a 503"),
        ("--max-head-bytes", limits.max_head_bytes, "size of a request's headers"),
        ("--max-body-bytes", limits.max_body_bytes, "size of a request"),
        ("--max-entity-rows", limits.max_entity_rows, "entity rows of a request"),
        ("--max-features", limits.max_features, "length of a list of references"),
        ("--max-values", limits.max_values, "entity rows times features of a request"),
    ):
        group.add_argument(
            name, type=int, default=number, metavar="N", help=f"{what} (%(default)s)"
        )
