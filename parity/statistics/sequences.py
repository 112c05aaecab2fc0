"""How far lists and maps differ: edits, lengths and keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from parity.compare import are_values_equal
from parity.values import PlainValue

__all__ = ["ListStatistics", "MapStatistics", "edit_distance", "measure_lists", "measure_maps"]

_LONGEST_EXACT = 512
_SHOWN_KEYS = 10

Items = Sequence[PlainValue | None]


@dataclass(frozen=True, slots=True)
class ListStatistics:
    """How differing lists differ; only cells in which both sides have a list.

    Attributes:
        n_pairs: Differing cells with a list on both sides.
        n_length_differs: Those whose lists have another length.
        max_length_difference: The greatest difference of lengths.
        n_same_items: Those that hold the same items in another order.
        max_edits: The greatest edit distance: items inserted, removed or replaced.
        mean_edits: Its mean over `n_pairs`.
        n_not_measured: Cells whose lists are too long for an exact edit distance (over 512 items
            after equal ends are cut off); their distance counts as the longer one's length.
    """

    n_pairs: int
    n_length_differs: int
    max_length_difference: int
    n_same_items: int
    max_edits: int
    mean_edits: float
    n_not_measured: int


@dataclass(frozen=True, slots=True)
class MapStatistics:
    """How differing maps and structs differ; only cells in which both sides have one.

    Attributes:
        n_pairs: Differing cells with a map on both sides.
        missing_keys: Keys that online lacks, the most frequent first, with their number of cells.
        extra_keys: Keys that only online has.
        differing_keys: Keys whose values differ.
    """

    n_pairs: int
    missing_keys: tuple[tuple[str, int], ...]
    extra_keys: tuple[tuple[str, int], ...]
    differing_keys: tuple[tuple[str, int], ...]


def measure_lists(pairs: Iterable[tuple[Items, Items]]) -> ListStatistics:
    """Measure how the lists of differing cells differ."""
    lengths: list[int] = []
    edits: list[int] = []
    n_same_items = n_not_measured = 0
    for offline, online in pairs:
        lengths.append(abs(len(offline) - len(online)))
        offline_rest, online_rest = _cut_equal_ends(offline, online)
        longer = max(len(offline_rest), len(online_rest))
        is_exact = longer <= _LONGEST_EXACT
        edits.append(edit_distance(offline_rest, online_rest) if is_exact else longer)
        n_not_measured += not is_exact
        n_same_items += Counter(map(repr, offline)) == Counter(map(repr, online))
    return ListStatistics(
        n_pairs=len(edits),
        n_length_differs=sum(length > 0 for length in lengths),
        max_length_difference=max(lengths, default=0),
        n_same_items=n_same_items,
        max_edits=max(edits, default=0),
        mean_edits=sum(edits) / len(edits) if edits else 0.0,
        n_not_measured=n_not_measured,
    )


def edit_distance(offline: Items, online: Items) -> int:
    """Count the fewest items to insert, remove or replace to make one list of the other.

    Complexity:
        One NumPy pass over the online list for each offline item.
    """
    if not offline or not online:
        return max(len(offline), len(online))
    numbers: dict[str, int] = {}
    offline_ids = [numbers.setdefault(_identity(item), len(numbers)) for item in offline]
    online_ids = np.array([numbers.setdefault(_identity(item), len(numbers)) for item in online])
    steps = np.arange(len(online) + 1)
    row = steps.copy()
    for i, item in enumerate(offline_ids, start=1):
        replaced = row[:-1] + (online_ids != item)
        best = np.concatenate([[i], np.minimum(replaced, row[1:] + 1)])
        # An insertion costs 1 more than its left neighbour: a running minimum of (cost - place).
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def measure_maps(pairs: Iterable[tuple[Items, Items]]) -> MapStatistics:
    """Measure how the maps of differing cells differ; a map is its (key, value) pairs in order."""
    missing: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    n_pairs = 0
    for offline, online in pairs:
        offline_map, online_map = _as_map(offline), _as_map(online)
        if offline_map is None or online_map is None:
            continue
        n_pairs += 1
        missing.update(offline_map.keys() - online_map.keys())
        extra.update(online_map.keys() - offline_map.keys())
        differing.update(
            key
            for key in offline_map.keys() & online_map.keys()
            if not are_values_equal(offline_map[key], online_map[key])
        )
    return MapStatistics(n_pairs, _top(missing), _top(extra), _top(differing))


def _cut_equal_ends(offline: Items, online: Items) -> tuple[Items, Items]:
    start, shorter = 0, min(len(offline), len(online))
    while start < shorter and are_values_equal(offline[start], online[start]):
        start += 1
    end = 0
    while end < shorter - start and are_values_equal(offline[-1 - end], online[-1 - end]):
        end += 1
    return offline[start : len(offline) - end], online[start : len(online) - end]


def _identity(item: PlainValue | None) -> str:
    # Equal numbers of one type have one text, but for the two zeros.
    return "0.0" if isinstance(item, float) and item == 0.0 else repr(item)


def _as_map(items: Items) -> dict[str, PlainValue | None] | None:
    found: dict[str, PlainValue | None] = {}
    for item in items:
        match item:
            case (str(key), value):
                found[key] = value
            case _:
                return None
    return found


def _top(counted: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_KEYS])
