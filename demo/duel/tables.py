"""The duel's result for people: a table per incident, and all of them in one for the README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from demo.duel.results import DuelResult, IncidentResult, SideResult
from demo.duel.side import EVENSTORE, STOCK

__all__ = ["format_incident", "format_summary"]

_SIDES = (STOCK, EVENSTORE)
_LABEL_WIDTH = 34
_COLUMN_WIDTH = 28


def format_incident(incident: IncidentResult) -> Iterator[str]:
    """Give one incident's table line by line."""
    yield f"{incident.title}: {incident.story}"
    yield _row("", _SIDES)
    sides = [incident.sides[name] for name in _SIDES]
    yield _row("values that differ", [_values(side) for side in sides])
    causes = [", ".join(sorted(_causes(incident, side))) or "-" for side in sides]
    yield _row("true cause", causes)
    for model in sides[0].scores:
        yield _row(f"{model} scores moved", [_moved(side, model) for side in sides])
        yield _row(f"{model} decisions flipped", [_flipped(side, model) for side in sides])
    if any(side.n_others for side in sides):
        yield _row("values that differ otherwise", [f"{side.n_others:,}" for side in sides])


def format_summary(result: DuelResult) -> Iterator[str]:
    """Give the Markdown table of all incidents line by line; stock Feast first, then evenstore."""
    models = list(result.thresholds)
    heading = ["incident", "true cause", "values that differ"]
    for model in models:
        heading += [f"{model}: scores moved", f"{model}: decisions flipped"]
    yield _markdown(heading)
    yield _markdown(["---"] * 2 + ["---:"] * (len(heading) - 2))
    for incident in result.incidents:
        stock, ours = (incident.sides[name] for name in _SIDES)
        cells = [
            incident.title,
            incident.cause,
            _pair(_values(stock), _values(ours)),
        ]
        for model in models:
            cells.append(_pair(_moved(stock, model), _moved(ours, model)))
            cells.append(_pair(_flipped(stock, model), _flipped(ours, model)))
        yield _markdown(cells)


def _causes(incident: IncidentResult, side: SideResult) -> set[str]:
    return {cause for cause in side.by_cause if cause == incident.cause}


def _values(side: SideResult) -> str:
    if side.n_differing == side.n_compared:
        return "all unanswered"
    return f"{side.n_differing:,}"


def _moved(side: SideResult, model: str) -> str:
    score = side.scores[model]
    return "no score" if score.n_unscored else f"{score.n_moved:,}"


def _flipped(side: SideResult, model: str) -> str:
    score = side.scores[model]
    return "no decision" if score.n_unscored else f"{score.n_flipped:,}"


def _pair(stock: str, ours: str) -> str:
    return f"{stock} / {ours}"


def _row(label: str, cells: Sequence[str]) -> str:
    return (
        "  " + label.ljust(_LABEL_WIDTH) + "".join(c.rjust(_COLUMN_WIDTH) for c in cells)
    ).rstrip()


def _markdown(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
