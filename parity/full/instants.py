"""Event timestamps of both sides, counted while rows go by."""

from __future__ import annotations

import numpy as np

from parity.full.rows import Rows
from parity.statistics.instants import InstantStatistics
from parity.statistics.number_tally import NumberSample

__all__ = ["InstantTally"]

_MOST_AGES = 200_000


class InstantTally:
    """Counts the instants of one view's rows; ages are a sample where there are very many.

    Args:
        as_of_us: The instant that both sides answer for.
        promise_us: How old a served row may be by the view's own promise; None for none.
    """

    def __init__(self, *, as_of_us: int, promise_us: int | None) -> None:
        self._as_of_us = as_of_us
        self._promise_us = promise_us
        self._counts = np.zeros(8, np.int64)
        self._max_behind_us = 0
        self._ages = NumberSample(_MOST_AGES)

    def add(self, offline: Rows, online: Rows) -> None:
        """Count rows."""
        n_rows = len(offline)
        age_us = self._as_of_us - online.event_us
        both = offline.is_there & online.is_there
        n_equal = int(np.count_nonzero(both & (offline.event_us == online.event_us)))
        counts = [n_equal, 0, 0, 0, 0, 0]
        if n_equal < n_rows:
            behind_us = np.where(both, offline.event_us - online.event_us, 0)
            self._max_behind_us = max(self._max_behind_us, int(behind_us.max()))
            masks = (
                behind_us > 0,
                behind_us < 0,
                offline.is_there & ~online.is_there,
                online.is_there & ~offline.is_there,
                ~(offline.is_there | online.is_there),
            )
            counts[1:] = [int(np.count_nonzero(mask)) for mask in masks]
        is_future = (offline.is_there & (offline.event_us > self._as_of_us)) | (
            online.is_there & (age_us < 0)
        )
        is_old = online.is_there & (age_us > (self._promise_us or 0))
        counts += [int(np.count_nonzero(is_future)), int(np.count_nonzero(is_old))]
        self._counts += np.array(counts)

    def sample_ages(self, online: Rows) -> None:
        """Keep how old rows are, or every second, fourth... of them; the greatest age is exact."""
        self._ages.add(self._as_of_us - online.event_us[online.is_there])

    def measured(self) -> InstantStatistics:
        """Return what was counted."""
        counts = self._counts.tolist()
        return InstantStatistics(
            n_equal=counts[0],
            n_online_older=counts[1],
            n_online_newer=counts[2],
            n_offline_only=counts[3],
            n_online_only=counts[4],
            n_neither=counts[5],
            n_future=counts[6],
            max_online_behind_us=self._max_behind_us,
            age_us=self._ages.quantiles(),
            n_older_than_promise=None if self._promise_us is None else counts[7],
        )
