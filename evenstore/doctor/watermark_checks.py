"""What a view's watermark, or its absence, means for its readers: a pure function."""

from __future__ import annotations

from evenstore.clock import format_us
from evenstore.doctor.finding import Finding, Severity, fine
from evenstore.doctor.watermark_facts import WatermarkFacts
from evenstore.semantics import is_within_ttl

__all__ = ["check_recorded_end", "check_watermark"]

_RUN = "run `feast materialize-incremental`"


def check_watermark(facts: WatermarkFacts, *, now_us: int) -> Finding:
    """Judge how far a view is loaded; the gravest finding alone is returned."""
    name = facts.view.name
    if facts.problem is not None:
        return Finding(
            "watermark",
            Severity.ERROR,
            facts.problem.message,
            "the view cannot be materialized",
            facts.problem.hint or "look at what the user may read",
        )
    if facts.event_end_us is None:
        return _check_absent(facts)
    end = format_us(facts.event_end_us)
    if facts.has_rows is False:
        return Finding(
            "watermark",
            Severity.WARNING,
            f"{name}: loaded up to {end}, but no row of it is in Redis",
            "unless its source has none within the ttl, rows were evicted or deleted: they are "
            "served as NOT_FOUND, and the next run does not load them again",
            f"`redis-cli HDEL evenstore:watermarks:<project> {name}`, then {_RUN}",
        )
    if facts.is_schema_changed:
        return Finding(
            "watermark",
            Severity.WARNING,
            f"{name}: its schema or ttl has changed since it was loaded up to {end}",
            "features that are new are served as NOT_FOUND",
            f"{_RUN}: it loads everything again",
        )
    return _check_age(facts, facts.event_end_us, now_us)


def _check_absent(facts: WatermarkFacts) -> Finding:
    name = facts.view.name
    if facts.recorded_end_us is not None:
        return Finding(
            "watermark",
            Severity.WARNING,
            f"{name}: Feast recorded a run up to {format_us(facts.recorded_end_us)}, but Redis has "
            "no watermark",
            "another engine wrote the rows, or Redis has lost them: then they are served as "
            "NOT_FOUND",
            f"{_RUN}: it loads everything, and harms no row that is there",
        )
    rows = "; rows of it are there, pushed or written by another engine" if facts.has_rows else ""
    return Finding(
        "watermark",
        Severity.WARNING,
        f"{name}: never materialized{rows}",
        "entities without a pushed row are served as NOT_FOUND",
        _RUN,
    )


def _check_age(facts: WatermarkFacts, event_end_us: int, now_us: int) -> Finding:
    view, end = facts.view, format_us(event_end_us)
    if not is_within_ttl(event_us=event_end_us, as_of_us=now_us, ttl_us=view.ttl_us):
        return Finding(
            "watermark",
            Severity.WARNING,
            f"{view.name}: loaded up to {end}, longer ago than its ttl",
            "every row that a run wrote has expired: OUTSIDE_MAX_AGE where the ttl is enforced",
            f"{_RUN}, and schedule it more often than the ttl",
        )
    if facts.n_unread_files:
        return Finding(
            "watermark",
            Severity.INFO,
            f"{view.name}: loaded up to {end}; {facts.n_unread_files:,} files are new since",
            "their rows are not served yet",
            f"{_RUN}: it reads them, late rows too",
        )
    return fine("watermark", f"{view.name}: loaded up to {end}")


def check_recorded_end(name: str, recorded_end_us: int | None) -> Finding:
    """Judge a view that another engine materializes: there is only what Feast recorded."""
    if recorded_end_us is not None:
        return fine("watermark", f"{name}: Feast recorded a run up to {format_us(recorded_end_us)}")
    return Finding(
        "watermark",
        Severity.WARNING,
        f"{name}: Feast has recorded no run",
        "entities without a pushed row are not found",
        _RUN,
    )
