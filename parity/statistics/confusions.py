"""Which values are taken for which: the most frequent pairs of categories that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from parity.values import PlainValue

__all__ = ["Confusion", "count_confusions"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Confusion:
    """A pair of values that differ, and how often.

    Attributes:
        offline: The offline value.
        online: The online value.
        n_cells: Cells with this pair.
    """

    offline: PlainValue | None
    online: PlainValue | None
    n_cells: int


def count_confusions(
    pairs: Iterable[tuple[PlainValue | None, PlainValue | None]], *, n_most: int = _SHOWN
) -> tuple[Confusion, ...]:
    """Count the pairs of differing cells; the most frequent first, equal ones in a fixed order.

    Args:
        pairs: The offline and the online value of each differing cell.
        n_most: How many pairs to return at most.
    """
    counted: Counter[tuple[str, str]] = Counter()
    values: dict[tuple[str, str], tuple[PlainValue | None, PlainValue | None]] = {}
    for pair in pairs:
        # By text: NaN equals nothing, and 1 would be taken for true.
        name = (repr(pair[0]), repr(pair[1]))
        counted[name] += 1
        values.setdefault(name, pair)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confusion(*values[name], n_cells) for name, n_cells in ranked[:n_most])
