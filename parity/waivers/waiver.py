"""A waiver: what may differ in one feature, why, who answers for it, and until when."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np

from evenstore.dtypes import Dtype
from parity.causes.finding import Cause
from parity.statistics.numbers import ulp_distances
from parity.values import PlainValue

__all__ = ["Tolerance", "Waiver", "WaiverUse"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may be apart; any one of the declared limits suffices.

    Attributes:
        absolute: Greatest absolute difference.
        relative: Greatest difference relative to the greater magnitude.
        ulp: Greatest distance in floats of the declared type.
    """

    absolute: float | None = None
    relative: float | None = None
    ulp: int | None = None

    @property
    def is_declared(self) -> bool:
        """Tell whether there is any limit."""
        return (self.absolute, self.relative, self.ulp) != (None, None, None)

    def allows(self, dtype: Dtype, offline: PlainValue | None, online: PlainValue | None) -> bool:
        """Tell whether two values of a type are near enough; lists, element by element.

        NaN, the infinities and null are near to nothing.
        """
        if isinstance(offline, tuple) and isinstance(online, tuple):
            return len(offline) == len(online) and all(
                a == b or self.allows(dtype.element, a, b)
                for a, b in zip(offline, online, strict=True)
            )
        if type(offline) is not type(online):
            return False
        if not _is_finite(offline) or not _is_finite(online):
            return False
        difference = abs(offline - online)
        greater = max(abs(offline), abs(online))
        return (
            (self.absolute is not None and difference <= self.absolute)
            or (self.relative is not None and difference <= self.relative * greater)
            or self._allows_ulp(dtype, float(offline), float(online))
        )

    def _allows_ulp(self, dtype: Dtype, offline: float, online: float) -> bool:
        if self.ulp is None or not dtype.is_float:
            return False
        numpy_type = np.float32 if dtype.element is Dtype.FLOAT32 else np.float64
        (distance,) = ulp_distances(np.array([offline], numpy_type), np.array([online], numpy_type))
        return int(distance) <= self.ulp


@dataclass(frozen=True, slots=True)
class Waiver:
    """One entry of a waiver file.

    Attributes:
        view_name: The view, by the name it is asked for by.
        feature: The feature; there are no patterns.
        tolerance: How far values may be apart.
        causes: Causes that are accepted.
        reason: Why.
        owner: Who answers for it.
        expires: The last day on which it holds, UTC.
    """

    view_name: str
    feature: str
    tolerance: Tolerance
    causes: frozenset[Cause]
    reason: str
    owner: str
    expires: dt.date

    @property
    def name(self) -> str:
        """The feature, as `view:feature`."""
        return f"{self.view_name}:{self.feature}"


@dataclass(frozen=True, slots=True)
class WaiverUse:
    """What became of a waiver in one run.

    Attributes:
        waiver: The waiver.
        n_within_tolerance: Cells that agree because of its tolerance.
        n_waived: Differing cells that it accepts by cause.
        problems: Why it was not applied, one sentence each; every one violates parity.
        is_compared: Whether its feature is in the run at all.
    """

    waiver: Waiver
    n_within_tolerance: int = 0
    n_waived: int = 0
    problems: tuple[str, ...] = field(default=())
    is_compared: bool = True


def _is_finite(value: PlainValue | None) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)
