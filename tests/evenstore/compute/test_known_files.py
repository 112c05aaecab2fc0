from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.compute.known_files import KnownFiles, write_known_files
from evenstore.dtypes import Dtype
from evenstore.errors import SourceChangedError
from evenstore.schema.footer import identify_files
from tests.support.oracle import Row, newest
from tests.support.parquet_view import ParquetView

INSTANTS_US = (10, 20, 20, 30)
ASKED = ((1, b"a"), (2, b"a"), (9, b"z"))
ROWS: tuple[tuple[int | None, bytes, int | None, int | None, str], ...] = (
    (1, b"a", 5, 6, "known at once"),
    (1, b"a", 10, 11, "known one too late"),
    (1, b"a", 10, 10, "known just in time"),
    (1, b"a", 15, 20, "late, known at the second"),
    (1, b"a", 25, 3, "created before it happens"),
    (1, b"a", 7, None, "never known"),
    (1, b"a", None, 8, "no event"),
    (1, b"a", 40, 41, "after the last"),
    (2, b"a", 5, 25, "late by two"),
    (2, b"b", 5, 6, "another key"),
    (3, b"a", 5, 6, "not asked for"),
    (None, b"a", 5, 6, "no entity"),
)


def table_of(unit: str = "us") -> pa.Table:
    scale = 1000 if unit == "ns" else 1

    def instants(values: Sequence[int | None]) -> pa.Array:
        raw = [None if us is None else us * scale for us in values]
        return pa.array(raw, pa.int64()).cast(pa.timestamp(unit))

    numbers, texts, events, created, labels = zip(*ROWS, strict=True)
    return pa.table(
        {
            "number": pa.array(numbers, pa.int32()),
            "text": pa.array(texts, pa.binary()),
            "event_timestamp": instants(events),
            "created": instants(created),
            "label": list(labels),
            "amount": pa.array([1.5] * len(ROWS), pa.float32()),
            "unused": [0] * len(ROWS),
        }
    )


def view_of(folder: Path, *, created: str | None = "created", unit: str = "us") -> ParquetView:
    return ParquetView(
        folder / "source.parquet",
        table_of(unit),
        join_keys={"number": Dtype.INT32, "text": Dtype.BYTES},
        features={"label": Dtype.STRING, "amount": Dtype.FLOAT32},
        created=created,
    )


def write(view: ParquetView, folder: Path, instants_us: Sequence[int] = INSTANTS_US) -> KnownFiles:
    numbers, texts = zip(*ASKED, strict=True)
    entities = pa.table(
        {"number": pa.array(numbers, pa.int32()), "text": pa.array(texts, pa.binary())}
    )
    known = folder / "known"
    known.mkdir()
    return write_known_files(view.source, view.view, entities, instants_us, known)


def labels_at(known: KnownFiles, instant_idx: int) -> set[str]:
    paths = known.known_at(instant_idx).paths
    return {label for path in paths for label in pq.read_table(path)["label"].to_pylist()}


def test_each_instant_sees_what_was_known_and_had_happened_by_then(tmp_path: Path) -> None:
    known = write(view_of(tmp_path), tmp_path)
    for instant_idx, as_of_us in enumerate(INSTANTS_US):
        expected = {
            label
            for number, text, event, created, label in ROWS
            if (number, text) in ASKED
            and event is not None
            and created is not None
            and max(event, created) <= as_of_us
        }
        assert labels_at(known, instant_idx) == expected
    assert labels_at(known, 0) == {"known at once", "known just in time"}
    assert known.n_never_known == 2


def test_an_instant_at_which_nothing_became_known_has_no_file_of_its_own(tmp_path: Path) -> None:
    known = write(view_of(tmp_path), tmp_path)
    assert [known.is_new(i) for i in range(len(INSTANTS_US))] == [True, True, False, True]
    assert len(known.source.paths) == 3


def test_a_source_without_created_timestamps_is_known_as_it_happens(tmp_path: Path) -> None:
    known = write(view_of(tmp_path, created=None), tmp_path)
    assert labels_at(known, 0) == {
        *("known at once", "known one too late", "known just in time", "never known"),
        "late by two",
    }
    assert "after the last" not in labels_at(known, len(INSTANTS_US) - 1)


def test_nothing_known_yet_is_a_file_without_rows(tmp_path: Path) -> None:
    known = write(view_of(tmp_path), tmp_path, (1, 10))
    assert labels_at(known, 0) == set()
    assert len(known.known_at(0).paths) == 1


@pytest.mark.parametrize("unit", ["us", "ns", "ms"])
def test_columns_are_as_the_source_has_them(tmp_path: Path, unit: str) -> None:
    view = view_of(tmp_path, unit=unit)
    known = write(view, tmp_path, (10 if unit != "ms" else 10_000,))
    wanted = table_of(unit).schema
    found = pq.read_schema(known.source.paths[0])
    assert set(found.names) == {*wanted.names} - {"unused"}
    kept = {name: found.field(name).type for name in found.names if unit != "ms"}
    assert kept == {name: wanted.field(name).type for name in kept}
    assert known.source.event == view.source.event


def test_winners_at_every_instant_are_those_of_the_oracle_as_known(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    known = write(view, tmp_path)
    rows = [
        Row((number, text), event, created, {"label": label})
        for number, text, event, created, label in ROWS
        if event is not None
    ]
    for instant_idx, as_of_us in enumerate(INSTANTS_US):
        winners = newest(rows, as_of_us, known_at_us=as_of_us)
        copied: list[Any] = [
            Row((r["number"], r["text"]), _us(r["event_timestamp"]), _us(r["created"]), r)
            for path in known.known_at(instant_idx).paths
            for r in pq.read_table(
                path, columns=["number", "text", "event_timestamp", "created", "label"]
            ).to_pylist()
        ]
        found = newest(copied, 2**62)
        assert {key: row.values["label"] for key, row in found.items()} == {
            key: row.values["label"] for key, row in winners.items() if key in ASKED
        }


def test_a_file_that_was_replaced_meanwhile_is_noticed(tmp_path: Path) -> None:
    view = view_of(tmp_path)
    identities = identify_files(view.source.paths, where="view")
    view.source = dataclasses.replace(view.source, identities=identities)
    pq.write_table(table_of().slice(1), view.source.paths[0])
    with pytest.raises(SourceChangedError):
        write(view, tmp_path)


def _us(instant: Any) -> int:
    return int(pa.scalar(instant, pa.timestamp("us")).cast(pa.int64()).as_py())
