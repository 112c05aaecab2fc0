"""When the shop's data were late: drawn from a stated distribution, as the set has no such times.

With a chance of 5 % an outage begins at 02:00 after a day, when its tables are due, and nothing is
published for hours (lognormal, median 6 hours, sigma 0.7, at most 20): the day's rows come late,
and so do the hourly rows of that morning. With a chance of 2.5 % a day's upload breaks: what the
tills sold after an hour drawn evenly from 10:00 to 16:00 arrives only on the next day, drawn evenly
from 06:00 to 20:00, so that the day is published without it and corrected then. After an incident
there is none for two days. The same days and seed give the same incidents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from evenstore.whole_file import whole_file

__all__ = ["IncidentReport", "draw_incidents"]

_OUTAGE_SHARE = 0.05
_BROKEN_UPLOAD_SHARE = 0.025
_PROMISED_HOUR = 2
_OUTAGE_MEDIAN_HOURS = 6.0
_OUTAGE_SPREAD = 0.7
_OUTAGE_MOST_HOURS = 20.0
_BROKEN_FROM_HOURS = (10.0, 16.0)
_ARRIVES_HOURS = (6.0, 20.0)
_DAYS_APART = 3


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """How many incidents were drawn."""

    n_outages: int
    n_broken_uploads: int


def draw_incidents(
    destination: Path, *, first_day: date, last_day: date, seed: int
) -> IncidentReport:
    """Write a file of incidents for `evenstore transform --incidents`.

    Args:
        destination: The JSON file to write.
        first_day: First day of the feature tables.
        last_day: Last day, inclusive.
        seed: Another seed draws other incidents.
    """
    rng = np.random.default_rng(seed)
    outages, uploads = [], []
    n_days = (last_day - first_day).days + 1
    day_idx = 0
    while day_idx < n_days:
        midnight = datetime.combine(first_day + timedelta(days=day_idx), time(), UTC)
        chance = rng.random()
        if chance < _OUTAGE_SHARE:
            outages.append(_outage(rng, midnight))
        elif chance < _OUTAGE_SHARE + _BROKEN_UPLOAD_SHARE:
            uploads.append(_broken_upload(rng, midnight))
        has_incident = chance < _OUTAGE_SHARE + _BROKEN_UPLOAD_SHARE
        day_idx += _DAYS_APART if has_incident else 1
    document = {"outages": outages, "late_events": uploads}
    with whole_file(destination) as temporary:
        temporary.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return IncidentReport(len(outages), len(uploads))


def _outage(rng: np.random.Generator, midnight: datetime) -> dict[str, str]:
    hours = min(_OUTAGE_MEDIAN_HOURS * rng.lognormal(0.0, _OUTAGE_SPREAD), _OUTAGE_MOST_HOURS)
    since = midnight + timedelta(days=1, hours=_PROMISED_HOUR)
    until = since + timedelta(minutes=max(1, round(hours * 60)))
    return {"since": since.isoformat(), "until": until.isoformat()}


def _broken_upload(rng: np.random.Generator, midnight: datetime) -> dict[str, str]:
    since = midnight + timedelta(minutes=round(60 * rng.uniform(*_BROKEN_FROM_HOURS)))
    until = midnight + timedelta(days=1)
    arrived = until + timedelta(minutes=round(60 * rng.uniform(*_ARRIVES_HOURS)))
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "arrived": arrived.isoformat(),
    }
