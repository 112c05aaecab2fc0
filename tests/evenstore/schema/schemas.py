"""Schemas that the tests of this folder share."""

from __future__ import annotations

from evenstore.dtypes import Dtype
from evenstore.schema.model import (
    FeatureServiceSchema,
    FeatureViewSchema,
    Field,
    OnDemandViewSchema,
    Projection,
    RegistrySchema,
)

__all__ = ["REGISTRY"]

STATS = FeatureViewSchema(
    name="stats",
    join_keys=(Field("driver_id", Dtype.INT64),),
    features=(Field("trips", Dtype.INT64), Field("rate", Dtype.FLOAT64)),
    ttl_us=3_600_000_000,
)
CITY = FeatureViewSchema(
    name="city",
    join_keys=(Field("city_id", Dtype.STRING),),
    features=(Field("load", Dtype.FLOAT64),),
    ttl_us=None,
)
RATIO = OnDemandViewSchema(
    name="ratio",
    mode="python",
    is_singleton=False,
    inputs=(("stats", "rate"),),
    request_fields=(Field("amount", Dtype.FLOAT64),),
    features=(Field("y", Dtype.FLOAT64),),
    udf=b"dill",
    udf_source="def ratio(columns): ...",
)
REGISTRY = RegistrySchema(
    project="tiny",
    feature_views=(CITY, STATS),
    on_demand_views=(RATIO,),
    feature_services=(
        FeatureServiceSchema(
            "both",
            (
                Projection("city", "city", ("load",)),
                Projection("ratio", "ratio", ("y",)),
                Projection("stats", "stats", ("rate", "trips")),
            ),
        ),
        FeatureServiceSchema(
            "trip",
            (
                Projection("city", "origin", ("load",), (("city_id", "from"),)),
                Projection("city", "destination", ("load",), (("city_id", "to"),)),
            ),
        ),
    ),
)
