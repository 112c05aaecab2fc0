"""How many OpenMP threads a fit or a score may take."""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["limit_threads", "wait_without_spinning"]

# On two cores that other processes use too, a second thread made a fit of 58,000 rows 3 to 10 times
# slower, because all threads wait for the last one thousands of times. On two free cores it
# halved the 6 seconds of 195,000 rows.
_PARALLEL_ROWS = 100_000


def limit_threads(n_rows: int) -> Any:
    """Return a context in which work on few rows keeps to one thread."""
    # threadpoolctl comes with scikit-learn, and has no types that a checker could read.
    threadpoolctl = importlib.import_module("threadpoolctl")
    return threadpoolctl.threadpool_limits(1 if n_rows < _PARALLEL_ROWS else None)


def wait_without_spinning() -> None:
    """Let waiting threads sleep; for a command, before scikit-learn is first imported.

    Where the cores are shared, threads that spin while they wait take the very time that the one
    they wait for needs. Whoever has set the variable keeps what they set.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
