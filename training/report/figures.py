"""The report's figures as SVG: the same record gives the same bytes.

No pyplot, so that no global figure or backend is left behind in the process that calls.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from training.evaluation.metrics import METRICS
from training.record import ModelRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "render_figures"]

_N_FEATURES = 15
_SETTINGS: dict[Any, Any] = {
    # Text stays text: small files, and a reader can search them.
    "svg.fonttype": "none",
    # The ids in the file are drawn from this instead of from chance.
    "svg.hashsalt": "evenstore",
    # A dollar sign in a name is no formula.
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def render_figures(record: ModelRecord) -> dict[str, bytes]:
    """Draw every figure that the record has numbers for; returns SVG by file name."""
    import matplotlib as mpl

    # What the user's own settings say must not show in the bytes.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        return {
            name: _to_svg(draw(record))
            for name, draw in FIGURES.items()
            if record.importance or draw is not _importance
        }


def _calibration(record: ModelRecord) -> Figure:
    figure, (axes,) = _figure(4.6, 4.2, n_columns=1)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="perfect")
    for number, fold in enumerate(record.folds, start=1):
        bins = fold.evaluation.calibration.bins
        axes.plot(
            [bin_.mean_predicted for bin_ in bins],
            [bin_.observed_rate for bin_ in bins],
            marker="o",
            markersize=3,
            linewidth=1,
            label=f"fold {number}",
        )
    axes.set(xlabel="mean predicted probability", ylabel="observed rate", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("calibration on each fold's test rows")
    axes.legend()
    return figure


def _folds(record: ModelRecord) -> Figure:
    shown = ("roc_auc", "average_precision")
    figure, all_axes = _figure(8.0, 3.4, n_columns=len(shown))
    numbers = list(range(1, len(record.folds) + 1))
    names = ["model", *(item.name for item in record.folds[0].evaluation.baselines)]
    for axes, metric in zip(all_axes, shown, strict=True):
        for i, name in enumerate(names):
            of_folds = (
                fold.evaluation.model if i == 0 else fold.evaluation.baselines[i - 1].metrics
                for fold in record.folds
            )
            values = [getattr(metrics, metric) for metrics in of_folds]
            axes.plot(numbers, values, marker="o", markersize=3, linewidth=1, label=name)
        axes.set(xlabel="fold", title=METRICS[metric], xticks=numbers)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def _importance(record: ModelRecord) -> Figure:
    items = list(reversed(record.importance[:_N_FEATURES]))
    figure, (axes,) = _figure(7.0, 0.8 + 0.22 * len(items), n_columns=1)
    means = [item.mean for item in items]
    # A mean of floats can lie a last digit outside of its extremes.
    below = [max(0.0, item.mean - item.least) for item in items]
    above = [max(0.0, item.greatest - item.mean) for item in items]
    names = [item.feature for item in items]
    axes.barh(names, means, xerr=[below, above], height=0.6, error_kw={"linewidth": 0.8})
    axes.set(xlabel="ROC AUC lost when the feature is shuffled (mean, least to greatest)")
    return figure


FIGURES: dict[str, Callable[[ModelRecord], Any]] = {
    "calibration.svg": _calibration,
    "folds.svg": _folds,
    "importance.svg": _importance,
}
"""How each file is drawn."""


def _figure(width: float, height: float, *, n_columns: int) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, n_columns, squeeze=False)[0])


def _to_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
