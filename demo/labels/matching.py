"""Says which sale a cancellation takes back, because the invoices do not.

The rule, for each (customer, product) pair on its own:

* Cancellations are taken in time order. Each consumes quantity of the *nearest earlier* sale that
  still has quantity left; when that one is used up, the rest consumes the next nearest, and so on.
* A sale of the same instant counts as earlier (the clock has minutes, and nothing can be taken back
  before it is sold).
* Of two sales at one instant the one with the greater invoice number is the nearer. Of two
  cancellations at one instant the one with the lesser invoice number comes first, and within one
  invoice the one that takes more back.
* Quantity that finds no earlier sale with quantity left stays unmatched; it is never matched to a
  later sale.

Since the nearest sale is always the last one pushed, the open sales of a pair are a stack. So what
a sale loses depends only on what comes after it, never on older sales of the pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Matching", "match_cancellations"]


@dataclass(frozen=True, slots=True)
class Matching:
    """Which cancellation consumed how much of which sale; all indexes are places in the events.

    Attributes:
        cancellation_idx: For each match, the cancellation; ascending.
        sale_idx: For each match, the sale; of one cancellation the nearest comes first.
        quantity: For each match, the units consumed, at least 1.
        n_open_sales: For each event, how many sales of its pair had quantity left just before it
            when it is a cancellation, and 0 when it is a sale.
    """

    cancellation_idx: list[int]
    sale_idx: list[int]
    quantity: list[int]
    n_open_sales: list[int]


def match_cancellations(pairs: Sequence[int], quantities: Sequence[int]) -> Matching:
    """Match the cancellations of each pair to its earlier sales, nearest first.

    Args:
        pairs: The (customer, product) of each event; events of one pair lie together.
        quantities: Units of each event, positive for a sale and negative for a cancellation, never
            0. Within a pair in time order; at one instant sales first, then by invoice number, and
            cancellations of one invoice by how much they take back, most first.

    Guarantees:
        No sale loses more than its quantity, no cancellation consumes more than its own, and none
        consumes a sale that comes after it.

    Complexity:
        Linear in the events: each match uses up a sale or ends a cancellation.
    """
    matching = Matching([], [], [], [0] * len(pairs))
    # Index and quantity left of each open sale of the pair at hand, the nearest last.
    open_sales: list[tuple[int, int]] = []
    current_pair: int | None = None
    for event_idx, (pair, quantity) in enumerate(zip(pairs, quantities, strict=True)):
        if pair != current_pair:
            open_sales, current_pair = [], pair
        if quantity > 0:
            open_sales.append((event_idx, quantity))
        else:
            matching.n_open_sales[event_idx] = len(open_sales)
            _consume(open_sales, event_idx, -quantity, matching)
    return matching


def _consume(
    open_sales: list[tuple[int, int]], event_idx: int, n_units: int, matching: Matching
) -> None:
    while n_units and open_sales:
        sale_idx, n_left = open_sales.pop()
        n_taken = min(n_units, n_left)
        n_units -= n_taken
        if n_taken < n_left:
            open_sales.append((sale_idx, n_left - n_taken))
        matching.cancellation_idx.append(event_idx)
        matching.sale_idx.append(sale_idx)
        matching.quantity.append(n_taken)
