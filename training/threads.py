"""How many OpenMP threads a fit or a score may take."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["limit_threads"]

# With 25 columns and 200 trees on two free cores a second thread saved 0.1 s of 0.4 s at this many
# rows. Where the cores are shared with other busy processes, its spinning costs seconds.
_PARALLEL_ROWS = 20_000


def limit_threads(n_rows: int) -> Any:
    """Return a context in which work on few rows keeps to one thread."""
    # threadpoolctl comes with scikit-learn, and has no types that a checker could read.
    threadpoolctl = importlib.import_module("threadpoolctl")
    return threadpoolctl.threadpool_limits(1 if n_rows < _PARALLEL_ROWS else None)
