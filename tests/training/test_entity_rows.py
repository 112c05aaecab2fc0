from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from evenstore.errors import ConfigurationError, EntityRowsError
from tests.training.samples import SPEC, make_entity_rows, make_request
from training.entity_rows import check_entity_rows, read_entity_rows


def _check(table: pa.Table) -> pa.Table:
    return check_entity_rows(table, make_request(), SPEC)


def _set(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _polars(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


@pytest.mark.parametrize("convert", [_pandas, _polars])
def test_frames_become_the_same_table_as_arrow(convert: Any) -> None:
    table = make_entity_rows(5).append_column("note", pa.array(["a", None, "c", "d", "é"]))
    assert _check(read_entity_rows(convert(table))).equals(_check(read_entity_rows(table)))


def test_parquet_file_is_read(tmp_path: Path) -> None:
    table = make_entity_rows(5)
    pq.write_table(table, tmp_path / "rows.parquet")
    for path in (tmp_path / "rows.parquet", str(tmp_path / "rows.parquet")):
        assert read_entity_rows(path).equals(table)


def test_missing_file_and_other_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file"):
        read_entity_rows(tmp_path / "none.parquet")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="cannot be read as Parquet"):
        read_entity_rows(tmp_path / "rows.csv")


def test_unknown_kind_and_double_column_are_refused() -> None:
    unknown: Any = [{"customer_id": 1}]
    with pytest.raises(EntityRowsError, match="cannot be a list"):
        read_entity_rows(unknown)
    double = make_entity_rows(2).append_column("basket_value", pa.array([1.0, 2.0]))
    with pytest.raises(EntityRowsError, match="more than one column `basket_value`"):
        read_entity_rows(double)


def test_string_that_is_no_parquet_path_is_refused() -> None:
    with pytest.raises(EntityRowsError, match="no path of a Parquet file"):
        read_entity_rows("select * from rows")


def test_dictionary_and_large_strings_become_plain() -> None:
    words = pa.array(["x", "y", "x"])
    table = pa.table({"a": words.dictionary_encode(), "b": words.cast(pa.large_string())})
    assert read_entity_rows(table).schema.types == [pa.string(), pa.string()]


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("customer_id", "join key"),
        ("basket_value", "request column"),
        ("event_timestamp", "event timestamp"),
        ("buys_again", "label"),
        ("label_timestamp", "label timestamp"),
    ],
)
def test_missing_column_is_named_with_its_role(column: str, role: str) -> None:
    with pytest.raises(EntityRowsError, match=rf"no column `{column}` \({role}\)"):
        _check(make_entity_rows(3).drop_columns([column]))


@pytest.mark.parametrize("column", ["event_timestamp", "label_timestamp"])
def test_naive_null_and_other_timestamps_are_refused(column: str) -> None:
    table = make_entity_rows(3)
    naive = table[column].cast(pa.int64()).cast(pa.timestamp("us"))
    with pytest.raises(EntityRowsError, match=f"`{column}` has no time zone"):
        _check(_set(table, column, naive))
    gap = pc.if_else(pa.array([True, False, True]), table[column], None)
    with pytest.raises(EntityRowsError, match=f"`{column}` is null in row 1"):
        _check(_set(table, column, gap))
    with pytest.raises(EntityRowsError, match=f"`{column}` is string, not a timestamp"):
        _check(_set(table, column, pa.array(["2011-01-01"] * 3)))


def test_no_rows_are_refused() -> None:
    with pytest.raises(EntityRowsError, match="no entity rows"):
        _check(make_entity_rows(0))


def test_null_label_is_refused_with_row_and_count() -> None:
    labels = pa.array([True, None, False, None])
    with pytest.raises(EntityRowsError, match="null in row 1 and in 1 more"):
        _check(_set(make_entity_rows(4), "buys_again", labels))


def test_null_join_key_is_kept() -> None:
    keys = pa.array([1, None, 3], pa.int64())
    assert _check(_set(make_entity_rows(3), "customer_id", keys))["customer_id"].null_count == 1


def test_columns_are_widened_exactly_or_refused() -> None:
    narrow = _set(make_entity_rows(2), "customer_id", pa.array([1, 2], pa.int16()))
    assert _check(narrow)["customer_id"].type == pa.int64()
    floats = _set(make_entity_rows(2), "customer_id", pa.array([1.0, 2.0]))
    with pytest.raises(EntityRowsError, match="join key `customer_id` is double"):
        _check(floats)
    texts = _set(make_entity_rows(2), "basket_value", pa.array(["1", "2"]))
    with pytest.raises(EntityRowsError, match="request column `basket_value` is string"):
        _check(texts)


def test_nanoseconds_in_another_zone_become_utc_microseconds() -> None:
    table = make_entity_rows(2)
    paris = table["event_timestamp"].cast(pa.timestamp("ns", tz="Europe/Paris"))
    assert _check(_set(table, "event_timestamp", paris)).equals(table)


def test_column_that_the_join_makes_is_refused() -> None:
    table = make_entity_rows(2).append_column("activity__spend__status", pa.array([1, 1]))
    with pytest.raises(EntityRowsError, match="`activity__spend__status`, which the join makes"):
        _check(table)


def test_label_that_is_a_join_key_is_refused() -> None:
    spec = dataclasses.replace(SPEC, label="customer_id")
    with pytest.raises(EntityRowsError, match="cannot be the label: it is already a join key"):
        check_entity_rows(make_entity_rows(2), make_request(), spec)


def test_rows_need_no_label_but_a_label_time_needs_its_label() -> None:
    spec = dataclasses.replace(SPEC, label=None, label_timestamp_column=None)
    rows = make_entity_rows(2).drop_columns(["buys_again", "label_timestamp"])
    assert check_entity_rows(rows, make_request(), spec).equals(rows)
    spec = dataclasses.replace(SPEC, label=None)
    with pytest.raises(EntityRowsError, match="no label is named"):
        check_entity_rows(make_entity_rows(2), make_request(), spec)
