"""What the shop sells: stock codes, descriptions, prices and popularity; and its service codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SERVICES", "Catalogue", "Service", "make_catalogue"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

# The price points of the real set and how many of its lines have them, in thousands.
_PRICES = (
    (0.19, 4), (0.29, 7), (0.39, 8), (0.42, 25), (0.55, 8), (0.65, 8), (0.85, 28), (1.25, 50),
    (1.45, 13), (1.65, 38), (1.95, 13), (2.1, 18), (2.55, 13), (2.95, 28), (3.75, 19),
    (4.15, 6), (4.25, 7), (4.95, 19), (5.95, 8), (7.95, 7), (8.5, 5), (9.95, 4), (12.75, 3),
    (14.95, 2), (16.95, 1),
)  # fmt: skip
_LOOKS = (
    "RED", "WHITE", "PINK", "BLUE", "IVORY", "GREEN", "SET OF 3", "SET OF 6", "PACK OF 12",
    "VINTAGE", "RETRO", "FRENCH", "WOODEN", "GLASS", "ANTIQUE SILVER", "JUMBO", "SMALL",
    "LARGE", "FELTCRAFT", "HANGING",
)  # fmt: skip
_MOTIFS = (
    "HEART", "SPOTTY", "DOILY", "PAISLEY", "WOODLAND", "SKULLS", "CIRCUS PARADE", "DOLLY GIRL",
    "SPACEBOY", "STRAWBERRY", "ROSE", "BIRD", "BUTTERFLY", "CHRISTMAS TREE", "REGENCY",
    "RETROSPOT", "LACE", "STAR", "OWL", "CAT",
)  # fmt: skip
_THINGS = (
    "T-LIGHT HOLDER", "LUNCH BAG", "CAKESTAND", "BUNTING", "MUG", "CAKE TINS", "STORAGE BOX",
    "DOORMAT", "LANTERN", "PHOTO FRAME", "WATER BOTTLE", "TEA TOWEL", "GIFT WRAP", "ORNAMENT",
    "CANDLE", "CLOCK", "NOTEBOOK", "APRON", "JAM MAKING SET", "PENCIL TIN",
)  # fmt: skip
_VARIANTS = "ABCDEF"
# Each base number with variants gives 2 to 6 codes: together a quarter of all, as in the real set.
_VARIANT_BASES = 0.085
_FIRST_CODE, _LAST_CODE = 10_002, 90_214
# Popularity falls as 1 / (rank + 60): the best seller has 0.4 % of lines, as in the real set.
_RANK_OFFSET = 60


@dataclass(frozen=True, slots=True)
class Service:
    """A code that is no product: postage, fees, discounts, manual entries."""

    code: str
    description: str
    typical_price: float


SERVICES = (
    Service("POST", "POSTAGE", 18.0),
    Service("DOT", "DOTCOM POSTAGE", 184.94),
    Service("C2", "CARRIAGE", 50.0),
    Service("M", "Manual", 7.95),
    Service("D", "Discount", 22.97),
    Service("S", "SAMPLES", 19.5),
    Service("BANK CHARGES", "Bank Charges", 82.73),
    Service("AMAZONFEE", "AMAZON FEE", 5909.87),
    Service("CRUK", "CRUK Commission", 471.77),
    Service("B", "Adjust bad debt", 11062.06),
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products, then the services, addressed by index.

    Attributes:
        codes: Stock code of each item; ascending among products.
        descriptions: One for each item.
        prices: Pounds, two decimals.
        popularity: Cumulative share of sale lines of each product, ending at 1.
        n_products: Items before the services.
    """

    codes: tuple[str, ...]
    descriptions: tuple[str, ...]
    prices: Floats
    popularity: Floats
    n_products: int

    def draw(self, rng: np.random.Generator, size: int) -> Integers:
        """Draw products by popularity."""
        return self.at(rng.random(size))

    def at(self, parts: Floats) -> Integers:
        """Return the product at each point, from 0 to below 1, of the popularity scale."""
        drawn = np.searchsorted(self.popularity, parts, side="right")
        return np.minimum(drawn, self.n_products - 1).astype(np.int64)

    def service(self, code: str) -> int:
        """Return the index of a service code."""
        return self.codes.index(code, self.n_products)


def make_catalogue(rng: np.random.Generator, n_products: int) -> Catalogue:
    """Make products with codes such as 85123 and 85123A, and the services after them."""
    codes = _stock_codes(rng, n_products)
    points, weights = np.array(_PRICES).T
    prices = rng.choice(points, size=n_products, p=weights / weights.sum())
    shares = 1.0 / (rng.permutation(n_products) + _RANK_OFFSET)
    parts = rng.permutation(len(_LOOKS) * len(_MOTIFS) * len(_THINGS))[:n_products]
    return Catalogue(
        codes=(*codes, *(service.code for service in SERVICES)),
        descriptions=(
            *(_description(int(part)) for part in parts),
            *(service.description for service in SERVICES),
        ),
        prices=np.concatenate((prices, [service.typical_price for service in SERVICES])),
        popularity=np.cumsum(shares / shares.sum()),
        n_products=n_products,
    )


def _stock_codes(rng: np.random.Generator, n_products: int) -> list[str]:
    codes: list[str] = []
    numbers = np.sort(
        rng.choice(np.arange(_FIRST_CODE, _LAST_CODE), size=n_products, replace=False)
    )
    has_variants = rng.random(n_products) < _VARIANT_BASES
    n_variants = rng.integers(2, len(_VARIANTS) + 1, size=n_products)
    for number, is_base, n in zip(numbers, has_variants, n_variants, strict=True):
        codes.extend(f"{number}{letter}" for letter in (_VARIANTS[:n] if is_base else ("",)))
    # Popularity is drawn apart from the code, so dropping the highest numbers changes no shape.
    return codes[:n_products]


def _description(part: int) -> str:
    part, look = divmod(part, len(_LOOKS))
    thing, motif = divmod(part, len(_MOTIFS))
    return f"{_LOOKS[look]} {_MOTIFS[motif]} {_THINGS[thing]}"
