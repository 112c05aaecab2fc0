"""What the duel found: per incident and side, and as the document that is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["DuelResult", "IncidentResult", "SideResult", "load_result", "read_audit", "save_result"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What an incident did to one model on one side.

    Attributes:
        n_moved: Rows whose score moved.
        n_flipped: Rows whose decision flipped.
        n_unscored: Rows without any score, because no values were given.
    """

    n_moved: int
    n_flipped: int
    n_unscored: int


@dataclass(frozen=True, slots=True)
class SideResult:
    """What an audit of one side found at an incident.

    Attributes:
        n_compared: Values compared.
        n_differing: Values that differ because of the incident.
        n_others: Values that differ for another reason.
        by_cause: Every cause with the number of its values.
        scores: By model.
    """

    n_compared: int
    n_differing: int
    n_others: int
    by_cause: Mapping[str, int]
    scores: Mapping[str, ScoreResult]


@dataclass(frozen=True, slots=True)
class IncidentResult:
    """One incident.

    Attributes:
        title: Few words.
        story: What happened, one sentence.
        cause: The true cause of what differs: the code that parity gives it.
        sides: By the side's name.
    """

    title: str
    story: str
    cause: str
    sides: Mapping[str, SideResult]


@dataclass(frozen=True, slots=True)
class DuelResult:
    """The whole week.

    Attributes:
        n_customers: Customers, and entity rows of every audit.
        n_lines: Invoice lines of the shop.
        seed: Of the shop.
        thresholds: Score from which a decision is yes, by model.
        incidents: In the order of the week.
    """

    n_customers: int
    n_lines: int
    seed: int
    thresholds: Mapping[str, float]
    incidents: tuple[IncidentResult, ...]


def read_audit(report: Path, *, cause: str) -> SideResult:
    """Read what an incident did from the JSON report of an audit.

    Args:
        report: What `evenstore-parity audit --json` wrote.
        cause: Whose values and scores are meant.
    """
    document = json.loads(report.read_text(encoding="utf-8"))
    total = document["total"]
    by_cause = {name: n for name, n in total["by_cause"].items() if n}
    n_differing = by_cause.get(cause, 0)
    return SideResult(
        n_compared=total["n_compared"],
        n_differing=n_differing,
        n_others=total["n_differing"] - n_differing,
        by_cause=by_cause,
        scores={
            impact["model"]: _score(impact, cause) for impact in document["sections"]["impact"]
        },
    )


def _score(impact: Mapping[str, Any], cause: str) -> ScoreResult:
    moved = impact["by_cause"].get(cause)
    n_moved, n_flipped = (moved["n_moved"], moved["n_flipped"]) if moved else (0, 0)
    return ScoreResult(n_moved, n_flipped, impact["n_unscored"])


def save_result(result: DuelResult, path: Path) -> None:
    """Write the result as JSON."""
    document = {"version": _VERSION, **asdict(result)}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load_result(path: Path) -> DuelResult:
    """Read a result back."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return DuelResult(
        n_customers=document["n_customers"],
        n_lines=document["n_lines"],
        seed=document["seed"],
        thresholds=document["thresholds"],
        incidents=tuple(_incident(incident) for incident in document["incidents"]),
    )


def _incident(document: Mapping[str, Any]) -> IncidentResult:
    sides = {
        name: SideResult(
            **{
                **side,
                "scores": {model: ScoreResult(**score) for model, score in side["scores"].items()},
            }
        )
        for name, side in document["sides"].items()
    }
    return IncidentResult(**{**document, "sides": sides})
