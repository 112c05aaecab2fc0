"""Who buys, how often, from where, and when they stop.

Customers differ in rate (a gamma distribution: few heavy buyers, many light ones) and leave after a
while, so recency and frequency say something, though not everything, about the next purchase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["COUNTRIES", "HOME", "Customers", "OrderPlan", "draw_customers", "plan_orders"]

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

# Customers of the real set by country; of Unspecified, whose lines mostly lack a customer, a few.
_CUSTOMERS_BY_COUNTRY = {
    "United Kingdom": 3950, "Germany": 95, "France": 87, "Spain": 31, "Belgium": 25,
    "Switzerland": 21, "Portugal": 19, "Italy": 15, "Finland": 12, "Austria": 11, "Norway": 10,
    "Netherlands": 9, "Australia": 9, "Channel Islands": 9, "Denmark": 9, "Japan": 8,
    "Sweden": 8, "Cyprus": 8, "Poland": 6, "USA": 4, "Canada": 4, "Israel": 4, "Greece": 4,
    "Unspecified": 4, "EIRE": 3, "Malta": 2, "United Arab Emirates": 2, "Bahrain": 2,
    "European Community": 1, "RSA": 1, "Lebanon": 1, "Lithuania": 1, "Brazil": 1,
    "Czech Republic": 1, "Saudi Arabia": 1, "Iceland": 1, "Singapore": 1, "Hong Kong": 1,
}  # fmt: skip

COUNTRIES = tuple(_CUSTOMERS_BY_COUNTRY)
HOME = 0
"""Index of the shop's own country."""

_RATE_SHAPE = 0.9
_EARLY_SHARE = 0.4
_EARLY_DAYS = 90.0
_LIFETIME_DAYS = 700.0
_WHOLESALE_SHARE = 0.25
_MOVER_SHARE = 0.002
_FAVOURITES = 24


@dataclass(frozen=True, slots=True)
class Customers:
    """Properties of each customer, by index.

    Attributes:
        country: Index into COUNTRIES.
        later_country: The same, or where a mover went; used for the last order.
        is_wholesale: Whether they buy by the carton.
        favourites: Products they come back for, a row for each customer.
    """

    country: Integers
    later_country: Integers
    is_wholesale: Bools
    favourites: Integers

    def __len__(self) -> int:
        return len(self.country)


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """One order an entry: who, when (a calendar position), from where."""

    customer: Integers
    position: Floats
    country: Integers


def draw_customers(rng: np.random.Generator, n_customers: int, draw_products: Any) -> Customers:
    """Draw customers.

    Args:
        rng: Source of randomness.
        n_customers: How many.
        draw_products: Called with the generator and a count; returns products by popularity.
    """
    weights = np.array(list(_CUSTOMERS_BY_COUNTRY.values()), dtype=float)
    country = rng.choice(len(COUNTRIES), size=n_customers, p=weights / weights.sum())
    n_movers = max(1, round(_MOVER_SHARE * n_customers))
    movers = rng.choice(n_customers, size=n_movers, replace=False)
    later_country = country.copy()
    later_country[movers] = (country[movers] + rng.integers(1, len(COUNTRIES), n_movers)) % len(
        COUNTRIES
    )
    return Customers(
        country=country.astype(np.int64),
        later_country=later_country.astype(np.int64),
        is_wholesale=rng.random(n_customers) < _WHOLESALE_SHARE,
        favourites=draw_products(rng, n_customers * _FAVOURITES).reshape(n_customers, _FAVOURITES),
    )


def plan_orders(
    rng: np.random.Generator, customers: Customers, *, n_orders: int, n_days: float
) -> OrderPlan:
    """Spread orders over customers and time; every customer gets at least one.

    Args:
        rng: Source of randomness.
        customers: Who buys.
        n_orders: Total, at least the number of customers.
        n_days: Length of the calendar, in positions.
    """
    n = len(customers)
    is_early = rng.random(n) < _EARLY_SHARE
    joined = np.where(is_early, rng.exponential(_EARLY_DAYS, n), rng.uniform(0.0, n_days, n))
    joined = np.minimum(joined, n_days * rng.random(n) ** 0.1)
    left = np.minimum(joined + rng.exponential(_LIFETIME_DAYS, n), n_days)
    weights = rng.gamma(_RATE_SHAPE, size=n) * (left - joined)
    n_more = rng.multinomial(n_orders - n, weights / weights.sum())
    again = np.repeat(np.arange(n), n_more)
    customer = np.concatenate((np.arange(n), again))
    position = np.concatenate(
        (joined, rng.uniform(joined[again], left[again]) if len(again) else joined[again])
    )
    return OrderPlan(customer, position, _countries(customers, customer, position))


def _countries(customers: Customers, customer: Integers, position: Floats) -> Integers:
    last_position = np.zeros(len(customers))
    np.maximum.at(last_position, customer, position)
    is_last = position == last_position[customer]
    return np.where(is_last, customers.later_country[customer], customers.country[customer])
