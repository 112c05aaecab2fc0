"""The outcome of every cell of many rows: what `parity.compare.compare_cells` says, at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evenstore.semantics import Status
from parity.compare import Outcome
from parity.full.rows import Places, Rows
from parity.full.value_column import Mask

__all__ = ["OUTCOMES", "FeatureOutcomes", "find_differing_rows", "find_outcomes"]

OUTCOMES = tuple(Outcome)
"""Outcomes by their numbers here."""

_NUMBERS = {outcome: np.int8(number) for number, outcome in enumerate(OUTCOMES)}
_IS_AGREEMENT = np.array([outcome.is_agreement for outcome in OUTCOMES])


@dataclass(frozen=True, slots=True)
class FeatureOutcomes:
    """The outcomes of one feature.

    Attributes:
        numbers: One per row, into `OUTCOMES`.
        same_bits: Whether the values are equal in every bit.
    """

    numbers: npt.NDArray[np.int8]
    same_bits: Mask

    def take(self, places: Places) -> FeatureOutcomes:
        """Return those of some rows."""
        return FeatureOutcomes(self.numbers[places], self.same_bits[places])


def find_outcomes(offline: Rows, online: Rows) -> list[FeatureOutcomes]:
    """Decide the outcome of every cell, feature by feature.

    Raises:
        ValueError: The sides have not as many rows.
    """
    if len(offline) != len(online):
        msg = f"{len(offline)} offline rows, {len(online)} online rows"
        raise ValueError(msg)
    has_both = offline.is_there & online.is_there
    is_older = has_both & (online.event_us < offline.event_us)
    is_other_row = (offline.is_there != online.is_there) | (
        has_both & (online.event_us != offline.event_us)
    )
    return [
        _find_feature(offline, online, feature, is_older, is_other_row)
        for feature in range(len(offline.values))
    ]


def find_differing_rows(outcomes: list[FeatureOutcomes], n_rows: int) -> Mask:
    """Tell which rows have a cell that is no agreement."""
    differs = np.zeros(n_rows, np.bool_)
    for feature in outcomes:
        if feature.numbers.any():  # The first outcome is MATCH.
            differs |= ~_IS_AGREEMENT[feature.numbers]
    return differs


def _find_feature(
    offline: Rows, online: Rows, feature: int, is_older: Mask, is_other_row: Mask
) -> FeatureOutcomes:
    offline_values, online_values = offline.values[feature], online.values[feature]
    offline_statuses, online_statuses = offline.statuses[feature], online.statuses[feature]
    equal, same_bits = offline_values.equals(online_values)
    numbers = np.zeros(len(equal), np.int8)
    # From the weakest to the strongest, each over those before.
    _mark(numbers, is_other_row, Outcome.TIMESTAMP_DIFFERS)
    _mark(numbers, offline_statuses != online_statuses, Outcome.STATUS_DIFFERS)
    is_expired_absent = (offline_statuses == Status.OUTSIDE_MAX_AGE) & (
        online_statuses == Status.NOT_FOUND
    )
    _mark(numbers, is_expired_absent, Outcome.EXPIRED_ABSENT)
    if not equal.all():
        _mark(numbers, ~equal, Outcome.MISMATCH)
        _mark(numbers, ~equal & offline_values.is_null, Outcome.EXTRA)
        _mark(numbers, ~equal & online_values.is_null, Outcome.MISSING)
    _mark(numbers, is_older, Outcome.STALE)
    _mark(numbers, online_statuses == Status.INVALID, Outcome.UNANSWERED)
    return FeatureOutcomes(numbers, same_bits)


def _mark(numbers: npt.NDArray[np.int8], mask: Mask, outcome: Outcome) -> None:
    if mask.any():
        numbers[mask] = _NUMBERS[outcome]
