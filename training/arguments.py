"""The command line of `evenstore-train`: its commands, options and help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from evenstore.client.base_url import base_url
from evenstore.semantics import Knowledge
from training.argument_types import days, folds, instant, positive, seed, share
from training.options import FitOptions, ModelKind

__all__ = ["parse_arguments"]

_US_PER_DAY = 86_400_000_000

_Parser: TypeAlias = argparse.ArgumentParser

_SOURCE_OPTIONS = {
    "repo": True,
    "feature_service": True,
    "entity_rows": True,
    "label": True,
    "knowledge": True,
    "event_timestamp": False,
    "label_timestamp": False,
}
"""The options of a join, and whether it needs them."""

_DESCRIPTION = """\
Make training datasets by point-in-time join, fit and measure models on them, score with them, and
prove that an application gets the same scores.

Results go to stdout, progress and errors to stderr.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 what was compared differs (agree, verify), 130
interrupted; after a failure nothing is written.
"""

_DATASET_HELP = """\
Join entity rows (a Parquet file with join keys, a zoned event timestamp and, to learn from, a
label) with the features of a feature service, each as of its row's event timestamp.

The file's footer holds the manifest: what the dataset was made from, down to the hash of every
source file. The same inputs and versions give the same bytes.

example:
  evenstore-train dataset --repo feature_repo --feature-service churn_v1 \\
    --entity-rows entity_rows.parquet --label buys_within_60d \\
    --label-timestamp label_timestamp --knowledge as_known --out dataset.parquet
"""

_VERIFY_HELP = """\
Say what changed since a dataset was built: source files, schemas, registry, versions of the
libraries, entity rows, and the values of the dataset's own file.

With --rebuild the join runs again and its values decide: equal ones prove the dataset, whatever
else changed.

exit codes:
  0  nothing changed, or with --rebuild: the values are equal
  1  could not compare
  2  wrong usage
  3  something changed, or with --rebuild: the values differ

examples:
  evenstore-train verify dataset.parquet --repo feature_repo

  evenstore-train verify manifest.json --repo feature_repo --entity-rows entity_rows.parquet \\
    --rebuild
"""

_FIT_HELP = """\
Split a training dataset by time, fit a scikit-learn pipeline on the past, measure it on the rest
beside baselines, and write the model with its record into a folder.

With --folds N the test period is cut into N windows of equal duration. Each is predicted by a model
of its own, fitted on all rows before the window whose label was known when it begins. The model of
the last window is the one that is written.

examples:
  evenstore-train fit --dataset dataset.parquet --out model \\
    --baseline-feature customer_activity__days_since_last_order

  evenstore-train fit --repo feature_repo --feature-service churn_v1 \\
    --entity-rows entity_rows.parquet --label buys_within_60d \\
    --label-timestamp label_timestamp --knowledge as_known --compare-knowledge \\
    --folds 4 --test-share 0.4 --segment customer_profile__country \\
    --out model --report report
"""

_SCORE_HELP = """\
Score entity rows in a batch: join the model's features as of one instant, score each row, and write
the rows with `score`, `as_of` and `n_missing` (features without a value).

Features are joined as known now (latest_truth): a scorer that runs now knows what is known now, and
the gateway would serve the same. Scores for past instants therefore know later corrections; measure
models with `fit`, not with these.

example:
  evenstore-train score --model model --repo feature_repo --entity-rows customers.parquet \\
    --out scores.parquet
"""

_AGREE_HELP = """\
Prove that an application gets the scores that the offline store would give: fetch each row's
feature vector from the gateway and score it, join the same row as of the instant that the gateway
stated and score that, and compare both scores and their inputs bit by bit. Inputs are compared as
the stores hold them, with their statuses: NaN is not null, -0.0 is not 0.0. An expired row may be
gone online (NOT_FOUND for OUTSIDE_MAX_AGE). Writes to neither store.

exit codes:
  0  all scores and inputs are equal
  1  could not compare: gateway down, another schema, unreadable source
  2  wrong usage
  3  a score or an input differs, or too few inputs have a value (--min-coverage)

example:
  evenstore-train agree --model model --repo feature_repo --gateway http://127.0.0.1:6566 \\
    --entity-rows customers.parquet
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, or end the process with a usage message."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "dataset":
        _check_dataset(parser, arguments)
    if arguments.command == "fit":
        _check_source(parser, arguments)
        _check_report(parser, arguments)
    if arguments.command == "score" and arguments.out.resolve() == arguments.entity_rows.resolve():
        parser.error("--out would replace the file of --entity-rows: name another one")
    return arguments


def _check_dataset(parser: _Parser, arguments: argparse.Namespace) -> None:
    if arguments.label_timestamp is not None and arguments.label is None:
        parser.error("--label-timestamp is the time of a label: give also --label")
    files = [arguments.entity_rows, arguments.out, arguments.manifest]
    resolved = [path.resolve() for path in files if path is not None]
    if len(set(resolved)) < len(resolved):
        parser.error("--entity-rows, --out and --manifest must be different files")


def _check_source(parser: _Parser, arguments: argparse.Namespace) -> None:
    given = [name for name in _SOURCE_OPTIONS if getattr(arguments, name) is not None]
    if arguments.dataset is not None:
        options = [_option(name) for name in given]
        options += ["--compare-knowledge"] * arguments.compare_knowledge
        if options:
            parser.error(
                f"--dataset is a finished join: leave out {', '.join(options)} to fit from that "
                "file, or leave out --dataset to join entity rows now"
            )
        return
    needed = [name for name, is_needed in _SOURCE_OPTIONS.items() if is_needed]
    missing = [_option(name) for name in needed if name not in given]
    if len(missing) == len(needed):
        parser.error(
            "nothing to fit: give --dataset FILE (made by `evenstore-train dataset`), or join "
            f"entity rows now with {', '.join(missing)}"
        )
    if missing:
        parser.error(f"to join entity rows, give also {', '.join(missing)}")


