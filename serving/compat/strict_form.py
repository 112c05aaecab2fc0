"""Gives answers of the lookup route stock Feast's shape, after the fact: for migrations only.

An answer is made as always and then rearranged, which costs about as much again and leaves the
usual way free of a second form.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from evenstore.dtypes import Dtype
from evenstore.errors import EvenstoreError
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status
from serving.compat.strict import (
    STRICT_NULL_TIMESTAMP,
    missing_request_data,
    strict_error,
    strict_order,
)
from serving.gateway import Gateway
from serving.hot.feast_request import parse_feast_request

__all__ = ["StrictForm"]


class StrictForm:
    """Stock's order, null timestamps and errors for the answers of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def restore(self, body: bytes, request: FeatureRequest, answer: bytes) -> bytes:
        """Rearrange an answer.

        Args:
            body: The request's.
            request: What was planned for it: the schema may be another by now.
            answer: What the gateway answered.
        """
        parsed = orjson.loads(answer)
        names, results = parsed["metadata"]["feature_names"], parsed["results"]
        n_keys = len(request.entity_columns)
        for column, result in zip(request.columns, results[n_keys:], strict=True):
            if column.field.dtype is Dtype.UNIX_TIMESTAMP and not column.is_on_demand:
                _mark_nulls(result)
        order = strict_order(request, parse_feast_request(body).entities)
        places = [*order.keys, *(n_keys + i for i in order.features)]
        parsed["metadata"]["feature_names"] = [names[i] for i in places]
        parsed["results"] = [results[i] for i in places]
        return orjson.dumps(parsed)

    def error(self, error: EvenstoreError, body: bytes) -> Response | None:
        """Render an error as stock does; None for one that stock does not know.

        Args:
            error: What went wrong.
            body: The request's, as far as it came.
        """
        schema = self._gateway.plans.schema
        views = {view.name for view in schema.feature_views}
        views |= {view.name for view in schema.on_demand_views}
        told = strict_error(
            error, project=schema.project, known_views=views, missing=self._missing(body)
        )
        if told is None:
            return None
        return Response(told.body, status_code=told.status, media_type="application/json")

    def _missing(self, body: bytes) -> list[str]:
        try:
            asked = parse_feast_request(body)
            return missing_request_data(self._gateway.plan(asked).request, asked.entities)
        except EvenstoreError:
            return []


def _mark_nulls(result: dict[str, list[Any]]) -> None:
    result["values"] = [
        STRICT_NULL_TIMESTAMP if status == Status.NULL_VALUE.name else value
        for value, status in zip(result["values"], result["statuses"], strict=True)
    ]
