from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from demo.shop.reader import read_shop_data
from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import ConfigurationError, TransformError
from tests.demo.lines import line, write_lines

_CSV = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,10001,RED MUG,1,1/4/2011 10:00,2.5,1,United Kingdom\n"
)


def test_the_form_is_told_by_the_content_whatever_the_name(tmp_path: Path) -> None:
    parquet = write_lines(tmp_path / "parquet.csv", [line("536365", "2011-01-04T10:00")])
    csv = tmp_path / "csv.parquet"
    csv.write_text(_CSV)
    assert read_shop_data(parquet).equals(read_shop_data(csv))
    assert read_shop_data(csv).schema == SHOP_SCHEMA


def test_no_file_at_the_path(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no shop data: `.*absent\.csv` does not exist\n\nhint: name a"
    ):
        read_shop_data(tmp_path / "absent.csv")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a file"):
        read_shop_data(tmp_path)


@pytest.mark.parametrize(
    ("content", "problem", "hint"),
    [
        (b"", "is empty", "again"),
        (b"\n \r\n", "is empty", "again"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is binary", "Parquet, from CSV"),
        (b"%PDF-1.4\n\x01", r"line 2: the byte 0x01 is a control character", "UTF-8"),
        (gzip.compress(_CSV.encode()), "is compressed by gzip", "unpack it first"),
        (_CSV.encode("utf-16"), "is text in UTF-16", "UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or an encrypted Excel", "XLSX"),
        (b"PAR1 and then nothing of the kind", "is not a whole Parquet file", "again"),
        (b"PK\x03\x04 and then nothing of the kind", "is not a whole XLSX file", "again"),
        (b"<!DOCTYPE html>\n<p>Not found\n", r"line 1: `<!DOCTYPE html>` names none", "Quantity"),
    ],
    ids=["empty", "blank", "png", "control", "gzip", "utf-16", "xls", "parquet", "zip", "html"],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes, problem: str, hint: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(content)
    with pytest.raises(TransformError, match=rf"shop\.csv`.*{problem}") as raised:
        read_shop_data(path)
    assert hint in str(raised.value.hint)


def test_an_archive_around_the_workbook_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "online+retail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Online Retail.xlsx", b"")
    with pytest.raises(TransformError, match=r"holds `Online Retail\.xlsx`") as raised:
        read_shop_data(path)
    assert "unpack it" in str(raised.value.hint)
