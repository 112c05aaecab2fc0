"""The report's page in Markdown: what was measured, on what, and what it does not tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from training.evaluation.importance import Importance
from training.evaluation.metrics import METRICS, SMALLER_IS_BETTER, Metrics
from training.evaluation.segments import SegmentTable
from training.knowledge import KnowledgeComparison
from training.record import ModelRecord

__all__ = ["render_page"]

_N_FEATURES = 15


def render_page(record: ModelRecord, figures: Sequence[str], notes: Sequence[str]) -> str:
    """Render the page.

    Args:
        record: Of the fitted model.
        figures: File names of the figures beside the page.
        notes: Caveats that the numbers do not tell.
    """
    lines = [
        f"# `{record.label}`: {record.kind.value} on `{record.feature_service}`",
        "",
        *_data(record),
        *_split(record),
        *_result(record, figures),
        *_calibration(record, figures),
        *(line for table in record.segments for line in _segments(table)),
        *_importance(record.importance, figures),
        *_knowledge(record),
        *_caveats(record, notes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _data(record: ModelRecord) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
    yield "## Data"
    yield ""
    yield (
        f"{record.n_rows:,} entity rows with {len(record.features)} features of "
        f"`{record.feature_service}` (schema {record.schema_fingerprint}), joined "
        f"`{record.knowledge.value}`. Hash of the dataset's values: `{record.dataset_hash}`. "
        f"Seed {record.seed}; {versions}."
    )
    yield ""


def _split(record: ModelRecord) -> Iterator[str]:
    yield "## Folds"
    yield ""
    yield (
        "Each fold trains on the rows before its test window whose label window (at least "
        f"{record.folds[0].split.purge_days:g} days) ends at or before the window's start; rows "
        "whose label was not known by then are purged."
    )
    yield ""
    yield from _table_head(
        "fold", "train from", "to", "rows", "positive", "purged", "test window from", "to", "rows",
        "positive", "test rows with a feature not found or too old",
    )  # fmt: skip
    for number, fold in enumerate(record.folds, start=1):
        split, train, test = fold.split, fold.evaluation.train, fold.evaluation.test
        yield _row(
            *(str(number), split.train_start[:10], split.train_end[:10], f"{train.n_rows:,}"),
            *(f"{train.base_rate:.1%}", f"{split.n_purged:,}", split.cut[:10]),
            *(split.test_end[:10], f"{test.n_rows:,}", f"{test.base_rate:.1%}"),
            f"{test.incomplete_share:.1%}",
        )
    yield ""
    yield (
        f"The saved model is that of fold {len(record.folds)}: the one that was measured there, "
        "which saw none of that fold's test rows. It was not fitted again on all rows."
    )
    yield ""


def _result(record: ModelRecord, figures: Sequence[str]) -> Iterator[str]:
    yield "## Result on the test windows"
    yield ""
    yield from _table_head("fold", "", *METRICS.values())
    for number, fold in enumerate(record.folds, start=1):
        yield _row(str(number), "model", *_metrics(fold.evaluation.model))
        for baseline in fold.evaluation.baselines:
            yield _row("", baseline.name, *_metrics(baseline.metrics))
    for name, spreads in record.overall.items():
        cells = (
            f"{spreads[metric].mean:.4f} ({spreads[metric].least:.4f} to "
            f"{spreads[metric].greatest:.4f})"
            for metric in METRICS
        )
        yield _row("all: mean (least to greatest)", name, *cells)
    yield ""
    yield from (f"{line}\n" for line in _unbeaten(record))
    if record.baseline_features:
        named = ", ".join(f"`{name}`" for name in record.baseline_features)
        yield f"The logistic regression has {named} alone."
        yield ""
    yield from _image(figures, "folds.svg", "ROC AUC and average precision of each fold")


def _unbeaten(record: ModelRecord) -> Iterator[str]:
    """Say where a baseline is as good as the model or better, on the mean of the folds."""
    model = record.overall["model"]
    for name, spreads in record.overall.items():
        gains = {
            metric: (spreads[metric].mean - model[metric].mean) * SMALLER_IS_BETTER[metric]
            for metric in METRICS
        }
        lost = [METRICS[metric] for metric, gain in gains.items() if gain <= 0.0]
        if lost and name != "model":
            yield f"**The model does not beat the {name} in {', '.join(lost)}.**"


def _calibration(record: ModelRecord, figures: Sequence[str]) -> Iterator[str]:
    yield "## Calibration"
    yield ""
    errors = ", ".join(f"{fold.evaluation.calibration.expected_error:.4f}" for fold in record.folds)
    yield f"Expected calibration error, fold by fold: {errors}. The last fold's bins:"
    yield ""
    yield from _table_head("rows", "mean predicted", "observed rate")
    for bin_ in record.last_fold.evaluation.calibration.bins:
        yield _row(f"{bin_.n_rows:,}", f"{bin_.mean_predicted:.4f}", f"{bin_.observed_rate:.4f}")
    yield ""
    yield from _image(figures, "calibration.svg", "Predicted and observed rates of each fold")


def _segments(table: SegmentTable) -> Iterator[str]:
    yield f"## By `{table.feature}`"
    yield ""
    yield "Test rows of all folds, each scored by its own fold's model."
    yield ""
    yield from _table_head("value", "rows", "positive", "mean predicted", *METRICS.values())
    for segment in table.segments:
        cells = ["one label"] * len(METRICS)
        if segment.metrics is not None:
            cells = list(_metrics(segment.metrics))
        yield _row(
            segment.name,
            *(f"{segment.n_rows:,}", f"{segment.base_rate:.1%}", f"{segment.mean_predicted:.1%}"),
            *cells,
        )
    yield ""


def _importance(importance: Sequence[Importance], figures: Sequence[str]) -> Iterator[str]:
    yield "## Features"
    yield ""
    if not importance:
        yield "The test rows drawn for it have one label: importance cannot be measured."
        yield ""
        return
    yield (
        "ROC AUC lost when a feature's values are shuffled between the last fold's test rows: "
        f"{importance[0].n_rows:,} of them, {importance[0].n_positives:,} positive. Of two "
        "features that tell the same, each looks unimportant."
    )
    yield ""
    yield from _table_head("feature", "mean", "least", "greatest")
    for item in importance[:_N_FEATURES]:
        yield _row(
            f"`{item.feature}`", *(f"{x:.4f}" for x in (item.mean, item.least, item.greatest))
        )
    yield ""
    yield from _image(figures, "importance.svg", "The most important features")


def _knowledge(record: ModelRecord) -> Iterator[str]:
    comparison = record.knowledge_comparison
    if comparison is None:
        return
    yield "## Knowledge"
    yield ""
    yield (
        f"As known then and as known now differ in {comparison.n_rows_differing:,} of "
        f"{comparison.n_rows:,} entity rows."
    )
    yield ""
    yield from _differences(comparison)


def _differences(comparison: KnowledgeComparison) -> Iterator[str]:
    yield from _table_head("feature view", "rows that differ", "feature values that differ")
    for view in comparison.views:
        yield _row(view.view, f"{view.n_rows:,}", f"{view.n_values:,}")
    yield ""


def _caveats(record: ModelRecord, notes: Sequence[str]) -> Iterator[str]:
    yield "## Caveats"
    yield ""
    if len(record.folds) == 1:
        yield "- One test window: how far the result moves with time was not measured."
    yield from (f"- {note}" for note in notes)
    yield "- Measured on rows of the past: it does not tell what acting on a score changes."


def _metrics(metrics: Metrics) -> Iterator[str]:
    return (f"{value:.4f}" for value in dataclasses.astuple(metrics))


def _table_head(*titles: str) -> Iterator[str]:
    yield _row(*titles)
    yield "|" + " --- |" * len(titles)


def _row(*cells: str) -> str:
    # A bar or a line break in a value would end its cell.
    plain = (cell.replace("|", "\\|").replace("\n", " ").replace("\r", " ") for cell in cells)
    return "| " + " | ".join(plain) + " |"


def _image(figures: Sequence[str], name: str, title: str) -> Iterator[str]:
    if name in figures:
        yield f"![{title}]({name})"
        yield ""
