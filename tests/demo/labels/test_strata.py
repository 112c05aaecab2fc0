from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.labels.strata import draw_strata, share_out


@given(
    percents=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    n_rows=st.integers(0, 10_000),
)
def test_shares_add_up_and_a_share_of_a_whole_row_is_a_row(
    percents: list[int], n_rows: int
) -> None:
    shares = {str(i): percent for i, percent in enumerate(percents[:2])}
    shares["rest"] = 100 - sum(shares.values())
    counts = share_out(shares, n_rows)
    assert sum(counts.values()) == n_rows
    for kind, percent in shares.items():
        assert abs(counts[kind] - percent * n_rows / 100) <= 1
        assert counts[kind] >= 1 or percent * n_rows < 100


@given(
    n_pool=st.integers(1, 12),
    counts=st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)),
    seed=st.integers(0, 100),
)
def test_exactly_as_many_as_asked_for_each_once_while_there_are_rows(
    n_pool: int, counts: tuple[int, int, int], seed: int
) -> None:
    rows = np.arange(n_pool)
    pools = {"low": rows < 4, "none": rows < 0, "even": rows % 2 == 0}
    wanted = dict(zip(pools, counts, strict=True))
    drawn, kinds = draw_strata(np.random.default_rng(seed), pools, wanted)
    assert len(drawn) == sum(counts) == sum(kinds.values())
    assert len(set(drawn.tolist())) == min(len(drawn), n_pool)
    assert kinds["low"] == min(counts[0], 4, n_pool)
    assert kinds["none"] == 0
    assert all(pools["low"][idx] for idx in drawn[: kinds["low"]])


def test_the_draw_follows_the_seed() -> None:
    pools = {"any": np.ones(1000, dtype=np.bool_)}
    first, again, other = (
        draw_strata(np.random.default_rng(seed), pools, {"any": 20})[0].tolist()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_every_kind_needs_a_count() -> None:
    with pytest.raises(KeyError):
        draw_strata(np.random.default_rng(1), {"any": np.ones(3, dtype=np.bool_)}, {})
