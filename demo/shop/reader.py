"""Reads shop data in each form it is distributed in: Parquet, CSV and XLSX.

Dirt that the set is known for (cancellations, duplicates, missing customers, prices of zero)
passes: the SQL deals with it. What is refused here is data of another shape.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from demo.shop.csv_reader import read_csv_lines
from demo.shop.parquet_reader import read_shop_parquet
from demo.shop.problems import COPY_HINT
from demo.shop.text_table import make_shop_table
from demo.shop.xlsx_reader import read_xlsx_rows
from evenstore.errors import ConfigurationError, TransformError

__all__ = ["read_shop_data"]

_FORMS_HINT = (
    "shop data are read from Parquet, from CSV (UTF-8 or Latin-1) or from an Excel workbook (XLSX)"
)
_PARQUET_MAGIC = b"PAR1"
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# What the set is also met in: its magic, what it is, and the way from there to a form we read.
_OTHER_FORMS = (
    (b"\x1f\x8b", "compressed by gzip", "unpack it first"),
    (
        b"\xd0\xcf\x11\xe0",
        "an old or an encrypted Excel workbook",
        "save it as XLSX without a password",
    ),
    (b"\xff\xfe", "text in UTF-16", "save it as CSV in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as CSV in UTF-8"),
)
_HEAD_BYTES = 4096


def read_shop_data(path: Path) -> pa.Table:
    """Read a whole file as one table in the columns of `SHOP_SCHEMA`, in the order of the file.

    The form is told by the content of the file; its name plays no part.

    Raises:
        ConfigurationError: There is no file at the path, or it cannot be opened.
        TransformError: It is of no form that is read here, is not whole, has no lines, or a column
            or a value in it is not as `SHOP_SCHEMA` has it. The message has the line and the
            column.
    """
    head = _head(path)
    if head.startswith(_PARQUET_MAGIC):
        return read_shop_parquet(path)
    if head.startswith(_ZIP_MAGICS):
        return make_shop_table(path, read_xlsx_rows(path), unit="row")
    _check_text(path, head)
    return make_shop_table(path, read_csv_lines(path), unit="line")


def _head(path: Path) -> bytes:
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        msg = f"no shop data: `{path}` {what}"
        raise ConfigurationError(
            msg, hint="name a Parquet, CSV or XLSX file, or leave it out to make sample data"
        )
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as exc:
        msg = f"cannot read `{path}`: {exc.strerror}"
        raise ConfigurationError(msg, hint="make the file readable to you") from exc


def _check_text(path: Path, head: bytes) -> None:
    if not head.strip():
        msg = f"`{path}` is empty"
        raise TransformError(msg, hint=COPY_HINT)
    for magic, what, step in _OTHER_FORMS:
        if head.startswith(magic):
            msg = f"`{path}` is {what}"
            raise TransformError(msg, hint=f"{step}; {_FORMS_HINT}")
    # Asked before the whole file is taken into memory: a film or a disk image ends here.
    if b"\x00" in head:
        msg = f"`{path}` is binary, and neither Parquet nor XLSX"
        raise TransformError(msg, hint=_FORMS_HINT)
