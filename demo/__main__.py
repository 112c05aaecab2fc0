"""`python -m demo run | serve | stop | clean`: what the Makefile's targets call."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from demo.commands import CommandError
from demo.gateway import find_gateway, start_gateway, stop_gateway, temporary_gateway
from demo.home import claim_home, clear_home, remove_home
from demo.models import MODELS
from demo.rows import forget_rows
from demo.settings import DemoSettings, resolve_settings
from demo.shop.reader import read_shop_data
from demo.shop.span import check_span
from demo.steps import Steps
from demo.walk import Walk
from evenstore.clock import SystemClock
from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.processes import interrupt_on_termination
from evenstore.redis_server import (
    RedisServer,
    embedded_redis,
    running_redis,
    start_redis,
    stop_redis,
)
from evenstore.redis_url import redact_url

__all__ = ["main"]

_FAILED = 1
_INTERRUPTED = 130
_SERVE_PORT = 6566
_ALL_STOPPED = "Redis and the gateway are stopped"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    settings = resolve_settings(
        arguments.data,
        n_customers=arguments.customers,
        n_lines=arguments.lines,
        seed=arguments.seed,
        port=arguments.port if arguments.port is not None else _default_port(arguments.command),
    )
    interrupt_on_termination()
    try:
        with claim_home(settings.home):
            return _COMMANDS[arguments.command](settings)
    except CommandError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return exc.exit_code
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("\ninterrupted: everything that was started is stopped", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _run(settings: DemoSettings) -> int:
    _refuse_beside_serve(settings)
    started_s = time.monotonic()
    walk = Walk(settings, Steps(_say))
    data = _read_data(settings)
    with ExitStack() as stack:
        redis = stack.enter_context(embedded_redis(settings.home))
        _say(f"redis                               {redact_url(redis.url)}")
        _prepare(walk, data, redis, stack)
        with walk.steps.step("gateway") as did:
            gateway = stack.enter_context(temporary_gateway(settings, walk.environment()))
            did.append(gateway.url)
        walk.look_up(gateway)
        models = walk.models()
        models.train(MODELS)
        verdict = models.compare(MODELS, gateway, walk.parity_check(gateway))
    stopped = "the gateway is stopped, no key is left" if settings.is_external else _ALL_STOPPED
    _say(f"done in {time.monotonic() - started_s:.0f} s: {stopped}")
    _say(verdict)
    return 0


def _serve(settings: DemoSettings) -> int:
    walk = Walk(settings, Steps(_say))
    gateway = find_gateway(settings.home)
    if gateway is None:
        data = _read_data(settings)
        # Bound to this process until all is ready, so that a crash leaves nothing up.
        with ExitStack() as stack, embedded_redis(settings.home) as redis:
            _prepare(walk, data, redis, stack)
            stack.pop_all()
        start_redis(settings.home, detached=True)
        try:
            with walk.steps.step("gateway") as did:
                gateway = start_gateway(settings, walk.environment(), detached=True)
                did.append(gateway.url)
        except BaseException:
            _stop(settings)
            raise
    elif settings.data is not None or not gateway.url.endswith(f":{settings.port}"):
        msg = f"the gateway is up already, at {gateway.url}"
        raise ConfigurationError(msg, hint="stop it first: make stop")
    else:
        _say(f"the gateway is up already at {gateway.url}")
    walk.print_curl_commands(gateway)
    return 0


def _stop(settings: DemoSettings) -> int:
    stopped = ["the gateway"] if stop_gateway(settings.home) else []
    if stopped and settings.is_external:
        forget_rows(settings, os.environ["EVENSTORE_REDIS_URL"])
    if stop_redis(settings.home):
        stopped.append("Redis")
    _say(f"stopped: {' and '.join(stopped)}" if stopped else "nothing to stop")
    return 0


def _clean(settings: DemoSettings) -> int:
    _stop(settings)
    remove_home(settings.home)
    return 0


_COMMANDS = {"run": _run, "serve": _serve, "stop": _stop, "clean": _clean}


def _prepare(walk: Walk, data: pa.Table | None, redis: RedisServer, stack: ExitStack) -> None:
    settings = walk.settings
    clear_home(settings.home)
    walk.take_shop_data(data)
    walk.copy_repo()
    forget_rows(settings, redis.url)
    if settings.is_external:  # It is not stopped, so what was written must go.
        stack.callback(forget_rows, settings, redis.url)
    walk.apply()
    walk.materialize()


def _read_data(settings: DemoSettings) -> pa.Table | None:
    """Read the real file to its end before anything of an earlier run is removed."""
    if settings.data is None:
        return None
    lines = read_shop_data(settings.data)
    check_span(settings.data, lines, SystemClock())
    return lines


def _refuse_beside_serve(settings: DemoSettings) -> None:
    if find_gateway(settings.home) is not None or running_redis(settings.home, {}) is not None:
        msg = (
            f"a gateway or Redis of `{settings.home}` is up, from `make serve` or `evenstore redis`"
        )
        raise ConfigurationError(msg, hint="stop them first: make stop")


def _say(line: str) -> None:
    print(line, flush=True)


def _default_port(command: str) -> int:
    return _SERVE_PORT if command == "serve" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--data", type=Path, help="Online Retail: Parquet, CSV or XLSX")
    parser.add_argument(
        "--customers",
        type=int,
        default=2_000,
        help="to generate (%(default)s); the models need 300",
    )
    parser.add_argument("--lines", type=int, default=200_000, help="to generate (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of what is generated (%(default)s)")
    parser.add_argument("--port", type=int, help="the gateway's (serve: 6566; run: a free one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
