"""The summaries that people read; the same facts as JSON come from the records themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from training.dataset import TrainingDataset
from training.manifest import Manifest

if TYPE_CHECKING:
    # These load scikit-learn, which a dataset does not need.
    from training.evaluation.evaluate import Part
    from training.evaluation.metrics import Metrics
    from training.evaluation.segments import SegmentTable
    from training.knowledge import KnowledgeComparison
    from training.record import FoldRecord, ModelRecord
    from training.verification import Verification

__all__ = ["describe_knowledge", "render_dataset", "render_record", "render_verification"]

_WIDTH = 150
_N_FEATURES = 15


def render_dataset(dataset: TrainingDataset) -> str:
    """Render what a dataset holds and where it is from."""
    manifest = dataset.manifest
    files = {file for view in manifest.views for file in view.files}
    n_bytes = sum(file.n_bytes or 0 for file in files)
    lines = [
        f"feature service: {manifest.spec.feature_service} ({manifest.schema_fingerprint})",
        f"knowledge:       {manifest.spec.knowledge.value}{_knowledge_effect(manifest)}",
        f"label:           {manifest.spec.label or 'none'}{_label_check(manifest)}",
        f"rows:            {manifest.n_rows:,}",
        f"features:        {len(manifest.features)}",
        f"source files:    {len(files):,} ({n_bytes:,} bytes)",
        f"result hash:     {manifest.result_hash}",
    ]
    if manifest.unverifiable:
        lines.append(f"unverifiable:    {', '.join(manifest.unverifiable)}")
    return "\n".join(lines)


def render_verification(verification: Verification) -> str:
    """Render what changed, a line each, and the verdict."""
    lines = []
    for change in verification.changes:
        was, now = change.was or "none", change.now or "none"
        lines.append(f"{change.kind.value}: {change.name}")
        lines.append(f"  was {was}")
        lines.append(f"  now {now}")
    if verification.unverifiable:
        lines.append(f"unverifiable: {', '.join(verification.unverifiable)}")
    rows = "with" if verification.has_entity_rows else "without"
    compared = f"{verification.n_files:,} source files compared, {rows} entity rows"
    n_changes = len(verification.changes)
    verdict = "nothing changed" if n_changes == 0 else f"{n_changes:,} changed"
    if verification.is_reproduced is not None:
        verdict += ", built again: " + (
            "equal values" if verification.is_reproduced else "other values"
        )
    return "\n".join([*lines, f"{verdict} ({compared})"])


def _knowledge_effect(manifest: Manifest) -> str:
    effects = []
    if manifest.unaffected_views:
        names = ", ".join(manifest.unaffected_views)
        effects.append(f"no created timestamps, so unaffected: {names}")
    n_nulls = sum(view.n_created_nulls or 0 for view in manifest.views)
    if n_nulls:
        effects.append(f"{n_nulls:,} source rows left out for a null created timestamp")
    return f" ({'; '.join(effects)})" if effects else ""


def render_record(record: ModelRecord) -> str:
    """Render rows, splits and metrics of a model beside its baselines, in about 20 lines."""
    is_one = len(record.folds) == 1
    lines = [_model(record), *(_one_fold(record.folds[0]) if is_one else _folds(record)), ""]
    lines += _one_table(record.folds[0]) if is_one else _spread_table(record)
    extra = [line for table in record.segments for line in _segments(table)]
    extra += _importance(record)
    if record.knowledge_comparison is not None:
        extra += _wrapped("knowledge: ", describe_knowledge(record.knowledge_comparison))
    return "\n".join([*lines, *extra])


def describe_knowledge(comparison: KnowledgeComparison) -> str:
    """Say in a sentence how the two knowledge modes differ, view by view."""
    views = "; ".join(
        f"{view.view}: {view.n_values:,} values in {view.n_rows:,} rows"
        for view in comparison.views
        if view.n_rows
    )
    return (
        "as known then and as known now differ in "
        f"{comparison.n_rows_differing:,} of {comparison.n_rows:,} rows"
        + (f" ({views})" if views else "")
    )


def _model(record: ModelRecord) -> str:
    return (
        f"model:  {record.kind.value} for {record.label}: {len(record.features)} features of "
        f"{record.feature_service}, {record.knowledge.value}"
    )


def _one_fold(fold: FoldRecord) -> Iterator[str]:
    split, evaluation = fold.split, fold.evaluation
    yield _part("train: ", evaluation.train, split.train_start, split.train_end)
    yield _part("test:  ", evaluation.test, split.cut, split.test_end)
    yield (
        f"purged: {split.n_purged:,} rows whose label window ({split.purge_days:g} days or "
        "longer) reaches into the test period"
    )


def _folds(record: ModelRecord) -> Iterator[str]:
    for number, fold in enumerate(record.folds, start=1):
        split, evaluation = fold.split, fold.evaluation
        train, test = evaluation.train, evaluation.test
        yield (
            f"fold {number}: train {_dates(split.train_start, split.train_end)}, "
            f"{train.n_rows:,} rows, {train.base_rate:.1%} positive; "
            f"test {_dates(split.cut, split.test_end)}, {test.n_rows:,} rows, "
            f"{test.base_rate:.1%} positive; {split.n_purged:,} purged"
        )
    yield (
        f"saved:  the model of fold {len(record.folds)}, which saw none of its test rows; purged: "
        f"rows whose label window ({record.folds[0].split.purge_days:g} days or longer) reaches "
        "into a test window"
    )


def _part(title: str, part: Part, start: str, end: str) -> str:
    incomplete = f"{part.incomplete_share:.1%} with a feature not found or too old"
    return (
        f"{title} {part.n_rows:,} rows, {_dates(start, end)}, {part.base_rate:.1%} positive, "
        f"{incomplete}"
    )


def _one_table(fold: FoldRecord) -> list[str]:
    from training.evaluation.metrics import METRICS

    evaluation = fold.evaluation
    rows = [("model", evaluation.model)]
    rows += [(baseline.name, baseline.metrics) for baseline in evaluation.baselines]
    width = max(len(name) for name, _ in rows)
    titles = "".join(f"{title:>16}" for title in METRICS.values())
    error = evaluation.calibration.expected_error
    return [
        f"{'on the test part':<{width}}{titles}",
        *(_metrics(name, metrics, width) for name, metrics in rows),
        f"expected calibration error of the model: {error:.4f}",
    ]


def _metrics(name: str, metrics: Metrics, width: int) -> str:
    from training.evaluation.metrics import METRICS

    return f"{name:<{width}}" + "".join(f"{getattr(metrics, key):>16.4f}" for key in METRICS)


def _spread_table(record: ModelRecord) -> list[str]:
    from training.evaluation.metrics import METRICS

    spreads = record.overall
    width = max(len(name) for name in spreads) + 1
    n_folds = len(record.folds)
    head = f"{'mean of ' + str(n_folds) + ' folds (least..greatest)':<{width}}"
    lines = [head + "".join(f"{title:>25}" for title in METRICS.values())]
    for name, spread in spreads.items():
        cells = (
            f"{spread[key].mean:.4f} ({spread[key].least:.4f}..{spread[key].greatest:.4f})"
            for key in METRICS
        )
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>25}" for cell in cells))
    errors = [fold.evaluation.calibration.expected_error for fold in record.folds]
    lines.append(
        "expected calibration error of the model: "
        f"{sum(errors) / n_folds:.4f} ({min(errors):.4f}..{max(errors):.4f})"
    )
    return lines


def _segments(table: SegmentTable) -> list[str]:
    cells = (
        f"{segment.name} "
        + ("one label" if segment.metrics is None else f"{segment.metrics.roc_auc:.4f}")
        + f" ({segment.n_rows:,} rows, {segment.base_rate:.1%})"
        for segment in table.segments
    )
    return _wrapped(f"ROC AUC by {table.feature}: ", ", ".join(cells))


def _importance(record: ModelRecord) -> list[str]:
    cells = [f"{item.feature} {item.mean:.3f}" for item in record.importance[:_N_FEATURES]]
    return _wrapped("ROC AUC lost when shuffled: ", ", ".join(cells)) if cells else []


def _wrapped(title: str, text: str) -> list[str]:
    return textwrap.wrap(title + text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _dates(start: str, end: str) -> str:
    return f"{start[:10]} to {end[:10]}"


def _label_check(manifest: Manifest) -> str:
    if manifest.spec.label is None or manifest.spec.label_timestamp_column is not None:
        return ""
    return " (not checked against its rows' instants: no label timestamp was named)"
