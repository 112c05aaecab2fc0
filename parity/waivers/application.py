"""Applies waivers to a report: only declared ones, only those that still hold."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from evenstore.dtypes import Dtype
from parity.causes.finding import Cause
from parity.compare import Outcome
from parity.report import Difference, FeatureComparison, ParityReport
from parity.waivers.waiver import Waiver, WaiverUse

__all__ = ["MAX_DAYS", "MAX_RELATIVE", "MAX_SPREAD_SHARE", "MAX_ULP", "apply_waivers"]

MAX_DAYS = 366
"""A waiver may hold for so many days from the day of the run; a longer one is not temporary."""
MAX_RELATIVE = 0.01
"""The widest relative tolerance."""
MAX_ULP = 65_536
"""The widest tolerance in units in the last place."""
MAX_SPREAD_SHARE = 0.01
"""The widest absolute tolerance, as a share of the spread (5th to 95th percentile) offline."""


def apply_waivers(
    report: ParityReport,
    waivers: Sequence[Waiver],
    *,
    today: dt.date,
    allows_unknown_causes: bool = False,
) -> ParityReport:
    """Judge a report under waivers.

    A waiver that is expired, too wide or does not fit its feature is not applied and violates
    parity. One whose feature was not compared is a note.

    Args:
        report: With findings, where causes are to be accepted.
        waivers: At most one per feature.
        today: The day of the run, UTC.
        allows_unknown_causes: Let waivers accept the cause `unknown`, which otherwise violates.
    """
    by_name = {(waiver.view_name, waiver.feature): waiver for waiver in waivers}
    features, uses = [], []
    for feature in report.features:
        waiver = by_name.pop((feature.view_name, feature.feature), None)
        if waiver is None:
            features.append(feature)
            continue
        problems = tuple(_problems(waiver, feature, today, allows_unknown_causes))
        applied = feature if problems else _apply(waiver, feature)
        features.append(applied)
        n_tolerated = applied.counts.n_within_tolerance - feature.counts.n_within_tolerance
        uses.append(WaiverUse(waiver, n_tolerated, applied.counts.n_waived, problems))
    uses += [WaiverUse(waiver, is_compared=False) for waiver in by_name.values()]
    return replace(
        report,
        features=tuple(features),
        waivers=tuple(uses),
        allows_unknown_causes=allows_unknown_causes,
    )


def _problems(
    waiver: Waiver,
    feature: FeatureComparison,
    today: dt.date,
    allows_unknown: bool,  # noqa: FBT001
) -> Iterator[str]:
    who = f"the waiver of `{waiver.name}` ({waiver.owner}: {waiver.reason})"
    if waiver.expires < today:
        yield f"{who} expired on {waiver.expires}"
    if (waiver.expires - today).days > MAX_DAYS:
        yield f"{who} is too long: it holds until {waiver.expires}, {MAX_DAYS} days are the most"
    if Cause.UNKNOWN in waiver.causes and not allows_unknown:
        yield f"{who} accepts the cause `unknown`, which needs --allow-unknown-causes"
    yield from (f"{who} {problem}" for problem in _too_wide(waiver, feature))
    if feature.counts.n_differing > len(feature.differences):
        yield (
            f"{who} cannot be applied: only {len(feature.differences):,} of"
            f" {feature.counts.n_differing:,} differing cells were kept"
        )


def _too_wide(waiver: Waiver, feature: FeatureComparison) -> Iterator[str]:
    tolerance = waiver.tolerance
    if tolerance.is_declared and not _is_number(feature.dtype):
        yield f"has a tolerance, but {feature.dtype.value} is no number"
    if tolerance.ulp is not None and not feature.dtype.is_float:
        yield f"counts in units in the last place, but {feature.dtype.value} is no float"
    if tolerance.relative is not None and tolerance.relative > MAX_RELATIVE:
        yield f"is too wide: relative {tolerance.relative:g}, {MAX_RELATIVE:g} is the most"
    if tolerance.ulp is not None and tolerance.ulp > MAX_ULP:
        yield f"is too wide: {tolerance.ulp:,} ulp, {MAX_ULP:,} are the most"
    spread = _spread(feature)
    if tolerance.absolute is not None and spread and tolerance.absolute > MAX_SPREAD_SHARE * spread:
        yield (
            f"is too wide: absolute {tolerance.absolute:g}, where nine tenths of the values lie"
            f" within {spread:g}; {MAX_SPREAD_SHARE:.0%} of that is the most"
        )


def _is_number(dtype: Dtype) -> bool:
    return dtype.element in {Dtype.INT32, Dtype.INT64, Dtype.FLOAT32, Dtype.FLOAT64}


def _spread(feature: FeatureComparison) -> float | None:
    numbers = None if feature.statistics is None else feature.statistics.numbers
    if numbers is None or numbers.offline is None:
        return None
    return float(numbers.offline.at(0.95) - numbers.offline.at(0.05))


def _apply(waiver: Waiver, feature: FeatureComparison) -> FeatureComparison:
    kept: list[Difference] = []
    n_tolerated = 0
    for difference in feature.differences:
        if _is_tolerated(waiver, difference):
            n_tolerated += 1
        elif difference.finding is not None and difference.finding.cause in waiver.causes:
            kept.append(replace(difference, is_waived=True))
        else:
            kept.append(difference)
    by_outcome = Counter(feature.counts.by_outcome)
    by_outcome[Outcome.MISMATCH] -= n_tolerated
    by_outcome[Outcome.WITHIN_TOLERANCE] += n_tolerated
    counts = replace(
        feature.counts,
        by_outcome=+by_outcome,
        by_cause=Counter(
            difference.finding.cause for difference in kept if difference.finding is not None
        ),
        n_waived=sum(difference.is_waived for difference in kept),
    )
    return replace(feature, counts=counts, differences=tuple(kept))


def _is_tolerated(waiver: Waiver, difference: Difference) -> bool:
    """Tell whether only the value differs, and by no more than was declared."""
    offline, online = difference.offline, difference.online
    return (
        difference.outcome is Outcome.MISMATCH
        and offline.status is online.status
        and offline.event_us == online.event_us
        and waiver.tolerance.allows(difference.dtype, offline.value, online.value)
    )
