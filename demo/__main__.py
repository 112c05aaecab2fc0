"""`python -m demo run | serve | stop`: what `make demo`, `make serve` and `make stop` call."""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from demo.commands import CommandError
from demo.gateway import find_gateway, start_gateway, stop_gateway, temporary_gateway
from demo.settings import DemoSettings, resolve_settings
from demo.walk import Walk
from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.redis_server import embedded_redis, running_redis, start_redis, stop_redis
from evenstore.redis_url import redact_url

__all__ = ["main"]

_FAILED = 1
_INTERRUPTED = 130
_SERVE_PORT = 6566


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
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with _only_one(settings.home):
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


def _run(settings: DemoSettings) -> int:
    _refuse_beside_serve(settings)
    started_s = time.monotonic()
    with ExitStack() as stack:
        walk = Walk(settings, _say)
        redis = stack.enter_context(embedded_redis(settings.home))
        _say(f"redis                               {redact_url(redis.url)}")
        _prepare(walk)
        with walk.step("gateway") as did:
            gateway = stack.enter_context(temporary_gateway(settings, walk.environment()))
            did.append(gateway.url)
        walk.look_up(gateway)
        walk.train()
        verdict = walk.check_parity(gateway)
        if settings.is_external:
            walk.tear_down()
    stopped = "the gateway is" if settings.is_external else "Redis and the gateway are"
    _say(f"done in {time.monotonic() - started_s:.0f} s: {stopped} stopped")
    _say(verdict)
    return 0


def _serve(settings: DemoSettings) -> int:
    walk = Walk(settings, _say)
    gateway = find_gateway(settings.home)
    if gateway is None:
        start_redis(settings.home, detached=True)
        try:
            _prepare(walk)
            with walk.step("gateway") as did:
                gateway = start_gateway(settings, walk.environment())
                did.append(gateway.url)
        except BaseException:
            _stop(settings)
            raise
    else:
        _say(f"the gateway is up already at {gateway.url}")
    walk.print_curl_commands(gateway)
    return 0


def _stop(settings: DemoSettings) -> int:
    stopped = [
        name
        for name, is_stopped in (
            ("the gateway", stop_gateway(settings.home)),
            ("Redis", stop_redis(settings.home)),
        )
        if is_stopped
    ]
    _say(f"stopped: {' and '.join(stopped)}" if stopped else "nothing to stop")
    return 0


_COMMANDS = {"run": _run, "serve": _serve, "stop": _stop}


def _prepare(walk: Walk) -> None:
    walk.clear()
    walk.take_shop_data()
    walk.copy_repo()
    walk.forget_rows()
    walk.apply()
    walk.materialize()


def _refuse_beside_serve(settings: DemoSettings) -> None:
    if find_gateway(settings.home) is not None or running_redis(settings.home, {}) is not None:
        msg = "`make serve` has left Redis and the gateway up"
        raise ConfigurationError(msg, hint="stop them first: make stop")


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / "demo.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            msg = f"another `make demo` or `make serve` is at work in `{home}`"
            raise ConfigurationError(msg, hint="wait for it, or stop it with Ctrl-C") from exc
        yield


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, flush=True)


def _default_port(command: str) -> int:
    return _SERVE_PORT if command == "serve" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--data", type=Path, help="the real Online Retail file, Parquet")
    parser.add_argument("--customers", type=int, default=2_000, help="to generate (%(default)s)")
    parser.add_argument("--lines", type=int, default=200_000, help="to generate (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of what is generated (%(default)s)")
    parser.add_argument("--port", type=int, help="the gateway's (serve: 6566; run: a free one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
