"""What a check found, what follows from it and what to do: plain data, and its exit code."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CHECKS", "Finding", "Severity", "exit_code", "fine", "worst_severity"]

CHECKS = (
    "feast-version",
    "feast-config",
    "feast-registry",
    "registry-type",
    "serve-while-materializing",
    "view-versions",
    "entity-key-version",
    "offline-store",
    "online-store",
    "batch-engine",
    "redis-reachable",
    "redis-access",
    "redis-version",
    "redis-topology",
    "redis-persistence",
    "redis-maxmemory",
    "redis-eviction",
    "redis-headroom",
    "redis-scripts",
    "clock-skew",
    "frozen-clock",
    "row-layout",
    "hash-encoding",
    "memory-forecast",
    "view-schema",
    "view-source",
    "created-column",
    "event-column",
    "view-ttl",
    "ttl-enforcement",
    "watermark",
)
"""Every check there is, in the order of the report; docs/reference/doctor.md lists the same."""


class Severity(enum.Enum):
    """How bad a finding is, from best to worst."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_FROM_BEST = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: One of `CHECKS`.
        severity: How bad it is.
        what: What was found, with the view or setting that it is about.
        consequence: What happens if it stays so; empty where all is well.
        remedy: What to do; empty where all is well.
    """

    check: str
    severity: Severity
    what: str
    consequence: str = ""
    remedy: str = ""


def fine(check: str, what: str) -> Finding:
    """Return the finding of a check that found nothing wrong."""
    return Finding(check, Severity.OK, what)


def worst_severity(findings: Iterable[Finding]) -> Severity:
    """Return the worst severity of some findings; OK for none."""
    return max((found.severity for found in findings), key=_FROM_BEST.index, default=Severity.OK)


def exit_code(findings: Iterable[Finding], *, is_strict: bool = False) -> int:
    """Return 1 for an error, with `is_strict` for a warning too; else 0."""
    worst = worst_severity(findings)
    fails = {Severity.ERROR, Severity.WARNING} if is_strict else {Severity.ERROR}
    return int(worst in fails)
