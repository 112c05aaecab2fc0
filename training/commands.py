"""What the commands of `evenstore-train` do, from parsed arguments to what is printed.

Heavy libraries are imported by the command that needs them: Feast and scikit-learn take seconds,
and neither `--help` nor a wrong argument waits for them.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenstore.clock import clock_from_environment
from evenstore.errors import ConfigurationError
from evenstore.progress import open_progress
from evenstore.semantics import Knowledge
from evenstore.whole_file import whole_file
from training.dataset import TrainingDataset
from training.options import FitOptions, ModelKind
from training.summary import render_dataset, render_record, render_verification
from training.threads import wait_without_spinning

__all__ = ["COMMANDS", "Outcome"]

_US_PER_DAY = 86_400_000_000
_DIFFERS = 3
_STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        text: For standard output.
        message: For standard error, where standard output belongs to a machine.
        exit_code: 0, or 3 where a comparison found a difference.
    """

    text: str
    message: str | None = None
    exit_code: int = 0


def _dataset(arguments: argparse.Namespace) -> Outcome:
    dataset = _build(arguments)
    with ExitStack() as published:
        # Begun before the dataset: a place that cannot be written costs no earlier dataset.
        target = arguments.manifest
        manifest = None if target is None else published.enter_context(whole_file(target))
        with open_progress("training dataset", total=dataset.n_rows, unit="rows") as progress:
            dataset.to_parquet(arguments.out, progress=progress)
        if manifest is not None:
            manifest.write_text(dataset.manifest.to_json() + "\n", encoding="utf-8")
    if arguments.json:
        return Outcome(dataset.manifest.to_json())
    return Outcome(f"{render_dataset(dataset)}\nwritten to:      {arguments.out}")


def _verify(arguments: argparse.Namespace) -> Outcome:
    from training.verification import verify_file

    with open_progress("join", unit="rows") as progress:
        verification = verify_file(
            arguments.dataset,
            repo=arguments.repo,
            entity_rows=arguments.entity_rows,
            rebuild=arguments.rebuild,
            progress=progress,
        )
    exit_code = 0 if verification.is_proven else _DIFFERS
    if arguments.json:
        document = json.dumps(verification.to_document(), indent=1, sort_keys=True)
        return Outcome(document, exit_code=exit_code)
    return Outcome(render_verification(verification), exit_code=exit_code)


def _fit(arguments: argparse.Namespace) -> Outcome:
    wait_without_spinning()
    from training.artefact import holds_artefact, saved_artefact
    from training.fit import fit_model
    from training.report.saved_report import holds_report, saved_report
    from training.whole_folder import refuse_foreign

    # Before the fit, which takes longer than finding out that its result has no place.
    refuse_foreign(arguments.out, is_ours=holds_artefact, kind="model")
    if arguments.report is not None:
        refuse_foreign(arguments.report, is_ours=holds_report, kind="report")
    n_steps = (0 if arguments.dataset else 2) + arguments.compare_knowledge + 2
    n_steps += 2 * arguments.folds
    with open_progress("model", total=n_steps, unit="steps", shows_rate=False) as progress:
        if arguments.dataset:
            dataset = TrainingDataset.from_parquet(arguments.dataset)
        else:
            dataset = _build(arguments)
            progress.advance()
            dataset.load()
            progress.advance()
        comparison = None
        if arguments.compare_knowledge:
            from training.knowledge import compare_knowledge

            comparison = compare_knowledge(dataset, repo=arguments.repo)
            progress.advance()
        fit = fit_model(
            dataset, _fit_options(arguments), knowledge_comparison=comparison, progress=progress
        )
        with ExitStack() as saved:
            saved.enter_context(saved_artefact(fit, arguments.out))
            if arguments.report is not None:
                saved.enter_context(
                    saved_report(fit.record, arguments.report, notes=arguments.note)
                )
        progress.advance()
    if arguments.json:
        return Outcome(json.dumps(fit.record.to_document(), indent=1, sort_keys=True))
    report = "" if arguments.report is None else f", report in {arguments.report}"
    return Outcome(f"{render_record(fit.record)}\n\nwritten to {arguments.out}{report}")


