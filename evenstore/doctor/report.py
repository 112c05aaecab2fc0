"""An examination as text for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from typing import Any

from evenstore.doctor.examination import Examination
from evenstore.doctor.finding import CHECKS, Finding, Severity, worst_severity

__all__ = ["render_json", "render_text"]

_SHOWN_ALIKE = 3
_IN_FULL = "memory-forecast"


def render_text(examination: Examination) -> str:
    """Render what is well in a line per check, then the findings, the gravest last."""
    findings = sorted(examination.findings, key=lambda found: CHECKS.index(found.check))
    well = [found for found in findings if found.severity is Severity.OK]
    groups = itertools.groupby(well, lambda found: found.check)
    lines = [line for check, same in groups for line in _summary(check, list(same))]
    for severity in (Severity.INFO, Severity.WARNING, Severity.ERROR):
        for found in findings:
            if found.severity is severity:
                lines += ["", *_paragraph(found)]
    return "\n".join([*lines, "", _verdict(findings)])


def render_json(examination: Examination) -> str:
    """Render as one JSON object: `verdict`, `headroom_bytes`, `findings` and `forecasts`."""
    return json.dumps(
        {
            "verdict": worst_severity(examination.findings).value,
            "headroom_bytes": examination.headroom_bytes,
            "findings": [_plain(found) for found in examination.findings],
            "forecasts": [
                {**dataclasses.asdict(forecast), "n_bytes": forecast.n_bytes}
                for forecast in examination.forecasts
            ],
        },
        indent=2,
    )


def _plain(found: Finding) -> dict[str, Any]:
    return {**dataclasses.asdict(found), "severity": found.severity.value}


def _summary(check: str, same: list[Finding]) -> list[str]:
    if check == _IN_FULL:
        return [f"ok       {check:26} {found.what}" for found in same]
    rest = len(same) - _SHOWN_ALIKE
    shown = "; ".join(found.what for found in same[:_SHOWN_ALIKE])
    more = f"; and {rest:,} more" if rest > 0 else ""
    return [f"ok       {check:26} {shown}{more}"]


def _paragraph(found: Finding) -> Iterable[str]:
    yield f"{found.severity.value:8} {found.check:26} {found.what}"
    yield f"  consequence: {found.consequence}"
    yield f"  remedy: {found.remedy}"


def _verdict(findings: Iterable[Finding]) -> str:
    severities = [found.severity for found in findings]
    counts = [
        _count(severities.count(severity), name)
        for severity, name in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
        )
    ]
    return f"{' and '.join(counts)} in {_count(len(severities), 'finding')}"


def _count(number: int, name: str) -> str:
    return f"1 {name}" if number == 1 else f"{number:,} {name}s"
