"""The outcome of every cell of many rows: what `parity.compare.compare_cells` says, at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evenstore.semantics import Status
from parity.compare import Outcome
from parity.full.rows import Places, Rows
from parity.full.value_column import Mask

__all__ = [
    "IS_AGREEMENT",
    "OUTCOMES",
    "FeatureOutcomes",
    "find_differing_rows",
    "find_outcomes",
]

OUTCOMES = tuple(Outcome)
"""Outcomes by their numbers here."""

IS_AGREEMENT = np.array([outcome.is_agreement for outcome in OUTCOMES])
"""Whether each of `OUTCOMES` is agreement."""

_NUMBERS = {outcome: np.int8(number) for number, outcome in enumerate(OUTCOMES)}


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
    rows = _find_other_rows(offline, online)
    return [_find_feature(offline, online, feature, rows) for feature in range(len(offline.values))]


def find_differing_rows(outcomes: list[FeatureOutcomes], n_rows: int) -> Mask:
    """Tell which rows have a cell that is no agreement."""
    differs = np.zeros(n_rows, np.bool_)
    for feature in outcomes:
        if feature.numbers.any():  # The first outcome is MATCH.
            differs |= ~IS_AGREEMENT[feature.numbers]
    return differs


@dataclass(frozen=True, slots=True)
class _OtherRows:
    """Which entities have an older row online, or another one; None where all have the same."""

    is_older: Mask | None
    is_other: Mask | None


def _find_other_rows(offline: Rows, online: Rows) -> _OtherRows:
    is_other = (offline.is_there != online.is_there) | (
        offline.is_there & online.is_there & (online.event_us != offline.event_us)
    )
    if not is_other.any():
        return _OtherRows(None, None)
    has_both = offline.is_there & online.is_there
    return _OtherRows(has_both & (online.event_us < offline.event_us), is_other)


def _find_feature(offline: Rows, online: Rows, feature: int, rows: _OtherRows) -> FeatureOutcomes:
    offline_values, online_values = offline.values[feature], online.values[feature]
    equal, same_bits = offline_values.equals(online_values)
    numbers = np.zeros(len(equal), np.int8)
    # From the weakest to the strongest, each over those before.
    if rows.is_other is not None:
        numbers[rows.is_other] = _NUMBERS[Outcome.TIMESTAMP_DIFFERS]
    is_other_status = offline.statuses[feature] != online.statuses[feature]
    has_other_status = bool(is_other_status.any())
    if has_other_status:
        numbers[is_other_status] = _NUMBERS[Outcome.STATUS_DIFFERS]
        is_expired_absent = (offline.statuses[feature] == Status.OUTSIDE_MAX_AGE) & (
            online.statuses[feature] == Status.NOT_FOUND
        )
        numbers[is_expired_absent] = _NUMBERS[Outcome.EXPIRED_ABSENT]
    if not equal.all():
        numbers[~equal] = _NUMBERS[Outcome.MISMATCH]
        numbers[~equal & offline_values.is_null] = _NUMBERS[Outcome.EXTRA]
        numbers[~equal & online_values.is_null] = _NUMBERS[Outcome.MISSING]
    if rows.is_older is not None:
        numbers[rows.is_older] = _NUMBERS[Outcome.STALE]
    if has_other_status:  # Offline there is always an answer.
        is_unanswered = online.statuses[feature] == Status.INVALID
        numbers[is_unanswered] = _NUMBERS[Outcome.UNANSWERED]
    return FeatureOutcomes(numbers, same_bits)
