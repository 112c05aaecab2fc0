"""A comparison of scores for people and for machines."""

from __future__ import annotations

import dataclasses
from typing import Any

from training.scoring.agreement import Agreement
from training.scoring.comparison import FeatureDifference, PlainInput, RowDifference

__all__ = ["agreement_document", "render_agreement"]

_REPORT_VERSION = 1
_MOST_ROWS = 20


def agreement_document(agreement: Agreement) -> dict[str, Any]:
    """Return everything as what JSON can hold."""
    return {
        **dataclasses.asdict(agreement),
        "report_version": _REPORT_VERSION,
        "n_scores_equal": agreement.n_scores_equal,
        "n_inputs": agreement.n_inputs,
        "coverage": agreement.coverage,
        "n_inputs_differing": agreement.n_inputs_differing,
    }


def render_agreement(agreement: Agreement) -> str:
    """Render the differences, how many inputs were compared and, in the last line, the scores."""
    frozen = ", where the gateway's clock is frozen" if agreement.is_clock_frozen else ""
    instants = agreement.first_as_of
    if agreement.last_as_of != instants:
        instants += f" to {agreement.last_as_of}"
    lines = [
        f"`{agreement.feature_service}` at {agreement.gateway}, as of {instants}{frozen}",
        *(_row(row) for row in agreement.differences[:_MOST_ROWS]),
    ]
    n_more = len(agreement.differences) - _MOST_ROWS
    if n_more > 0:
        lines.append(f"... and {n_more:,} more rows; `--json PATH` has them all")
    if not agreement.is_covered:
        lines.append(
            f"too few inputs have a value on both sides: {agreement.coverage:.1%}, at least "
            f"{agreement.min_coverage:.1%} are asked for (`--min-coverage`); a comparison of "
            "nothing with nothing proves nothing"
        )
    n_differing = agreement.n_inputs_differing
    share = f"{agreement.n_inputs_not_null:,} of {agreement.n_inputs:,} not null on both sides"
    found = f"{n_differing:,} differ" if n_differing else "all equal"
    lines += [
        f"inputs: {share} ({agreement.coverage:.1%}), {found}",
        f"scores: {agreement.n_rows:,} rows, {agreement.n_scores_equal:,} equal to the last bit",
    ]
    return "\n".join(lines)


def _row(row: RowDifference) -> str:
    key = " ".join(f"{name}={value}" for name, value in row.entity_row.items())
    inputs = "; ".join(_input(item) for item in row.features)
    return (
        f"row {row.row_idx} {key}: score online={row.online_score!r} offline={row.offline_score!r} "
        f"({row.ulps:,} ulps apart); {inputs or 'the same inputs'}"
    )


def _input(item: FeatureDifference) -> str:
    online, offline = _value(item.online_value), _value(item.offline_value)
    if item.online_status != item.offline_status:
        online, offline = f"{online} {item.online_status}", f"{offline} {item.offline_status}"
    return f"{item.feature} online={online} offline={offline}"


def _value(value: PlainInput) -> str:
    return "null" if value is None else repr(value)
