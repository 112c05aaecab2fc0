from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from demo.shop.reader import read_shop_data
from demo.shop.schema import SHOP_SCHEMA

_REAL = Path(__file__).parents[4] / "shared" / "data" / "online_retail.parquet"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _REAL.is_file(), reason="the real Online Retail file is not here"),
]


@pytest.fixture(scope="module")
def real() -> pa.Table:
    return read_shop_data(_REAL)


def _slice(real: pa.Table, n_lines: int) -> pa.Table:
    """Take the lines whose descriptions are hardest to read, and others up to the number."""
    is_hard = pc.match_substring_regex(real["Description"], '[£"\n,]|^$').fill_null(True)
    hard = real.filter(is_hard).slice(0, n_lines // 2)
    others = real.filter(pc.invert(is_hard)).slice(0, n_lines - hard.num_rows)
    pounds = real.filter(pc.match_substring(real["Description"], "£"))
    assert pounds.num_rows > 0
    return pa.concat_tables([pounds, hard, others]).slice(0, n_lines).combine_chunks()


def _month_day_year(value: datetime) -> str:
    return f"{value.month}/{value.day}/{value.year} {value.hour}:{value.minute:02}"


@pytest.mark.parametrize(("encoding", "date_text"), [("latin-1", _month_day_year), ("utf-8", str)])
def test_csv(
    real: pa.Table, tmp_path: Path, encoding: str, date_text: Callable[[datetime], str]
) -> None:
    lines = _slice(real, 20_000)
    path = tmp_path / "data.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, SHOP_SCHEMA.names)
        writer.writeheader()
        for line in lines.to_pylist():
            writer.writerow(line | {"InvoiceDate": date_text(line["InvoiceDate"])})
    assert read_shop_data(path).equals(lines)


def test_xlsx(real: pa.Table, tmp_path: Path) -> None:
    lines = _slice(real, 2_000)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Online Retail")
    sheet.append(SHOP_SCHEMA.names)
    for line in lines.to_pylist():
        # As Excel keeps them: digits alone are a number.
        codes = {name: line[name] for name in ("InvoiceNo", "StockCode")}
        numbers = {name: int(code) if code.isdigit() else code for name, code in codes.items()}
        sheet.append(list((line | numbers).values()))
    path = tmp_path / "Online Retail.xlsx"
    book.save(path)
    assert read_shop_data(path).equals(lines)
