"""Figures added up batch by batch are those of all cells together."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pyarrow as pa
import pytest

from evenstore.client.values import to_arrow
from evenstore.dtypes import Dtype
from evenstore.offline.joined import JoinedView
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import Status
from parity.compare import CellColumn, Outcome
from parity.full.figures import MOST_PAIRS, FeatureFigures
from parity.full.rows import Rows
from parity.full.value_column import ValueColumn
from parity.statistics.features import FeatureStatistics, measure_feature
from tests.parity.full.test_outcomes import LISTS, N_ROWS, SCALARS, decoded, draw


@pytest.mark.parametrize("dtype", [*SCALARS, *LISTS], ids=lambda dtype: dtype.value)
def test_figures_of_batches_are_those_of_all_cells(
    dtype: Dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How many are looked at is bounded: here all are.
    for bound in ("MOST_LISTS", "MOST_PAIRS"):
        monkeypatch.setattr(f"parity.full.figures.{bound}", N_ROWS)
    rng = random.Random(dtype.value)
    offline_values = draw(rng, dtype, N_ROWS)
    drawn = draw(rng, dtype, N_ROWS)
    is_equal = [rng.random() < 0.5 for _ in range(N_ROWS)]
    online_values = [
        offline if equal else other
        for offline, other, equal in zip(offline_values, drawn, is_equal, strict=True)
    ]
    figures = FeatureFigures(dtype)
    for start in range(0, N_ROWS, 97):
        rows = slice(start, start + 97)
        offline = ValueColumn.of_offline(dtype, to_arrow(dtype, offline_values[rows]))
        online = ValueColumn.of_online(dtype, decoded(dtype, online_values[rows]))
        agrees = np.flatnonzero(is_equal[rows])
        figures.add_equal(offline.take(agrees))
        others = np.flatnonzero(~np.array(is_equal[rows]))
        figures.add(offline.take(others), online.take(others), np.ones(len(others), np.bool_))
    outcomes = [Outcome.MATCH if equal else Outcome.MISMATCH for equal in is_equal]
    present = [Status.PRESENT] * N_ROWS
    instants = [0] * N_ROWS
    whole = measure_feature(
        dtype,
        CellColumn(offline_values, present, instants),
        CellColumn(online_values, present, instants),
        outcomes,
    )
    assert rounded(figures.measured()) == rounded(whole)


def rounded(statistics: FeatureStatistics) -> FeatureStatistics:
    """Leave out digits that depend on the order of additions."""
    numbers = statistics.numbers
    if numbers is None:
        return statistics
    assert numbers.n_pairs
    exact = dataclasses.replace(
        numbers, smape=float(f"{numbers.smape:.9g}"), bias=float(f"{numbers.bias:.6g}")
    )
    return dataclasses.replace(statistics, numbers=exact)


def test_of_very_many_differing_texts_the_first_are_looked_at() -> None:
    figures = FeatureFigures(Dtype.STRING)
    texts = pa.array(["a", "b"] * 2_500)
    for _ in range(3):
        offline = ValueColumn.of_offline(Dtype.STRING, texts)
        online = ValueColumn.of_offline(Dtype.STRING, pa.array(["c"] * 5_000))
        figures.add(offline, online, np.ones(5_000, np.bool_))
    confusions = figures.measured().confusions
    assert sum(confusion.n_cells for confusion in confusions) == MOST_PAIRS


def test_statuses_of_joined_rows_are_those_of_the_join() -> None:
    rng = np.random.default_rng(7)
    fields = (Field("x", Dtype.INT64), Field("y", Dtype.STRING))
    view = FeatureViewSchema("v", (Field("k", Dtype.INT64),), fields, 0)
    read = ViewRead(view, "v", ("k",), fields)
    for share in (0.0, 0.3):
        n_rows = 500
        missing, expired, null = (rng.random(n_rows) < share for _ in range(3))
        joined = JoinedView(
            read,
            pa.array(np.arange(n_rows), mask=missing),
            expired & ~missing,
            expired & ~missing,
            {
                "x": pa.array(np.arange(n_rows), mask=missing | null),
                "y": pa.array(["a"] * n_rows, mask=missing),
            },
            pa.nulls(n_rows, pa.int64()),
        )
        rows = Rows.of_joined(joined)
        for field, statuses in zip(fields, rows.statuses, strict=True):
            assert statuses.tolist() == joined.statuses(field).to_pylist()
