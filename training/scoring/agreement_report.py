"""A comparison of scores for people and for machines."""

from __future__ import annotations

import dataclasses
from typing import Any

from training.scoring.agreement import Agreement, RowDifference

__all__ = ["agreement_document", "render_agreement"]

_REPORT_VERSION = 1
_MOST_ROWS = 20


def agreement_document(agreement: Agreement) -> dict[str, Any]:
    """Return everything as what JSON can hold."""
    return {
        **dataclasses.asdict(agreement),
        "report_version": _REPORT_VERSION,
        "n_scores_equal": agreement.n_scores_equal,
        "n_inputs_differing": agreement.n_inputs_differing,
    }


def render_agreement(agreement: Agreement) -> str:
    """Render the differences and, in the last line, how many scores are equal."""
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
    n_values = agreement.n_rows * agreement.n_features
    lines += [
        f"inputs: {n_values:,} values, {agreement.n_inputs_differing:,} differ",
        f"scores: {agreement.n_rows:,} rows, {agreement.n_scores_equal:,} equal to the last bit",
    ]
    return "\n".join(lines)


def _row(row: RowDifference) -> str:
    key = " ".join(f"{name}={value}" for name, value in row.entity_row.items())
    inputs = "; ".join(
        f"{item.feature} online={_value(item.online_value)} offline={_value(item.offline_value)}"
        for item in row.features
    )
    return (
        f"row {row.row_idx} {key}: score online={row.online_score!r} offline={row.offline_score!r} "
        f"({row.ulps:,} ulps apart); {inputs or 'the same inputs'}"
    )


def _value(value: float | str | None) -> str:
    return "null" if value is None else repr(value)
