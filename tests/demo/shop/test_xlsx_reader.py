from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest
from openpyxl.styles import Font

from demo.shop.reader import read_shop_data
from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import TransformError

_NAMES = SHOP_SCHEMA.names
_WHEN = datetime.fromisoformat("2010-12-01T08:26")
_ROW: tuple[object, ...] = (536365, "85123A", "MUG", 6, _WHEN, 2.55, 17850, "United Kingdom")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.xlsx"


def _changed(**cells: object) -> list[object]:
    return list((dict(zip(_NAMES, _ROW, strict=True)) | cells).values())


def _write(path: Path, *rows: Sequence[object], header: Sequence[str] = _NAMES) -> Path:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Online Retail")
    for row in (header, *rows):
        sheet.append(row)
    book.save(path)
    return path


def _message(path: Path) -> str:
    with pytest.raises(TransformError) as raised:
        read_shop_data(path)
    assert raised.value.hint
    assert raised.value.message.startswith(f"`{path}` ")
    return raised.value.message.removeprefix(f"`{path}` ")


def test_a_row_of_numbers_texts_and_dates(path: Path) -> None:
    table = read_shop_data(_write(path, _ROW))
    assert table.schema == SHOP_SCHEMA
    expected = dict(zip(_NAMES, _ROW, strict=True)) | {"InvoiceNo": "536365"}
    assert table.to_pylist() == [expected]


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("InvoiceNo", "C536379", "C536379"),
        ("StockCode", 21730, "21730"),
        ("StockCode", "00123", "00123"),
        ("Description", None, None),
        ("Description", 20713, "20713"),
        ("Description", ' "£5"\nMUG ', ' "£5"\nMUG '),
        ("Quantity", -80995, -80995),
        ("InvoiceDate", date(2010, 12, 1), datetime.fromisoformat("2010-12-01T00:00")),
        (
            "InvoiceDate",
            datetime.fromisoformat("2011-11-09T23:59:59"),
            datetime.fromisoformat("2011-11-09T23:59:59"),
        ),
        ("InvoiceDate", "12/1/2010 8:26", _WHEN),
        ("UnitPrice", 3, 3.0),
        ("UnitPrice", 0.001, 0.001),
        ("CustomerID", None, None),
        ("CustomerID", 17850.0, 17850),
    ],
)
def test_a_cell(path: Path, name: str, cell: object, value: object) -> None:
    assert read_shop_data(_write(path, _changed(**{name: cell})))[name].to_pylist() == [value]


