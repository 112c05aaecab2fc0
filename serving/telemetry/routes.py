"""`GET /metrics`: the numbers of all workers, from whichever worker is asked."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from serving.telemetry.exposition import render
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place

__all__ = ["telemetry_routes"]


def telemetry_routes(metrics: Metrics, place: Place) -> APIRouter:
    """Make the route.

    Args:
        metrics: This worker's numbers.
        place: Where the other workers' are.
    """
    router = APIRouter(tags=["telemetry"])

    @router.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=PlainTextResponse,
        responses={200: {"content": {"application/openmetrics-text": {}}}},
    )
    async def get_metrics(request: Request) -> Response:
        """Counters and histograms of all workers together, gauges by worker.

        Text format 0.0.4, or OpenMetrics where `accept` asks for it.
        """
        numbers = await place.collect(metrics)
        accept = request.headers.get("accept", "")
        # In a thread: with many views it takes longer than a lookup may wait.
        text, content_type = await asyncio.to_thread(render, numbers, accept)
        return Response(text, headers={"content-type": content_type})

    return router
