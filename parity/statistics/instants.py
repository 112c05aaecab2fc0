"""Event timestamps of both sides: how often they are the same, and how old the served rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parity.statistics.numbers import Quantiles, measure_quantiles

__all__ = ["InstantStatistics", "measure_instants"]

_ABSENT = -(2**63)


@dataclass(frozen=True, slots=True)
class InstantStatistics:
    """The event timestamps of one view's rows, one per entity row.

    Attributes:
        n_equal: Entity rows for which both sides took a row of the same event timestamp.
        n_online_older: Online took an older row.
        n_online_newer: Online took a newer row.
        n_offline_only: Only offline has a row.
        n_online_only: Only online has a row.
        n_neither: Neither has a row.
        n_future: Rows of either side that are later than the instant asked for: a value from the
            future. Any is a leak.
        max_online_behind_us: By how much online's row is older at most.
        age_us: Quantiles of the age of online's rows at the instant asked for; None without rows.
        n_older_than_promise: Online's rows older than the view promises; None without a promise.
    """

    n_equal: int
    n_online_older: int
    n_online_newer: int
    n_offline_only: int
    n_online_only: int
    n_neither: int
    n_future: int
    max_online_behind_us: int
    age_us: Quantiles | None
    n_older_than_promise: int | None


def measure_instants(
    offline_us: Sequence[int | None],
    online_us: Sequence[int | None],
    as_of_us: Sequence[int],
    *,
    promise_us: int | None = None,
) -> InstantStatistics:
    """Measure the event timestamps of one view.

    Args:
        offline_us: Per entity row, the event timestamp of offline's row; None for no row.
        online_us: The same for online.
        as_of_us: Per entity row, the instant asked for.
        promise_us: How old a served row may be by the view's own promise; None for none.
    """
    offline, online = _column(offline_us), _column(online_us)
    instants = np.asarray(as_of_us, dtype=np.int64)
    has_offline, has_online = offline != _ABSENT, online != _ABSENT
    both = has_offline & has_online
    older = both & (online < offline)
    age_us = instants[has_online] - online[has_online]
    is_future = (has_offline & (offline > instants)) | (has_online & (online > instants))
    return InstantStatistics(
        n_equal=_count(both & (online == offline)),
        n_online_older=_count(older),
        n_online_newer=_count(both & (online > offline)),
        n_offline_only=_count(has_offline & ~has_online),
        n_online_only=_count(has_online & ~has_offline),
        n_neither=_count(~has_online & ~has_offline),
        n_future=_count(is_future),
        max_online_behind_us=int((offline[older] - online[older]).max(initial=0)),
        age_us=measure_quantiles(age_us),
        n_older_than_promise=None if promise_us is None else _count(age_us > promise_us),
    )


def _column(instants_us: Sequence[int | None]) -> npt.NDArray[np.int64]:
    return np.array([_ABSENT if us is None else us for us in instants_us], dtype=np.int64)


def _count(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))
