"""The summaries that people read; the same facts as JSON come from the records themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.dataset import TrainingDataset

if TYPE_CHECKING:
    # These load scikit-learn, which a dataset does not need.
    from training.evaluate import Metrics, Part
    from training.record import ModelRecord, SplitRecord

__all__ = ["render_dataset", "render_record"]

_TITLES = ("ROC AUC", "avg. precision", "Brier", "log loss")


def render_dataset(dataset: TrainingDataset) -> str:
    """Render what a dataset holds and where it is from."""
    manifest = dataset.manifest
    lines = [
        f"feature service: {manifest.spec.feature_service} ({manifest.schema_fingerprint})",
        f"knowledge:       {manifest.spec.knowledge.value}",
        f"label:           {manifest.spec.label}",
        f"rows:            {manifest.n_rows:,}",
        f"features:        {len(manifest.features)}",
        f"result hash:     {manifest.result_hash}",
    ]
    return "\n".join(lines)


def render_record(record: ModelRecord) -> str:
    """Render rows, split and metrics of a model beside its baselines."""
    split, evaluation = record.split, record.evaluation
    head = (
        _model(record),
        _part("train: ", evaluation.train, split.train_start, split.train_end),
        _part("test:  ", evaluation.test, split.cut, split.test_end),
        _purge(split),
        "",
    )
    rows = [("model", evaluation.model)]
    rows += [(baseline.name, baseline.metrics) for baseline in evaluation.baselines]
    width = max(len(name) for name, _ in rows)
    titles = "".join(f"{title:>16}" for title in _TITLES)
    table = (_metrics(name, metrics, width) for name, metrics in rows)
    return "\n".join([*head, f"{'on the test part':<{width}}{titles}", *table])


def _model(record: ModelRecord) -> str:
    return (
        f"model:  {record.kind.value} for {record.label}: {len(record.features)} features of "
        f"{record.feature_service}, {record.knowledge.value}"
    )


def _purge(split: SplitRecord) -> str:
    return (
        f"purged: {split.n_purged:,} rows whose label window ({split.purge_days:g} days or "
        "longer) reaches into the test period"
    )


def _part(title: str, part: Part, start: str, end: str) -> str:
    dates = f"{_day(start)} to {_day(end)}"
    incomplete = f"{part.incomplete_share:.1%} with a feature not found or too old"
    return f"{title} {part.n_rows:,} rows, {dates}, {part.base_rate:.1%} positive, {incomplete}"


def _metrics(name: str, metrics: Metrics, width: int) -> str:
    values = (metrics.roc_auc, metrics.average_precision, metrics.brier, metrics.log_loss)
    return f"{name:<{width}}" + "".join(f"{value:>16.4f}" for value in values)


def _day(instant: str) -> str:
    return instant[:10]
