"""What the metrics and the log are told of an answer to `POST /v1/feature-vectors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenstore.errors import EntityRowsError, EvenstoreError
from evenstore.online.row_lookup import RowVectors
from serving.errors import status_of

if TYPE_CHECKING:
    from serving.gateway import Gateway
    from serving.plans import ReadPlan

__all__ = ["ROUTE", "observe_answer"]

ROUTE = "/v1/feature-vectors"


def observe_answer(gateway: Gateway, plan: ReadPlan, answer: RowVectors) -> None:
    """Count statuses, ages and errors of entity rows, and log what is not the caller's to mend."""
    metrics = gateway.metrics
    as_of_us = answer.as_of_us
    samples_ages = metrics.samples_ages()
    for counts, places in plan.counted_views(metrics):
        for i in places:
            counts.count(answer.columns[i].statuses)
        if samples_ages:
            for event_us in answer.columns[places[0]].event_us:
                if event_us is not None:
                    counts.observe_age_us(as_of_us - event_us)
    if answer.errors:
        _observe_errors(gateway, answer)


def _observe_errors(gateway: Gateway, answer: RowVectors) -> None:
    by_code: dict[str, list[EvenstoreError]] = {}
    for error in answer.errors.values():
        by_code.setdefault(error.code, []).append(error)
    for code, errors in by_code.items():
        gateway.metrics.count_row_error(code, len(errors))
        # What a caller sent is told to the caller alone.
        if not isinstance(errors[0], EntityRowsError):
            gateway.log.log_error(errors[0], route=ROUTE, status=status_of(errors[0]))
