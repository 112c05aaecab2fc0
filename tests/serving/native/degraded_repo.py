"""A schema whose services declare what they answer where values are missing, and its rows."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import dill
import redis

from evenstore.clock import datetime_to_us
from evenstore.dtypes import Dtype
from evenstore.schema.model import (
    FeatureDefault,
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)
from evenstore.semantics import OnUnavailable
from tests.support.stored_rows import write_rows

__all__ = [
    "FRESH",
    "HOUR_US",
    "NULLS",
    "OLD",
    "OLDER",
    "SCHEMA",
    "TAXED",
    "TORN",
    "UNKNOWN",
    "fill",
]

PROJECT = "degraded"
HOUR_US = 3_600_000_000
FRESH, NULLS, OLD, OLDER, TORN, UNKNOWN = 1, 2, 3, 4, 5, 99
_CUSTOMER = Field("customer_id", Dtype.INT64)
_ACTIVITY = FeatureViewSchema(
    "activity",
    (_CUSTOMER,),
    (Field("orders", Dtype.INT64), Field("spend", Dtype.FLOAT64)),
    24 * HOUR_US,
)
_PROFILE = FeatureViewSchema(
    "profile", (_CUSTOMER,), (Field("country", Dtype.STRING), Field("tag", Dtype.BYTES)), None
)


def add_tax(frame: Any) -> Any:
    return (frame[["spend"]] * (1 + frame["rate"].iloc[0])).rename(columns={"spend": "gross"})


def count_up(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"next_order": None if inputs["orders"] is None else inputs["orders"] + 1}


def _on_demand(function: Any, mode: str, column: str, **declared: Any) -> OnDemandViewSchema:
    return OnDemandViewSchema(
        name=function.__name__,
        mode=mode,
        is_singleton=mode == "python",
        inputs=(("activity", column),),
        udf=dill.dumps(function, recurse=True),
        udf_source="",
        **declared,
    )


_STORED = (
    Projection("activity", "activity", ("orders", "spend")),
    Projection("profile", "profile", ("country", "tag")),
)
_NEXT = Projection("count_up", "count_up", ("next_order",))
_DEFAULTS = (
    FeatureDefault("activity", "orders", "0"),
    FeatureDefault("profile", "country", '"?"'),
    FeatureDefault("profile", "tag", '"AP8="'),
    FeatureDefault("count_up", "next_order", "1"),
)
SCHEMA = RegistrySchema(
    PROJECT,
    (_ACTIVITY, _PROFILE),
    (
        _on_demand(
            add_tax,
            "pandas",
            "spend",
            request_fields=(Field("rate", Dtype.FLOAT64),),
            features=(Field("gross", Dtype.FLOAT64),),
        ),
        _on_demand(
            count_up,
            "python",
            "orders",
            request_fields=(),
            features=(Field("next_order", Dtype.INT64),),
        ),
    ),
    (
        FeatureServiceSchema("strict", (*_STORED, _NEXT)),
        FeatureServiceSchema(
            "open",
            (*_STORED, _NEXT),
            defaults=_DEFAULTS,
            on_unavailable=OnUnavailable.OPEN,
            max_stale_us=2 * HOUR_US,
        ),
    ),
)


TAXED = dataclasses.replace(
    SCHEMA,
    feature_services=(
        *SCHEMA.feature_services,
        FeatureServiceSchema("taxed", (Projection("add_tax", "add_tax", ("gross",)),)),
    ),
)
"""With a service whose on-demand view is of mode `pandas`."""


def fill(client: redis.Redis, now: datetime) -> None:
    """Write rows as old as their names say: within ttl, within what is allowed after, older."""
    now_us = datetime_to_us(now)
    values = {"orders": 4, "spend": 10.0}
    ages = {FRESH: HOUR_US, NULLS: HOUR_US, OLD: 25 * HOUR_US, OLDER: 27 * HOUR_US, TORN: 0}
    activity = [
        ([customer], {} if customer == NULLS else values, now_us - age)
        for customer, age in ages.items()
    ]
    write_rows(client, PROJECT, _ACTIVITY, activity)
    profile = [
        ([customer], {"country": "GB", "tag": b"x"}, now_us) for customer in (FRESH, OLD, TORN)
    ]
    write_rows(client, PROJECT, _PROFILE, profile)
