from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from evenstore.dtypes import Dtype
from evenstore.index.build import build_index
from evenstore.index.catalogue import IndexKind
from evenstore.index.view_index import ViewIndex, open_index
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field
from tests.evenstore.index.worlds import source_of, view_of, write_files
from tests.support.oracle import Row, Rules, is_same_value, newest
from tests.support.scale import scaled
from tests.support.strategies import World, worlds

_numbers = itertools.count()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("indexes")


def _open(folder: Path, world: World, kind: IndexKind, *, is_grown: bool) -> ViewIndex:
    """Build at once, or again after each file."""
    paths = write_files(folder / "data", world)
    view = view_of(world)
    for n_files in range(1, len(paths) + 1) if is_grown else [len(paths)]:
        source = source_of(world, paths[:n_files])
        build_index(folder / "index", source, view, kind=kind)
    index = open_index(folder / "index", source_of(world, paths), view)
    assert isinstance(index, ViewIndex), index
    assert len(index.segments) == (len(paths) if is_grown else 1)
    return index


def _expected(world: World, *, is_as_known: bool) -> list[Row | None]:
    found = []
    for key, as_of_us in world.entity_rows:
        known_at_us = as_of_us if is_as_known and world.rules.has_created else None
        row = newest(world.rows, as_of_us, known_at_us=known_at_us).get(key)
        ttl_us = world.rules.ttl_us
        is_old = row is not None and ttl_us is not None and as_of_us - row.event_us > ttl_us
        found.append(None if is_old else row)
    return found


def _values(world: World, index: ViewIndex, rows: Any) -> Sequence[dict[str, Any] | None]:
    """What the rows hold: as the index says, or as the files say where the index points to."""
    if index.kind == "table":
        table = index.take(rows, world.features)
        assert table.schema.types == [arrow_type(field.dtype) for field in world.features]
        taken = table.to_pylist()
        return [None if row < 0 else values for row, values in zip(rows, taken, strict=True)]
    files, file_rows = index.positions(rows[rows >= 0])
    found = iter(zip(files.tolist(), file_rows.tolist(), strict=True))
    answers: list[dict[str, Any] | None] = []
    for row in rows:
        if row < 0:
            answers.append(None)
            continue
        file, file_row = next(found)
        answers.append(dict(world.files[file][file_row].values))
    return answers


@pytest.mark.timeout(3600)
@settings(max_examples=scaled(30, 5_000))
@given(
    world=worlds(),
    kind=st.sampled_from(["table", "positions"]),
    is_grown=st.booleans(),
    is_as_known=st.booleans(),
)
def test_index_equals_oracle_for_any_world(
    root: Path, world: World, kind: IndexKind, is_grown: bool, is_as_known: bool
) -> None:
    folder = root / str(next(_numbers))
    index = _open(folder, world, kind, is_grown=is_grown)
    keys = world.entity_table().select([key.name for key in world.join_keys])
    as_of_us = np.array([as_of for _, as_of in world.entity_rows], dtype=np.int64)
    ttl_us = world.rules.ttl_us

    rows = index.find(
        keys,
        as_of_us,
        is_as_known=is_as_known,
        since_us=None if ttl_us is None else as_of_us - ttl_us,
    )

    expected = _expected(world, is_as_known=is_as_known)
    event(f"{kind}, {len(index.segments)} segments")
    assert index.event_us(rows).to_pylist() == [row and row.event_us for row in expected]
    for values, row in zip(_values(world, index, rows), expected, strict=True):
        if row is None:
            assert values is None
            continue
        assert values is not None
        for field in world.features:
            assert is_same_value(values[field.name], row.values[field.name]), field
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["table", "positions"])
@pytest.mark.parametrize("is_grown", [False, True])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (Dtype.FLOAT64, -0.0, 0.0),
        (Dtype.FLOAT32_LIST, [0.5, -0.0], [0.5, 0.0]),
        (Dtype("Array(Array(Float64))"), [[-0.0]], [[0.0]]),
    ],
    ids=["number", "list", "list of lists"],
)
def test_rows_that_tie_but_for_the_sign_of_zero_have_an_order(
    tmp_path: Path, kind: IndexKind, dtype: Dtype, low: Any, high: Any, *, is_grown: bool
) -> None:
    """As in a join by SQL: to the bit, however many files and segments there are."""
    files = tuple((Row((1,), 0, None, {"x": value}),) for value in (low, high, low))
    asked = (((1,), 0), ((1,), 5))
    fields = (Field("k", Dtype.INT64),), (Field("x", dtype),)
    world = World(*fields, 1, files, asked, Rules(has_created=False), "us", "UTC", 100)
    index = _open(tmp_path, world, kind, is_grown=is_grown)
    keys = world.entity_table().select(["k"])
    rows = index.find(keys, np.array([0, 5]), is_as_known=False, since_us=None)
    assert repr([values and values["x"] for values in _values(world, index, rows)]) == repr(
        [high, high]
    )