def _fit_options(arguments: argparse.Namespace) -> FitOptions:
    return FitOptions(
        test_share=arguments.test_share,
        n_folds=arguments.folds,
        purge_us=round(arguments.purge_days * _US_PER_DAY),
        baseline_features=tuple(arguments.baseline_feature),
        segment_features=tuple(arguments.segment),
        kind=ModelKind(arguments.model),
        seed=arguments.seed,
    )


def _score(arguments: argparse.Namespace) -> Outcome:
    clock = clock_from_environment()
    wait_without_spinning()
    from training.scoring.scorer import ScoreSettings, score_file

    settings = ScoreSettings(
        model=arguments.model,
        repo=arguments.repo,
        entity_rows=arguments.entity_rows,
        out=arguments.out,
        as_of_us=arguments.as_of,
        event_timestamp_column=arguments.event_timestamp,
    )
    with open_progress("scores", total=4, unit="steps", shows_rate=False) as progress:
        report = score_file(settings, clock=clock, progress=progress)
    if arguments.json:
        return Outcome(json.dumps(dataclasses.asdict(report), indent=1, sort_keys=True))
    instants = report.first_as_of
    if report.last_as_of != report.first_as_of:
        instants += f" to {report.last_as_of}"
    lines = [
        f"as of:       {instants}",
        f"rows:        {report.n_rows:,}, {report.n_rows_missing:,} with a feature without a value",
        f"mean score:  {report.mean_score:.4f}",
        f"written to:  {report.path}",
    ]
    return Outcome("\n".join(lines))


def _agree(arguments: argparse.Namespace) -> Outcome:
    _refuse_missing_client()
    target = None if arguments.json in {None, _STDOUT} else Path(arguments.json)
    if target is not None and target.is_dir():
        # Before the comparison, which takes longer than finding this out.
        msg = f"`{target}` is a folder"
        raise ConfigurationError(msg, hint="name a file for the result")
    wait_without_spinning()
    from training.scoring.agreement import AgreementSettings, check_agreement
    from training.scoring.agreement_report import agreement_document, render_agreement

    agreement = check_agreement(
        AgreementSettings(
            model=arguments.model,
            repo=arguments.repo,
            gateway=arguments.gateway,
            entity_rows=arguments.entity_rows,
            batch_rows=arguments.batch_rows,
            min_coverage=arguments.min_coverage,
        )
    )
    exit_code = 0 if agreement.is_proof else _DIFFERS
    text = render_agreement(agreement)
    document = json.dumps(agreement_document(agreement), indent=1, sort_keys=True)
    if arguments.json == _STDOUT:
        return Outcome(document, message=text, exit_code=exit_code)
    if target is not None:
        _write_text(target, document)
    return Outcome(text, exit_code=exit_code)


def _refuse_missing_client() -> None:
    if importlib.util.find_spec("httpx") is None:
        msg = "asking a gateway needs the package `httpx`, which is not installed"
        raise ConfigurationError(msg, hint="pip install 'evenstore[client]'")


COMMANDS: dict[str, Callable[[argparse.Namespace], Outcome]] = {
    "dataset": _dataset,
    "verify": _verify,
    "fit": _fit,
    "score": _score,
    "agree": _agree,
}
"""What each command does."""


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _build(arguments: Any) -> TrainingDataset:
    return TrainingDataset.build(
        arguments.feature_service,
        arguments.entity_rows,
        repo=arguments.repo,
        knowledge=Knowledge(arguments.knowledge),
        label=arguments.label,
        event_timestamp_column=arguments.event_timestamp or "event_timestamp",
        label_timestamp_column=arguments.label_timestamp,
    )
