from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from parity.compare import CellColumn, compare_columns
from parity.golden import StratumCount
from parity.golden_set.golden_file import (
    FrozenFeature,
    GoldenFile,
    read_golden_file,
    write_golden_file,
)
from parity.strata import Boundary, Stratum
from parity.values import Undecodable

AS_OF_US = (1_323_302_400_000_000, 1_323_302_400_000_001)
VALUES: dict[Dtype, tuple[Any, Any]] = {
    Dtype.BYTES: (b"\x00\xff", b""),
    Dtype.STRING: ("\u202eabc", "NaN"),
    Dtype.INT32: (-(2**31), 0),
    Dtype.INT64: (2**63 - 1, 2**53 + 1),
    Dtype.FLOAT32: (0.10000000149011612, -0.0),
    Dtype.FLOAT64: (math.nan, -math.inf),
    Dtype.BOOL: (True, False),
    Dtype.UNIX_TIMESTAMP: (-1, 253_402_300_799),
    Dtype.BYTES_LIST: ((b"\xff",), ()),
    Dtype.STRING_LIST: (("\u00e9", "e\u0301"), ("",)),
    Dtype.INT64_LIST: ((2**53 + 1,), ()),
    Dtype.FLOAT64_LIST: ((math.nan, math.inf, 0.1), ()),
    Dtype.BOOL_LIST: ((True,), ()),
    Dtype("Map"): ((("a", 1), ("b", (1.5, None))), ()),
    Dtype("PdfBytes"): (b"%PDF", b""),
    Dtype("Array(Array(Int64))"): (((1, 2), ()), ()),
}


def golden_of(*, is_frozen: bool = True) -> GoldenFile:
    features = [
        FrozenFeature(
            "activity",
            Field(f"f{i}", dtype),
            CellColumn(values, [Status.PRESENT] * 2, [AS_OF_US[0]] * 2) if is_frozen else None,
        )
        for i, (dtype, values) in enumerate(VALUES.items())
    ]
    absent = CellColumn([None] * 2, [Status.NOT_FOUND] * 2, [None] * 2)
    withheld = CellColumn([None, 1], [Status.OUTSIDE_MAX_AGE, Status.PRESENT], [7, 7])
    features.append(
        FrozenFeature("demand", Field("sold", Dtype.INT64), absent if is_frozen else None)
    )
    features.append(
        FrozenFeature("pairs", Field("n", Dtype.INT64), withheld if is_frozen else None)
    )
    return GoldenFile(
        project="shop",
        feature_service="till_v1",
        schema_fingerprint="0123",
        seed=7,
        fields=(Field("customer_id", Dtype.INT64), Field("token", Dtype.BYTES)),
        features=tuple(features),
        columns={"customer_id": [2**63 - 1, -1], "token": [b"\x00", b""]},
        as_of_us=AS_OF_US,
        row_strata=({"activity": ("hot", "tie")}, {"activity": ("late",)}),
        strata=(
            StratumCount("activity", Stratum.HOT, 3, 1),
            StratumCount("activity", Boundary.LATE, 0, 1),
        ),
    )


@pytest.mark.parametrize("is_frozen", [True, False])
def test_what_is_written_is_read_back(tmp_path: Path, *, is_frozen: bool) -> None:
    written = golden_of(is_frozen=is_frozen)
    content = write_golden_file(written, tmp_path / "golden.jsonl")
    found = read_golden_file(tmp_path / "golden.jsonl")
    assert found.content_sha256 == content
    assert found.is_frozen is is_frozen
    plain = {"features": (), "content_sha256": ""}
    assert dataclasses.replace(found, **plain) == dataclasses.replace(written, **plain)  # type: ignore[arg-type]
    for feature, expected in zip(found.features, written.features, strict=True):
        assert (feature.view_name, feature.field) == (expected.view_name, expected.field)
        if feature.expected is not None and expected.expected is not None:
            outcomes = compare_columns(expected.expected, feature.expected)
            assert {outcome.value for outcome in outcomes} == {"match"}, feature.name


def test_the_same_set_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_golden_file(golden_of(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_reviewer_sees_one_line_per_row_and_no_hidden_text(tmp_path: Path) -> None:
    write_golden_file(golden_of(), tmp_path / "golden.jsonl")
    data = (tmp_path / "golden.jsonl").read_bytes()
    assert data.isascii()
    header, first, second = data.decode().splitlines()
    assert json.loads(header)["version"] == 1
    assert json.loads(first)["as_of"] == "2011-12-08T00:00:00Z"
    row = json.loads(second)
    assert row["as_of"] == "2011-12-08T00:00:00.000001Z"
    assert row["entity_row"] == {"customer_id": -1, "token": ""}
    assert row["expected"]["demand"] is None


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_file_that_was_edited_is_refused(tmp_path: Path, line: int) -> None:
    path = tmp_path / "golden.jsonl"
    write_golden_file(golden_of(), path)
    lines = path.read_text().splitlines()
    edited = ('"seed":7', '"seed":8') if line == 0 else ('"as_of"', '"as_of" ')
    lines[line] = lines[line].replace(*edited)
    path.write_text("\n".join([*lines, ""]))
    with pytest.raises(ParityError, match="changed since it was built"):
        read_golden_file(path)


def test_a_lost_line_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    write_golden_file(golden_of(), path)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ParityError, match="changed since it was built"):
        read_golden_file(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no golden set"),
        ("{}", "no golden set"),
        ("[]\n", "no golden set"),
        ('{"format":"evenstore-golden-set","version":2}\n', "of version 2"),
        ('{"format":"another","version":1}\n', "of version None"),
    ],
)
def test_what_is_no_golden_set_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "golden.jsonl").write_text(text)
    with pytest.raises(ParityError, match=problem) as refused:
        read_golden_file(tmp_path / "golden.jsonl")
    assert refused.value.hint


def test_a_missing_file_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="cannot be read") as refused:
        read_golden_file(tmp_path / "golden.jsonl")
    assert "golden build" in str(refused.value.hint)


def test_a_value_of_another_type_cannot_be_expected(tmp_path: Path) -> None:
    wrong = CellColumn([Undecodable("1.5")] * 2, [Status.PRESENT] * 2, [1] * 2)
    features = (FrozenFeature("activity", Field("orders", Dtype.INT64), wrong),)
    golden = dataclasses.replace(golden_of(), features=features)
    with pytest.raises(ParityError, match="activity:orders"):
        write_golden_file(golden, tmp_path / "golden.jsonl")
    assert not list(tmp_path.iterdir())