def _check_report(parser: _Parser, arguments: argparse.Namespace) -> None:
    if arguments.report is None:
        if arguments.note:
            parser.error("--note goes into a report: give also --report DIR")
        return
    out, report = arguments.out.resolve(), arguments.report.resolve()
    if out == report or out in report.parents or report in out.parents:
        parser.error("--out and --report must be two folders, neither within the other")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parser() -> _Parser:
    parser = argparse.ArgumentParser(
        prog="evenstore-train",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dataset = _command(commands, "dataset", "make a training dataset", _DATASET_HELP)
    _add_source(dataset, is_required=True)
    dataset.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    dataset.add_argument(
        "--manifest", type=Path, metavar="PATH", help="write the manifest as a JSON file too"
    )
    verify = _command(commands, "verify", "say what changed since a dataset", _VERIFY_HELP)
    _add_verify_options(verify)
    fit = _command(commands, "fit", "fit and measure a model", _FIT_HELP)
    fit.add_argument("--dataset", type=Path, help="file that `evenstore-train dataset` wrote")
    _add_source(fit, is_required=False)
    _add_fit_options(fit)
    _add_output(fit)
    score = _command(commands, "score", "score entity rows in a batch", _SCORE_HELP)
    _add_score_options(score)
    for command in (dataset, verify, fit, score):
        command.add_argument("--json", action="store_true", help="print the result as JSON")
    agree = _command(commands, "agree", "compare online with offline scores", _AGREE_HELP)
    _add_agree_options(agree)
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
    group.add_argument("--label", help="column to predict" + " (default: none)" * is_required)
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
    if not is_required:
        group.add_argument(
            "--compare-knowledge",
            action="store_true",
            help="join also in the other knowledge mode and tell how many values differ",
        )


def _add_verify_options(command: _Parser) -> None:
    command.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        help="file that `evenstore-train dataset` wrote, or its manifest (.json)",
    )
    command.add_argument("--repo", type=Path, required=True, help="folder of the feature repo")
    command.add_argument(
        "--entity-rows",
        type=Path,
        metavar="FILE",
        help="Parquet file of entity rows to compare (default: those in DATASET)",
    )
    command.add_argument(
        "--rebuild", action="store_true", help="join again, and compare the values"
    )


def _add_fit_options(command: _Parser) -> None:
    defaults = FitOptions()
    group = command.add_argument_group("fit")
    group.add_argument(
        "--test-share",
        type=float,
        default=defaults.test_share,
        help="share of rows, the latest, to test on (default: %(default)s)",
    )
    group.add_argument(
        "--folds",
        type=folds,
        metavar="N",
        default=defaults.n_folds,
        help="consecutive test windows to cut the test period into (default: %(default)s)",
    )
    group.add_argument(
        "--purge-days",
        type=days,
        default=defaults.purge_us / _US_PER_DAY,
        help="least length of a label's window; rows whose window reaches into the test period "
        "are left out (default: %(default)g)",
    )
    group.add_argument(
        "--baseline-feature",
        metavar="VIEW__FEATURE",
        action="append",
        default=[],
        help="compare also with one logistic regression on this feature, or on these features; "
        "repeatable",
    )
    group.add_argument(
        "--segment",
        metavar="VIEW__FEATURE",
        action="append",
        default=[],
        help="measure also by the values of this string feature; repeatable",
    )
    group.add_argument(
        "--model",
        choices=[kind.value for kind in ModelKind],
        default=defaults.kind.value,
        help="classifier (default: %(default)s)",
    )
    group.add_argument("--seed", type=seed, default=defaults.seed, help="default: %(default)s")


def _add_output(command: _Parser) -> None:
    group = command.add_argument_group("output")
    group.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    group.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="also write a report: report.md, report.json and figures",
    )
    group.add_argument(
        "--note",
        metavar="TEXT",
        action="append",
        default=[],
        help="a caveat for the report, such as what the data does not hold; repeatable",
    )


def _add_model(command: _Parser) -> None:
    command.add_argument(
        "--model", type=Path, required=True, help="folder that `evenstore-train fit` wrote"
    )
    command.add_argument("--repo", type=Path, required=True, help="folder of the feature repo")
    command.add_argument(
        "--entity-rows",
        type=Path,
        required=True,
        help="Parquet file with the join keys and request columns of the model's feature service",
    )


def _add_score_options(command: _Parser) -> None:
    _add_model(command)
    command.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    instants = command.add_mutually_exclusive_group()
    instants.add_argument(
        "--as-of",
        type=instant,
        metavar="INSTANT",
        help="instant of every row, such as 2011-12-09T12:00:00Z (default: now)",
    )
    instants.add_argument(
        "--event-timestamp", metavar="COLUMN", help="column with the instant of each row"
    )


def _add_agree_options(command: _Parser) -> None:
    _add_model(command)
    command.add_argument(
        "--gateway",
        type=base_url,
        required=True,
        metavar="URL",
        help="base URL of the running gateway, such as http://127.0.0.1:6566",
    )
    command.add_argument(
        "--batch-rows",
        type=positive,
        default=100,
        metavar="N",
        help="entity rows per request to the gateway (default: %(default)s)",
    )
    command.add_argument(
        "--min-coverage",
        type=share,
        default=0.1,
        metavar="X",
        help="least share of inputs, 0 to 1, that must not be null on both sides "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--json", metavar="PATH", help="write the whole result as JSON; - for standard output"
    )
