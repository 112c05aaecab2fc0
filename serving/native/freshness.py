"""How far a feature view is materialized, asked of Redis, where its rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evenstore.clock import format_us
from evenstore.compute.watermark import Watermark, parse_watermark, read_watermark_command
from evenstore.errors import UnknownFeatureError
from evenstore.schema.model import FeatureViewSchema
from serving.native.models import ViewFreshness

if TYPE_CHECKING:
    from serving.gateway import Gateway

__all__ = ["read_freshness"]

_US_PER_S = 1_000_000


async def read_freshness(gateway: Gateway, view_name: str) -> ViewFreshness:
    """Read the freshness of a feature view.

    Raises:
        UnknownFeatureError: The registry has no such view.
        CorruptRowError: The stored watermark cannot be read.
        OnlineStoreError: Redis failed.
    """
    as_of_us = gateway.clock.now_us()
    schema = gateway.plans.schema
    views = {view.name: view for view in schema.feature_views}
    if view_name not in views:
        raise UnknownFeatureError([view_name], list(views))
    view = views[view_name]
    stored_name = view.stored().name
    (reply,) = await gateway.reader.read([read_watermark_command(schema.project, stored_name)])
    watermark = parse_watermark(reply, schema.project, stored_name)
    return _describe(view, watermark, as_of_us)


def _describe(view: FeatureViewSchema, watermark: Watermark | None, as_of_us: int) -> ViewFreshness:
    event_us = None if watermark is None else watermark.event_end_us
    loaded_us = None if watermark is None else watermark.sequence_us
    return ViewFreshness(
        feature_view=view.name,
        as_of=format_us(as_of_us),
        as_of_us=as_of_us,
        ttl_s=None if view.ttl_us is None else view.ttl_us / _US_PER_S,
        is_materialized=watermark is not None,
        watermark=None if event_us is None else format_us(event_us),
        watermark_us=event_us,
        age_s=None if event_us is None else (as_of_us - event_us) / _US_PER_S,
        last_materialized=None if loaded_us is None else format_us(loaded_us),
        last_materialized_us=loaded_us,
    )
