"""A writer process: `python -m tests.evenstore.online.hammer URL LAYOUT SEED N_WRITES`.

Writes rows of one entity at random places in the order, and prints the greatest one it wrote.
"""

from __future__ import annotations

import random
import sys

from evenstore.online.connection import open_redis
from evenstore.schema.model import Layout
from evenstore.semantics import RowOrder
from tests.evenstore.online.rows import MarkedRow, MarkedStore, encode_marked, marked_view

N_FEATURES = 40
PROJECT = "hammer"
_T_US = 1_767_268_800_000_000


def main(url: str, layout: Layout, seed: int, n_writes: int) -> None:
    """Write, a few rows per call, so that two processes often write close places at once."""
    chance = random.Random(seed)
    view = marked_view(N_FEATURES)
    greatest = None
    with open_redis(url) as client:
        writer = MarkedStore(client, view, PROJECT, layout).writer()
        for write in range(n_writes):
            # Later on the average, so that many rows win and as many lose.
            rows = [_row(chance, seed, write, offset) for offset in range(chance.randint(1, 3))]
            writer.write(encode_marked(view, PROJECT, layout, rows))
            greatest = max([greatest, *rows] if greatest else rows, key=lambda row: row.order)
    if greatest is not None:
        order = greatest.order
        sys.stdout.write(
            f"{order.event_us} {order.created_us} {order.sequence_us} {greatest.mark}\n"
        )


def _row(chance: random.Random, seed: int, write: int, offset: int) -> MarkedRow:
    mark = (write * 4 + offset) * 16 + seed
    event_us = _T_US + write // 8 + chance.randint(-2, 2)
    created_us = _T_US + chance.randint(0, 1)
    return MarkedRow(1, RowOrder(event_us, created_us, mark), mark)


if __name__ == "__main__":
    main(sys.argv[1], Layout(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
