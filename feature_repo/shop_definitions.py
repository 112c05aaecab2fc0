"""The online shop: its entities, feature views, on-demand view and feature service.

Feast executes this file by its bare name, so it holds declarations only; everything else reads the
registry that `feast apply` writes. Types are those of the Parquet files that `transforms/*.sql`
give, exactly.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Bool, Float32, Float64, Int64, String, UnixTimestamp

from evenstore.transform.feature_sql import load_feature_sql

# A relative path counts from this folder, as Feast resolves it.
FEATURES = os.environ.get("EVENSTORE_FEATURES", "../.evenstore/features")
TRANSFORMS = Path(__file__).parent / "transforms"
OWNER = "shop-data@example.com"


def sql_tags(table: str) -> dict[str, str]:
    """Tag a view with the version and fingerprint of the SQL that its rows must come from."""
    sql = load_feature_sql(TRANSFORMS / f"{table}.sql")
    return {"sql_version": str(sql.version), "sql_fingerprint": sql.fingerprint}


customer = Entity(
    name="customer",
    join_keys=["customer_id"],
    value_type=ValueType.INT64,
    description="A customer with an account; a quarter of invoice lines have none.",
)

product = Entity(
    name="product",
    join_keys=["stock_code"],
    value_type=ValueType.STRING,
    description="A product by its stock code in capitals, for example 85123A.",
)

customer_activity_source = FileSource(
    name="customer_activity_source",
    path=f"{FEATURES}/customer_activity",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)

product_demand_source = FileSource(
    name="product_demand_source",
    path=f"{FEATURES}/product_demand",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)

customer_activity = FeatureView(
    name="customer_activity",
    entities=[customer],
    # A row is made every day while the customer has bought in the last 90 days. Two days bear one
    # missed run; a customer who stops buying expires two days after the last row.
    ttl=timedelta(days=2),
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="orders_7d", dtype=Int64, description="Sale invoices in 7 days"),
        Field(name="orders_30d", dtype=Int64, description="Sale invoices in 30 days"),
        Field(name="orders_90d", dtype=Int64, description="Sale invoices in 90 days"),
        Field(name="spend_7d", dtype=Float64, description="Pounds spent in 7 days"),
        Field(name="spend_30d", dtype=Float64, description="Pounds spent in 30 days"),
        Field(name="spend_90d", dtype=Float64, description="Pounds spent in 90 days"),
        Field(
            name="avg_basket_30d",
            dtype=Float64,
            description="Pounds for each order in 30 days; null without an order",
        ),
        Field(name="avg_basket_90d", dtype=Float64, description="Pounds for each order in 90 days"),
        Field(
            name="return_rate_90d",
            dtype=Float32,
            description="Units returned over units bought in 90 days; above 1 when older "
            "purchases come back",
        ),
        Field(
            name="days_since_last_order",
            dtype=Int64,
            description="From the day of the last order to the window's day",
        ),
        Field(
            name="distinct_products_90d",
            dtype=Int64,
            description="Different products bought in 90 days",
        ),
        Field(name="last_country", dtype=String, description="Country of the last order"),
        Field(
            name="is_wholesale",
            dtype=Bool,
            description="At least 20 units for each line bought in 90 days",
        ),
        Field(name="last_order_at", dtype=UnixTimestamp, description="Instant of the last order"),
    ],
    source=customer_activity_source,
    online=True,
    description="What a customer ordered, spent and returned in the last 7, 30 and 90 days.",
    owner=OWNER,
    tags={
        "tier": "critical",
        "promise": "a day's rows are readable by 02:00 UTC of the next day",
        **sql_tags("customer_activity"),
    },
)

product_demand = FeatureView(
    name="product_demand",
    entities=[product],
    # As above: one missed run is borne; what was not sold for 90 days expires.
    ttl=timedelta(days=2),
    schema=[
        Field(name="stock_code", dtype=String),
        Field(name="units_1d", dtype=Int64, description="Units sold on the day"),
        Field(name="units_7d", dtype=Int64, description="Units sold in 7 days"),
        Field(name="units_30d", dtype=Int64, description="Units sold in 30 days"),
        Field(name="orders_7d", dtype=Int64, description="Sale invoices in 7 days"),
        Field(
            name="buyers_7d",
            dtype=Int64,
            description="Different customers in 7 days; sales without a customer add none",
        ),
        Field(name="revenue_30d", dtype=Float64, description="Pounds taken in 30 days"),
        Field(
            name="avg_unit_price_30d",
            dtype=Float64,
            description="Pounds for each unit in 30 days; null without a sale",
        ),
        Field(
            name="return_rate_30d",
            dtype=Float32,
            description="Units returned over units sold in 30 days; null without a sale",
        ),
        Field(name="last_sold_at", dtype=UnixTimestamp, description="Instant of the last sale"),
    ],
    source=product_demand_source,
    online=True,
    description="How much of a product was sold, to how many, at what price.",
    owner=OWNER,
    tags={
        "tier": "standard",
        "promise": "a day's rows are readable by 00:30 UTC of the next day",
        **sql_tags("product_demand"),
    },
)

checkout_request = RequestSource(
    name="checkout_request",
    schema=[Field(name="basket_value", dtype=Float64)],
    description="What the till knows: pounds in the basket.",
)


@on_demand_feature_view(
    sources=[customer_activity[["avg_basket_90d"]], checkout_request],
    # Without descriptions: Feast compares these fields with those it infers, which have none.
    schema=[
        Field(name="basket_to_usual", dtype=Float64),
        Field(name="is_larger_than_usual", dtype=Bool),
    ],
    mode="python",
    description="The basket at the till over the customer's usual one, and whether it is larger; "
    "null without a usual one.",
    owner=OWNER,
    tags={"tier": "critical", "promise": "computed at the request, never stored"},
)
def basket_comparison(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    # Self-contained: the registry keeps this function alone, without the module around it.
    ratios = [
        basket / usual if basket is not None and usual is not None and usual > 0 else None
        for basket, usual in zip(inputs["basket_value"], inputs["avg_basket_90d"], strict=True)
    ]
    return {
        "basket_to_usual": ratios,
        "is_larger_than_usual": [None if ratio is None else ratio > 1.0 for ratio in ratios],
    }


checkout_v1 = FeatureService(
    name="checkout_v1",
    features=[customer_activity, product_demand, basket_comparison],
    description="All that is known at checkout about the customer, the product and the basket.",
    owner=OWNER,
    tags={"tier": "critical"},
)
