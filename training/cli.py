"""`evenstore-train`: training datasets and models on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from evenstore.errors import EvenstoreError
from evenstore.processes import interrupt_on_termination
from evenstore.progress import Progress, open_progress
from evenstore.semantics import Knowledge
from training.dataset import TrainingDataset
from training.options import FitOptions, ModelKind
from training.summary import render_dataset, render_record

__all__ = ["main"]

_US_PER_DAY = 86_400_000_000
_INTERRUPTED = 130
_MOST_DAYS = 36_500
_SEED_BOUND = 2**32

_SOURCE_OPTIONS = (
    "repo",
    "feature_service",
    "entity_rows",
    "label",
    "knowledge",
    "event_timestamp",
    "label_timestamp",
)
_OPTIONAL = ("--event-timestamp", "--label-timestamp")

_Parser: TypeAlias = argparse.ArgumentParser

_DESCRIPTION = """\
Make training datasets by point-in-time join, and fit models on them.

Results go to stdout, progress and errors to stderr.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; after a failure nothing is written.
"""

_DATASET_HELP = """\
Join entity rows (a Parquet file with join keys, a zoned event timestamp and a label) with the
features of a feature service, each as of its row's event timestamp.

example:
  evenstore-train dataset --repo feature_repo --feature-service checkout_v1 \\
    --entity-rows entity_rows.parquet --label buys_again_60d \\
    --label-timestamp label_timestamp --knowledge as_known --out dataset.parquet
"""

_FIT_HELP = """\
Split a training dataset by time, fit a scikit-learn pipeline on the past, measure it on the rest
beside baselines, and write the model with its record into a folder.

examples:
  evenstore-train fit --dataset dataset.parquet --out model \\
    --baseline-feature customer_activity__recency_days

  evenstore-train fit --repo feature_repo --feature-service checkout_v1 \\
    --entity-rows entity_rows.parquet --label buys_again_60d \\
    --label-timestamp label_timestamp --knowledge as_known --out model --json
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "fit":
        _check_source(parser, arguments)
    interrupt_on_termination()
    try:
        print(_fit(arguments) if arguments.command == "fit" else _dataset(arguments))
    except EvenstoreError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: no partial file or folder is left", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _dataset(arguments: argparse.Namespace) -> str:
    with open_progress("training dataset", total=3, unit="steps") as progress:
        dataset = _build(arguments, progress)
        dataset.to_parquet(arguments.out)
        progress.advance()
    if arguments.json:
        return dataset.manifest.to_json()
    return f"{render_dataset(dataset)}\nwritten to:      {arguments.out}"


def _fit(arguments: argparse.Namespace) -> str:
    # scikit-learn takes a second to import: neither --help nor `dataset` needs it.
    from training.artefact import save_artefact
    from training.fit import fit_model

    options = FitOptions(
        test_share=arguments.test_share,
        purge_us=round(arguments.purge_days * _US_PER_DAY),
        baseline_feature=arguments.baseline_feature,
        kind=ModelKind(arguments.model),
        seed=arguments.seed,
    )
    n_steps = 3 if arguments.dataset else 5
    with open_progress("model", total=n_steps, unit="steps") as progress:
        if arguments.dataset:
            dataset = TrainingDataset.from_parquet(arguments.dataset)
        else:
            dataset = _build(arguments, progress)
        fit = fit_model(dataset, options, progress=progress)
        save_artefact(fit, arguments.out)
        progress.advance()
    if arguments.json:
        return json.dumps(fit.record.to_document(), indent=1, sort_keys=True)
    return f"{render_record(fit.record)}\n\nwritten to {arguments.out}"


def _build(arguments: argparse.Namespace, progress: Progress) -> TrainingDataset:
    return TrainingDataset.build(
        arguments.feature_service,
        arguments.entity_rows,
        repo=arguments.repo,
        knowledge=Knowledge(arguments.knowledge),
        label=arguments.label,
        event_timestamp_column=arguments.event_timestamp or "event_timestamp",
        label_timestamp_column=arguments.label_timestamp,
        progress=progress,
    )


def _check_source(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    given = [name for name in _SOURCE_OPTIONS if getattr(arguments, name) is not None]
    if arguments.dataset is not None:
        if given:
            parser.error(f"--dataset already says {_option(given[0])}: give one of them")
        return
    absent = [_option(name) for name in _SOURCE_OPTIONS if name not in given]
    required = [option for option in absent if option not in _OPTIONAL]
    if required:
        parser.error("give --dataset, or also " + ", ".join(required))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenstore-train",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dataset = _command(commands, "dataset", "make a training dataset", _DATASET_HELP)
    _add_source(dataset, is_required=True)
    dataset.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    fit = _command(commands, "fit", "fit and measure a model", _FIT_HELP)
    fit.add_argument("--dataset", type=Path, help="file that `evenstore-train dataset` wrote")
    _add_source(fit, is_required=False)
    _add_fit_options(fit)
    for command in (dataset, fit):
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _command(commands: Any, name: str, summary: str, description: str) -> _Parser:
    command: _Parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return command


def _add_source(command: _Parser, *, is_required: bool) -> None:
    group = command.add_argument_group("from entity rows")
    group.add_argument("--repo", type=Path, required=is_required, help="folder of the feature repo")
    group.add_argument("--feature-service", required=is_required, help="its name in the registry")
    group.add_argument(
        "--entity-rows", type=Path, required=is_required, help="Parquet file of entity rows"
    )
    group.add_argument("--label", required=is_required, help="column to predict")
    group.add_argument(
        "--knowledge",
        choices=[mode.value for mode in Knowledge],
        required=is_required,
        help="as_known: what could be known at each row's instant; "
        "latest_truth: what is known now, corrections and backfills included",
    )
    group.add_argument(
        "--event-timestamp", metavar="COLUMN", help="as-of instant (default: event_timestamp)"
    )
    group.add_argument(
        "--label-timestamp",
        metavar="COLUMN",
        help="when each label was known; checked to lie after the as-of instant",
    )


def _add_fit_options(command: _Parser) -> None:
    defaults = FitOptions()
    group = command.add_argument_group("fit")
    group.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    group.add_argument(
        "--test-share",
        type=float,
        default=defaults.test_share,
        help="share of rows, the latest, to test on (default: %(default)s)",
    )
    group.add_argument(
        "--purge-days",
        type=_days,
        default=defaults.purge_us / _US_PER_DAY,
        help="least length of a label's window; rows whose window reaches into the test period "
        "are left out (default: %(default)g)",
    )
    group.add_argument(
        "--baseline-feature",
        metavar="VIEW__FEATURE",
        help="also compare with a logistic regression on this feature alone",
    )
    group.add_argument(
        "--model",
        choices=[kind.value for kind in ModelKind],
        default=defaults.kind.value,
        help="classifier (default: %(default)s)",
    )
    group.add_argument("--seed", type=_seed, default=defaults.seed, help="default: %(default)s")


def _days(text: str) -> float:
    days = float(text)
    if not 0.0 <= days <= _MOST_DAYS:
        msg = f"not a number of days from 0 to {_MOST_DAYS:,}: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return days


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < _SEED_BOUND:
        msg = f"not a whole number from 0 to {_SEED_BOUND - 1:,}: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return seed
