from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.shop.parquet_reader import read_shop_parquet
from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import TransformError
from tests.demo.lines import line, write_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "shop.parquet", [line("536365", "2011-01-04T10:00")])


def _rewrite(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


def _with_null(table: pa.Table, name: str) -> pa.Table:
    loose = table.cast(pa.schema([field.with_nullable(True) for field in SHOP_SCHEMA]))
    nulls = pa.nulls(table.num_rows, SHOP_SCHEMA.field(name).type)
    return loose.set_column(loose.column_names.index(name), name, nulls)


def test_a_whole_file_is_read_in_the_columns_of_the_schema(path: Path) -> None:
    table = read_shop_parquet(path)
    assert table.schema == SHOP_SCHEMA
    assert table.num_rows == 1


def test_columns_in_another_order_are_put_in_order(path: Path) -> None:
    table = pq.read_table(path)
    _rewrite(path, table.select(list(reversed(table.column_names))))
    assert read_shop_parquet(path).column_names == SHOP_SCHEMA.names


def test_nullable_fields_without_nulls_are_accepted(path: Path) -> None:
    loose = pa.schema([field.with_nullable(True) for field in SHOP_SCHEMA])
    _rewrite(path, pq.read_table(path).cast(loose))
    assert read_shop_parquet(path).num_rows == 1


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TransformError, match="has no lines"):
        read_shop_parquet(write_lines(tmp_path / "empty.parquet", []))


def test_half_a_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TransformError, match="not a whole Parquet file"):
        read_shop_parquet(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    path.touch()
    with pytest.raises(TransformError, match="not a whole Parquet file"):
        read_shop_parquet(path)


def test_missing_extra_and_mistyped_columns_are_all_named(path: Path) -> None:
    table = pq.read_table(path)
    table = table.drop_columns(["Country"]).append_column("Colour", pa.array(["red"]))
    index = table.column_names.index("Quantity")
    table = table.set_column(index, "Quantity", table["Quantity"].cast(pa.int64()))
    with pytest.raises(TransformError) as raised:
        read_shop_parquet(_rewrite(path, table))
    assert "column `Country` is missing" in raised.value.message
    assert "column `Colour` is unknown" in raised.value.message
    assert "column `Quantity` is int64, not int32" in raised.value.message
    assert "CustomerID (int64)" in str(raised.value.hint)


def test_a_repeated_column_is_named(path: Path) -> None:
    table = pq.read_table(path)
    with pytest.raises(TransformError, match="column `Country` is there 2 times"):
        read_shop_parquet(_rewrite(path, table.append_column("Country", table["Country"])))


@pytest.mark.parametrize("name", ["InvoiceDate", "StockCode"])
def test_a_null_where_the_set_has_none_is_counted_and_named(path: Path, name: str) -> None:
    _rewrite(path, _with_null(pq.read_table(path), name))
    with pytest.raises(TransformError, match=f"`{name}` is null in 1 lines"):
        read_shop_parquet(path)


def test_nulls_are_found_without_statistics(path: Path) -> None:
    table = _with_null(pq.read_table(path), "InvoiceDate")
    pq.write_table(table, path, write_statistics=False)
    with pytest.raises(TransformError, match="`InvoiceDate` is null in 1 lines"):
        read_shop_parquet(path)


_MISFIT_PRICES = [
    *map(float, ("nan", "inf", "-inf")),
    *(5e-324, 0.00004, 0.12345, 2.5500000000000003, 1e14, -1e300),
]


@pytest.mark.parametrize("price", _MISFIT_PRICES)
def test_a_price_that_the_sql_would_round_is_named_with_its_row(
    tmp_path: Path, price: float
) -> None:
    lines = [line("536365", "2011-01-04T10:00", price=each) for each in (2.5, price, price)]
    path = write_lines(tmp_path / "shop.parquet", lines)
    with pytest.raises(
        TransformError,
        match=r"row 2, column `UnitPrice`: .* at most four decimals.*\(2 such rows\)",
    ):
        read_shop_parquet(path)


def test_prices_of_four_decimals_are_read_as_they_are(tmp_path: Path) -> None:
    prices = [0.0, 0.0001, 0.001, 2.55, 1.005, -11062.06, 38970.0, 12345678901.2345, 1e14 - 1]
    lines = [line("536365", "2011-01-04T10:00", price=price) for price in prices]
    path = write_lines(tmp_path / "shop.parquet", lines)
    assert read_shop_parquet(path)["UnitPrice"].to_pylist() == prices


@pytest.mark.parametrize("space", ["\t", "\n", "\xa0", "\u2003", "\u200b", "\ufeff", " \t "])
def test_white_space_around_a_code_that_is_no_plain_space(tmp_path: Path, space: str) -> None:
    for code in (f"10001{space}", f"{space}10001"):
        lines = [line("536365", "2011-01-04T10:00", code=each) for each in (" 10001 ", code)]
        path = write_lines(tmp_path / "shop.parquet", lines)
        with pytest.raises(TransformError, match=r"row 2, column `StockCode`: .* no plain space"):
            read_shop_parquet(path)


@pytest.mark.parametrize("invoice", ["c536379", " C536379", "  c536379", "C536379\t"])
def test_an_invoice_that_the_sql_would_not_see_cancelled(tmp_path: Path, invoice: str) -> None:
    lines = [line(each, "2011-01-04T10:00") for each in ("C536379", " 536365 ", invoice)]
    path = write_lines(tmp_path / "shop.parquet", lines)
    with pytest.raises(TransformError, match=r"row 3, column `InvoiceNo`: .*\(1 such rows\)"):
        read_shop_parquet(path)
