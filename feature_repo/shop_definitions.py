"""The online shop: its entities, feature views, on-demand view and feature services.

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
from feast.types import Array, Bool, Float32, Float64, Int64, String, UnixTimestamp

from evenstore.transform.feature_sql import load_feature_sql

# A relative path counts from this folder, as Feast resolves it.
FEATURES = os.environ.get("EVENSTORE_FEATURES", "../.evenstore/features")
TRANSFORMS = Path(__file__).parent / "transforms"
OWNER = "shop-data@example.com"


def sql_tags(table: str) -> dict[str, str]:
    """Tag a view with the version and fingerprint of the SQL that its rows must come from."""
    sql = load_feature_sql(TRANSFORMS / f"{table}.sql")
    return {"sql_version": str(sql.version), "sql_fingerprint": sql.fingerprint}


def feature_files(table: str) -> FileSource:
    """Return the folder of a feature table; its rows say when they were readable."""
    return FileSource(
        name=f"{table}_source",
        path=f"{FEATURES}/{table}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )


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
        Field(
            name="is_wholesale",
            dtype=Bool,
            description="At least 20 units for each line bought in 90 days",
        ),
    ],
    source=feature_files("customer_activity"),
    online=True,
    description="What a customer ordered, spent and returned in the last 7, 30 and 90 days.",
    owner=OWNER,
    tags={"tier": "critical", "promise": "2 hours", **sql_tags("customer_activity")},
)

customer_profile = FeatureView(
    name="customer_profile",
    entities=[customer],
    # Facts that hold until the next order changes them, however long that takes: no ttl.
    ttl=timedelta(0),
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="country", dtype=String, description="Of the newest order until then"),
        Field(name="first_order_at", dtype=UnixTimestamp, description="Instant of the first order"),
        Field(name="last_order_at", dtype=UnixTimestamp, description="Instant of the last order"),
        Field(name="lifetime_orders", dtype=Int64, description="Sale invoices so far"),
        Field(name="lifetime_spend", dtype=Float64, description="Pounds spent so far"),
        Field(name="has_returned", dtype=Bool, description="Whether anything ever came back"),
        Field(
            name="favourite_products",
            dtype=Array(String),
            description="Up to five stock codes, the most often ordered first",
        ),
    ],
    source=feature_files("customer_profile"),
    online=True,
    description="Who a customer is, as far as their orders tell.",
    owner=OWNER,
    tags={"tier": "standard", "promise": "2 hours", **sql_tags("customer_profile")},
)

product_demand = FeatureView(
    name="product_demand",
    entities=[product],
    # A row is made at least every midnight; what was not sold for 30 days expires.
    ttl=timedelta(days=2),
    schema=[
        Field(name="stock_code", dtype=String),
        Field(name="units_24h", dtype=Int64, description="Units sold in 24 hours"),
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
            description="Pounds for each unit in 30 days",
        ),
        Field(
            name="return_rate_30d",
            dtype=Float32,
            description="Units returned over units sold in 30 days",
        ),
        Field(name="last_sold_at", dtype=UnixTimestamp, description="Instant of the last sale"),
    ],
    source=feature_files("product_demand"),
    online=True,
    description="How much of a product was sold, to how many, at what price; by the hour.",
    owner=OWNER,
    tags={"tier": "critical", "promise": "30 minutes", **sql_tags("product_demand")},
)

customer_product = FeatureView(
    name="customer_product",
    entities=[customer, product],
    # Who has not touched a product for a year is new to it again.
    ttl=timedelta(days=365),
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="stock_code", dtype=String),
        Field(name="times_bought", dtype=Int64, description="Sale invoices and days so far"),
        Field(name="units_bought", dtype=Int64, description="Units bought so far"),
        Field(name="units_returned", dtype=Int64, description="Units returned so far"),
        Field(
            name="return_rate",
            dtype=Float32,
            description="Units returned over units bought so far",
        ),
        Field(name="last_unit_price", dtype=Float64, description="Pounds, at the last purchase"),
        Field(name="last_bought_at", dtype=UnixTimestamp, description="Instant of the last one"),
        Field(name="was_returned", dtype=Bool, description="Whether it ever came back"),
    ],
    source=feature_files("customer_product"),
    online=True,
    description="What one customer bought and returned of one product, so far.",
    owner=OWNER,
    tags={"tier": "batch", "promise": "2 hours", **sql_tags("customer_product")},
)

checkout_request = RequestSource(
    name="checkout_request",
    schema=[
        Field(name="quantity", dtype=Int64),
        Field(name="unit_price", dtype=Float64),
        Field(name="basket_value", dtype=Float64),
    ],
    description="What the till knows: units and pounds of the line, pounds in the basket.",
)


@on_demand_feature_view(
    sources=[
        customer_activity[["avg_basket_90d"]],
        product_demand[["avg_unit_price_30d"]],
        checkout_request,
    ],
    # Without descriptions: Feast compares these fields with those it infers, which have none.
    schema=[
        Field(name="line_quantity", dtype=Int64),
        Field(name="line_value", dtype=Float64),
        Field(name="line_share_of_basket", dtype=Float64),
        Field(name="basket_to_usual", dtype=Float64),
        Field(name="price_to_usual", dtype=Float64),
        Field(name="is_larger_than_usual", dtype=Bool),
    ],
    mode="python",
    description="The line at the till, and the basket and the price over what is usual for the "
    "customer and the product; null without a usual one.",
    owner=OWNER,
    tags={"tier": "critical", "promise": "computed at the request, never stored"},
)
def checkout_line(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    # Self-contained: the registry keeps this function alone, without the module around it.
    def ratios(values: list[Any], usual: list[Any]) -> list[Any]:
        return [
            value / base if value is not None and base is not None and base > 0 else None
            for value, base in zip(values, usual, strict=True)
        ]

    lines = [
        units * price if units is not None and price is not None else None
        for units, price in zip(inputs["quantity"], inputs["unit_price"], strict=True)
    ]
    baskets = ratios(inputs["basket_value"], inputs["avg_basket_90d"])
    return {
        "line_quantity": inputs["quantity"],
        "line_value": lines,
        "line_share_of_basket": ratios(lines, inputs["basket_value"]),
        "basket_to_usual": baskets,
        "price_to_usual": ratios(inputs["unit_price"], inputs["avg_unit_price_30d"]),
        "is_larger_than_usual": [None if ratio is None else ratio > 1.0 for ratio in baskets],
    }


churn_v1 = FeatureService(
    name="churn_v1",
    features=[customer_activity, customer_profile],
    description="Every night, for every customer: will they buy within 60 days?",
    owner=OWNER,
    tags={"tier": "batch"},
)

returns_v1 = FeatureService(
    name="returns_v1",
    features=[customer_activity, customer_profile, product_demand, customer_product, checkout_line],
    description="At checkout, for every line: will it be returned within 60 days?",
    owner=OWNER,
    tags={"tier": "critical"},
)
