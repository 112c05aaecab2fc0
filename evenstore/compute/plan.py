"""Decides which rows a run must load, from the watermark and the files that are there.

No I/O, no Feast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evenstore.compute.watermark import FileVersion, Watermark
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import EARLIEST_US, oldest_valid_us

__all__ = ["RunPlan", "changed_files", "plan_run"]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The interval of event timestamps to load, both ends inclusive, in microseconds, and why."""

    since_us: int
    until_us: int
    reason: str


def changed_files(watermark: Watermark | None, files: Mapping[str, FileVersion]) -> tuple[str, ...]:
    """Return the files that the last run had not read, or not in this version."""
    known: Mapping[str, FileVersion] = {} if watermark is None else watermark.files
    return tuple(path for path, version in files.items() if known.get(path) != version)


def plan_run(
    view: FeatureViewSchema,
    watermark: Watermark | None,
    *,
    fingerprint: str,
    start_us: int,
    end_us: int,
    earliest_unread_us: int | None,
) -> RunPlan:
    """Plan a run that was asked for an interval.

    The interval's start is a wish: Feast takes it from the wall clock or from its own record of
    runs, and neither knows what is in Redis. Without a watermark for this schema the newest row
    within ttl of the end is loaded, however old; where expired values are shown, or the ttl is not
    enforced, the newest row of any age. With one, everything after it, everything that the caller
    asks for, and everything as late as what unread files hold.

    Args:
        view: The view.
        watermark: What Redis holds, None for nothing.
        fingerprint: Of the view and its source columns, as they are now.
        start_us: Start asked for, inclusive.
        end_us: End asked for, inclusive, already not after now.
        earliest_unread_us: Earliest event timestamp of the files that the last run had not read,
            None when there are none.
    """
    if watermark is None:
        since_us = min(start_us, _oldest_shown_us(view, end_us))
        return RunPlan(since_us, end_us, "nothing loaded yet")
    if watermark.fingerprint != fingerprint:
        since_us = min(start_us, _oldest_shown_us(view, end_us))
        return RunPlan(since_us, end_us, "the schema changed")
    since_us = min(start_us, watermark.event_end_us + 1)
    if earliest_unread_us is not None and earliest_unread_us < since_us:
        return RunPlan(earliest_unread_us, end_us, "files with late rows")
    return RunPlan(since_us, end_us, "since the last run")


def _oldest_shown_us(view: FeatureViewSchema, end_us: int) -> int:
    if not view.withholds_expired:
        return EARLIEST_US
    return oldest_valid_us(as_of_us=end_us, ttl_us=view.enforced_ttl_us)