def test_columns_in_another_order_empty_rows_and_formats_without_values(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append([])
    sheet.append(_NAMES[::-1])
    sheet.append([])
    sheet.append(_ROW[::-1])
    sheet["K9"].font = Font(bold=True)
    book.save(path)
    table = read_shop_data(path)
    assert table.column_names == _NAMES
    assert table["Quantity"].to_pylist() == [6]


@pytest.mark.parametrize(
    ("name", "cell", "shown"),
    [
        ("Quantity", 6.5, "`6.5` is not a whole number"),
        ("Quantity", 2**31, "`2147483648` is not a whole number of 32 bits"),
        ("Quantity", True, "`TRUE` is not a whole number"),
        ("Quantity", _WHEN, "`2010-12-01 08:26:00` is not a whole number"),
        ("UnitPrice", "nan", "`nan` is not a finite number"),
        ("UnitPrice", True, "`TRUE` is not a finite number"),
        ("UnitPrice", _WHEN, "`2010-12-01 08:26:00` is not a finite number"),
        ("UnitPrice", 1e-320, "`1e-320` is not a finite number with at most four decimals"),
        ("UnitPrice", 0.00004, "`4e-05` is not a finite number with at most four decimals"),
        ("UnitPrice", 0.12345, "`0.12345` is not a finite number with at most four decimals"),
        ("UnitPrice", 1e14, "`100000000000000` is not a finite number"),
        ("CustomerID", False, "`FALSE` is not a whole number"),
        ("CustomerID", _WHEN, "`2010-12-01 08:26:00` is not a whole number"),
        ("InvoiceNo", _WHEN, "`2010-12-01 08:26:00` is a date or time to Excel, not a code"),
        ("InvoiceNo", False, "`FALSE` is a truth value to Excel, not a code"),
        ("InvoiceNo", "c536379", "`c536379` is not how a cancellation is written"),
        ("InvoiceNo", "#N/A", "is empty"),
        ("StockCode", date(1961, 5, 22), "`1961-05-22 00:00:00` is a date or time to Excel"),
        ("StockCode", time(8, 26), "`08:26:00` is a date or time to Excel"),
        ("StockCode", timedelta(days=2), "`2 days, 0:00:00` is a date or time to Excel"),
        ("StockCode", True, "`TRUE` is a truth value to Excel, not a code"),
        ("StockCode", "85123A\xa0", r"`85123A\xa0` begins or ends with white space"),
        ("CustomerID", 17850.5, "`17850.5` is not a whole number"),
        ("InvoiceDate", 40513.35, "`40513.35` is not a date and time"),
        ("InvoiceDate", time(8, 26), "`08:26:00` is not a date and time"),
        ("InvoiceDate", "12/1/2010 8:26", "`12/1/2010 8:26` is not a date and time in ISO form"),
        ("Country", None, "is empty"),
    ],
)
def test_a_cell_that_does_not_fit_is_named_with_its_row(
    path: Path, name: str, cell: object, shown: str
) -> None:
    # A line break in a cell is not a row.
    above = _changed(Description="TWO\nLINES")
    bad = _changed(**{name: cell, "Description": "TWO\nLINES"})
    message = _message(_write(path, above, [], bad, _ROW))
    assert message.startswith(f"row 4, column `{name}`: {shown}")


def test_dates_among_the_codes_are_counted_and_found_in_any_order_of_columns(path: Path) -> None:
    dated = _changed(StockCode=_WHEN)[::-1]
    rows = [_ROW[::-1], dated, dated]
    assert _message(_write(path, *rows, header=_NAMES[::-1])) == (
        "row 3, column `StockCode`: `2010-12-01 08:26:00` is a date or time to Excel, not a code; "
        "1 more problem in the file"
    )


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ([*_NAMES[:-1], "Land"], "row 1: column `Country` is missing; column `Land` is unknown"),
        ([*_NAMES, "Country"], "row 1: column `Country` is there 2 times"),
        (["a", "b"], "row 1: `a,b,,,,,,` names none of the columns"),
    ],
)
def test_a_header_that_is_not_the_sets(path: Path, header: list[str], problem: str) -> None:
    assert _message(_write(path, _ROW, header=header)) == problem


def test_a_cell_beside_the_table(path: Path) -> None:
    assert _message(_write(path, _ROW, [*_ROW, "note"])) == "row 1: a column has no name"


def test_a_header_alone_and_an_empty_sheet(path: Path) -> None:
    assert _message(_write(path)) == "has no lines"
    assert _message(_write(path, header=[])) == "is empty"


def test_a_workbook_of_two_sheets(path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    for name in ("Year 2009-2010", "Year 2010-2011"):
        book.create_sheet(name).append(_NAMES)
    book.save(path)
    assert _message(path) == "has 2 sheets: `Year 2009-2010`, `Year 2010-2011`"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_half_a_workbook(path: Path, share: float) -> None:
    content = _write(path, *[_ROW] * 100).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert _message(path).startswith("is not a whole XLSX file")


def test_a_workbook_damaged_inside(path: Path) -> None:
    content = bytearray(_write(path, *[_ROW] * 100).read_bytes())
    at = content.index(b"xl/worksheets/sheet1.xml") + 60
    content[at : at + 20] = bytes(20)
    path.write_bytes(content)
    assert _message(path).startswith("is not a whole XLSX file")
