from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evenstore.index.bisection import Int64s
from evenstore.index.merge import GreatestRows
from tests.support.scale import scaled

_N_PLACES = 3
_SEGMENT = st.dictionaries(
    st.integers(0, _N_PLACES - 1), st.tuples(st.integers(0, 2), st.sampled_from([-(2**63), 0, 1]))
)


def _int64s(values: list[int]) -> Int64s:
    return np.array(values, dtype=np.int64)


@settings(max_examples=scaled(100, 5_000))
@given(segments=st.lists(_SEGMENT, min_size=1, max_size=5))
def test_greatest_row_by_event_then_created_and_all_that_tie_with_it(
    segments: list[dict[int, tuple[int, int]]],
) -> None:
    greatest = GreatestRows(_N_PLACES)
    numbers = itertools.count()
    found: dict[int, list[tuple[tuple[int, int], int]]] = defaultdict(list)
    for segment in segments:
        rows = [next(numbers) for _ in segment]
        for (place, instants), row in zip(segment.items(), rows, strict=True):
            found[place].append((instants, row))
        event_us, created_us = zip(*segment.values(), strict=True) if segment else ((), ())
        greatest.add(
            _int64s(list(segment)),
            _int64s(rows),
            _int64s(list(event_us)),
            _int64s(list(created_us)),
        )

    tied = list(zip(greatest.tied().places.tolist(), greatest.tied().rows.tolist(), strict=True))
    for place in range(_N_PLACES):
        best = max((instants for instants, _ in found[place]), default=None)
        rows = [row for instants, row in found[place] if instants == best]
        assert greatest.rows[place] in (rows or [-1])
        assert sorted(row for at, row in tied if at == place) == (rows if len(rows) > 1 else [])
