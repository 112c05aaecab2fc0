"""Lookups as an application makes them: over HTTP, with the typed client."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from evenstore.client.http import FeatureClient
from evenstore.clock import format_us

__all__ = ["describe_vector", "time_lookups"]

_N_REQUESTS = 200
_ROWS_PER_REQUEST = 10
_QUANTITY = 6
_UNIT_PRICE = 2.55
_BASKET = 120.0


def time_lookups(
    base_url: str, service: str, customers: Sequence[int], products: Sequence[str]
) -> str:
    """Send some requests of ten entity rows one after the other and say how long they took."""
    latencies_ms = []
    n_columns = 0
    with FeatureClient(base_url) as client:
        for i in range(_N_REQUESTS):
            chosen = [i * _ROWS_PER_REQUEST + j for j in range(_ROWS_PER_REQUEST)]
            entities: dict[str, Sequence[object]] = {
                "customer_id": [customers[k % len(customers)] for k in chosen],
                "stock_code": [products[k % len(products)] for k in chosen],
                "quantity": [_QUANTITY] * _ROWS_PER_REQUEST,
                "unit_price": [_UNIT_PRICE] * _ROWS_PER_REQUEST,
                "basket_value": [_BASKET] * _ROWS_PER_REQUEST,
            }
            started_s = time.perf_counter()
            answer = client.get_online_features(
                feature_service=service, entities=entities, full_feature_names=True
            )
            n_columns = len(answer.names)
            latencies_ms.append((time.perf_counter() - started_s) * 1000)
    percentiles = statistics.quantiles(latencies_ms, n=100)
    return (
        f"{_N_REQUESTS} requests x {_ROWS_PER_REQUEST} entity rows x {n_columns} columns: "
        f"p50 {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms, one after the other"
    )


def describe_vector(base_url: str, service: str, customer: int, product: str) -> list[str]:
    """Look one entity row up and lay its feature vector out, with statuses and event timestamps."""
    with FeatureClient(base_url) as client:
        answer = client.get_online_features(
            feature_service=service,
            entities={
                "customer_id": [customer],
                "stock_code": [product],
                "quantity": [_QUANTITY],
                "unit_price": [_UNIT_PRICE],
                "basket_value": [_BASKET],
            },
            full_feature_names=True,
        )
    line = f"{_QUANTITY} x {_UNIT_PRICE:.2f} in a basket of {_BASKET:.2f}"
    lines = [f"  feature vector of customer {customer}, product {product}, {line}:"]
    for name in answer.names:
        value, status = answer.values[name][0], answer.statuses[name][0]
        event_us = answer.event_us[name][0]
        event = format_us(event_us) if event_us else ""
        lines.append(f"    {name:<46} {value!s:<22} {status.name:<16} {event}".rstrip())
    return lines
