"""The command line of `python -m benchmarks`: options, defaults and what `--help` says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.names import find_named, split_names

__all__ = ["parse_arguments"]


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `cases` and `contenders` come looked up.

    Raises:
        ConfigurationError: There is no such case or contender.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(
            "Point-in-time joins, materialization and lookups of stock Feast and evenstore on the"
            " same data."
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_offline(commands)
    _add_online(commands)
    _add_serving(commands)
    _add_report(commands)
    _add_data(commands)
    _add_one_process(commands)
    _add_online_step(commands)
    _add_serving_writer(commands)
    _add_parity(commands)
    _add_parity_step(commands)
    arguments = parser.parse_args(argv)
    _look_up(arguments)
    return arguments


def _add_offline(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    offline = commands.add_parser(
        "offline",
        help="compare, check and time",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Make the data, check that all contenders give the same answer, then time them in\n"
            "turns, each in a process of its own. Markdown goes to stdout, progress to stderr."
        ),
        epilog=f"cases:\n{_case_lines()}\n\ncontenders:\n{_contender_lines()}\n\n{_EXAMPLES}",
    )
    _add_data_options(offline)
    _add_run_options(offline, repeats=5, time_limit_s=300)


def _add_online(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from benchmarks.online.options import online_epilog

    online = commands.add_parser(
        "online",
        help="materialization, Redis memory and lookups",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Materialize the same data with stock Feast and evenstore in turns, each in processes\n"
            "and with a Redis of its own; check a sample of the answers; time lookups."
        ),
        epilog=online_epilog(),
    )
    online.add_argument("--cases", metavar="A,B", help="by comma (default: all)")
    _add_scale_options(online)
    _add_run_options(online, repeats=3, time_limit_s=900)


def _add_serving(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from benchmarks.serving.options import add_serving_options, serving_epilog

    serving = commands.add_parser(
        "serving",
        help="lookups over HTTP",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Start stock `feast serve` and evenstore's gateway on the same Redis, compare their\n"
            "answers, then load them in turns: closed loop, open loop, start-up and memory."
        ),
        epilog=serving_epilog(),
    )
    add_serving_options(serving)
    _add_scale_options(serving)
    _add_run_options(serving, repeats=3, time_limit_s=900)


def _add_serving_writer(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from benchmarks.serving.options import add_writer_options

    summary = "write rows beside lookups until standard input ends"
    add_writer_options(commands.add_parser("serving-writer", help=summary, description=summary))


def _add_online_step(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from benchmarks.online.options import add_online_step_options

    summary = "one step of the online benchmark in this process, as a line of JSON"
    add_online_step_options(commands.add_parser("online-step", help=summary, description=summary))


def _add_parity(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from benchmarks.parity.options import parity_epilog

    parity = commands.add_parser(
        "parity",
        help="how fast parity is",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Load rows, then compare both stores: full, live and golden.",
        epilog=parity_epilog(),
    )
    parity.add_argument("--cases", metavar="A,B", help="by comma (default: all)")
    _add_scale_options(parity)
    _add_run_options(parity, repeats=3, time_limit_s=900)


def _add_parity_step(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from benchmarks.parity.options import add_parity_step_options

    summary = "one comparison of the parity benchmark in this process, as a line of JSON"
    add_parity_step_options(commands.add_parser("parity-step", help=summary, description=summary))


def _add_run_options(parser: argparse.ArgumentParser, *, repeats: int, time_limit_s: float) -> None:
    parser.add_argument("--cache", type=Path, help="keep the data here (default: a temp folder)")
    parser.add_argument("--contenders", metavar="A,B", help="by comma (default: all)")
    parser.add_argument(
        "--repeats", type=_positive_int, default=repeats, help="rounds (default %(default)s)"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=time_limit_s,
        metavar="S",
        help="seconds a process may take (default %(default)s)",
    )
    parser.add_argument(
        "--memory-guard",
        type=float,
        default=14,
        metavar="GB",
        help="resident memory at which a process is killed (default %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all samples as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = commands.add_parser("report", help="render the Markdown of an earlier run")
    report.add_argument("results", type=Path, help="what --out wrote")
    report.add_argument("--json", action="store_true", help="print JSON instead of Markdown")


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    data = commands.add_parser("data", help="make the data only, and print the folders")
    _add_data_options(data)
    data.add_argument("--cache", type=Path, required=True, help="where to")


def _add_one_process(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, summary in (
        ("prepare", "let one contender prepare (Feast's apply, an index)"),
        ("measure", "one measurement in this process, as a line of JSON"),
    ):
        one = commands.add_parser(name, help=summary, description=summary)
        one.add_argument(
            "--folder", type=Path, required=True, help="a data set, as `data` printed it"
        )
        one.add_argument("--contender", required=True, help="its name, see offline --help")
        if name == "measure":
            one.add_argument("--calls", type=_positive_int, help="timed calls; gives their median")
            one.add_argument("--save", type=Path, help="write the answer as Parquet")
            one.add_argument("--started-ns", type=int, help=argparse.SUPPRESS)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cases", metavar="A,B", help="by comma (default: all but BIG10 and BIG100)"
    )
    _add_scale_options(parser)


def _add_scale_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        type=_positive_float,
        default=1.0,
        help="multiplies every count (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=7, help="of the data (default %(default)s)")


def _look_up(arguments: argparse.Namespace) -> None:
    # The processes that are measured name one contender and need neither list.
    if arguments.command in {"offline", "data"}:
        from benchmarks.cases import CASES, DEFAULT_CASES

        named = split_names(arguments.cases) or DEFAULT_CASES
        arguments.cases = find_named(named, CASES, "case")
    if arguments.command == "online":
        from benchmarks.online import cases, contenders

        named = split_names(arguments.cases) or tuple(cases.CASES)
        arguments.cases = find_named(named, cases.CASES, "case")
        arguments.contenders = contenders.find_online_contenders(
            split_names(arguments.contenders) or contenders.ONLINE_CONTENDERS
        )
    if arguments.command == "serving":
        from benchmarks.serving.options import look_up_serving

        look_up_serving(arguments)
    if arguments.command == "parity":
        from benchmarks.parity import cases as parity_cases

        known = parity_cases.CASES
        arguments.cases = find_named(split_names(arguments.cases) or known, known, "case")
    if arguments.command == "offline":
        from benchmarks.contenders.contender import CONTENDERS, find_contenders

        arguments.contenders = find_contenders(split_names(arguments.contenders) or CONTENDERS)


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        msg = f"{text!r} is not positive"
        raise argparse.ArgumentTypeError(msg)
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if value <= 0:
        msg = f"{text!r} is not positive"
        raise argparse.ArgumentTypeError(msg)
    return value


def _case_lines() -> str:
    from benchmarks.cases import CASES

    return "\n".join(f"  {case.name:<16} {case.summary}" for case in CASES.values())


def _contender_lines() -> str:
    from benchmarks.contenders.contender import CONTENDERS

    return "\n".join(f"  {one.name:<16} {one.summary}" for one in CONTENDERS.values())


_EXAMPLES = """examples:
  python -m benchmarks offline --cases S --cache /tmp/bench
  python -m benchmarks offline --cases S,L,W,H,H0 --cache /tmp/bench --out offline.json
  python -m benchmarks offline --scale 0.01

BIG100 needs 12 GB of disk; leave the in-memory contenders to the smaller cases."""
