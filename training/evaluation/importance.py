"""Which features a model leans on: how much worse it ranks when one of them is shuffled.

Of two features that tell the same, each looks unimportant, as the other still tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from training.frame import Labels
from training.splits.row_indexes import RowIndexes

__all__ = ["Importance", "permutation_importance"]

_MOST_ROWS = 5_000
_N_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Importance:
    """How much ROC AUC drops when a feature's values are shuffled between rows.

    Attributes:
        feature: The shuffled feature.
        mean: Mean drop; about 0 for a feature that does not matter, below it by chance.
        least: The smallest drop of the repeats.
        greatest: The largest.
        n_rows: Test rows drawn; 0 in a record that was written before they were counted.
        n_positives: Drawn rows whose label is true.
    """

    feature: str
    mean: float
    least: float
    greatest: float
    n_rows: int
    n_positives: int


def permutation_importance(
    pipeline: Any, frame: Any, labels: Labels, rows: RowIndexes, *, seed: int
) -> tuple[Importance, ...]:
    """Shuffle each feature three times in at most 5,000 test rows, drawn by the seed.

    Returns:
        All features, the most important first; nothing where the drawn rows have one label, as they
        can not be ranked.
    """
    random = np.random.default_rng(seed)
    drawn = np.sort(random.permutation(rows)[:_MOST_ROWS])
    drawn_labels = labels[drawn]
    if drawn_labels.all() or not drawn_labels.any():
        return ()
    part = frame.iloc[drawn]
    unshuffled = float(roc_auc_score(drawn_labels, pipeline.predict_proba(part)[:, 1]))
    # All repeats are scored at once: most of a small batch's time does not depend on its rows.
    repeated = pd.concat([part] * _N_REPEATS, ignore_index=True)
    found = []
    for name in part.columns:
        values = part[name].to_numpy()
        orders = [random.permutation(len(drawn)) for _ in range(_N_REPEATS)]
        shuffled = repeated.assign(**{name: np.concatenate([values[order] for order in orders])})
        scores = pipeline.predict_proba(shuffled)[:, 1].reshape(_N_REPEATS, -1)
        drops = [unshuffled - float(roc_auc_score(drawn_labels, row)) for row in scores]
        found.append(
            Importance(
                feature=name,
                mean=sum(drops) / _N_REPEATS,
                least=min(drops),
                greatest=max(drops),
                n_rows=len(drawn),
                n_positives=int(drawn_labels.sum()),
            )
        )
    return tuple(sorted(found, key=lambda item: (-item.mean, item.feature)))
