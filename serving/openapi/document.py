"""The gateway's OpenAPI document as its application makes it, without a registry or a Redis."""

from __future__ import annotations

import json
from typing import Any

from evenstore.clock import SystemClock
from evenstore.schema.model import RegistrySchema
from serving.app import create_app
from serving.gateway import Gateway
from serving.link.link import RedisLink
from serving.native.routes import native_routes
from serving.openapi.completion import completed
from serving.plans import Plans
from serving.settings import Limits
from serving.telemetry.metrics import Metrics
from serving.telemetry.places import Place
from serving.telemetry.routes import telemetry_routes
from serving.writes.client import WriterClient
from serving.writes.routes import write_routes

__all__ = ["build_document", "render_document"]

_NOWHERE = "redis://127.0.0.1:1/0"
"""Never connected to: connections are opened by the first request."""


def build_document() -> dict[str, Any]:
    """Make the document of a gateway with every route; no registry and no setting changes it."""
    gateway = Gateway(
        Plans(RegistrySchema("none", (), (), ())),
        RedisLink(_NOWHERE, timeout_s=1.0),
        SystemClock(),
        Limits(),
    )
    routers = [
        native_routes(gateway),
        write_routes(WriterClient("none")),
        telemetry_routes(Metrics(), Place(None, "none")),
    ]
    return completed(create_app(gateway, routers=routers).openapi())


def render_document(document: dict[str, Any]) -> str:
    """Render a document with sorted keys, one of them a line, so that differences are small."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
