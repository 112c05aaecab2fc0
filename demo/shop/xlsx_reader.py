"""Reads the rows of an Excel workbook as text, each with its place in the sheet."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from demo.shop.problems import CODE_RULES, COPY_HINT, Problem, excerpt
from demo.shop.text_table import TextLine
from evenstore.errors import ConfigurationError, TransformError

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

__all__ = ["read_xlsx_rows"]

_WORKBOOK_PART = "xl/workbook.xml"


def read_xlsx_rows(path: Path) -> Iterator[TextLine | Problem]:
    """Read the only sheet of a workbook, the header being the first row that is yielded.

    A cell becomes the text that a CSV file has for it: a whole number without a fraction, a date
    in ISO form. A problem is yielded where a code is a date, a time or a truth value, since its
    text is not the code that was meant. Empty rows are left out. Excel's own error values (`#N/A`)
    are read as empty, since python-calamine does not tell them apart.

    Raises:
        ConfigurationError: python-calamine is not installed.
        TransformError: The file is no whole workbook, or has several sheets.
    """
    _check_archive(path)
    codes: dict[int, str] | None = None
    for row_idx, cells in enumerate(_open_sheet(path).iter_rows()):
        fields = [_text(cell) for cell in cells]
        if not any(fields):
            continue
        if codes is None:
            codes = {idx: name for idx, name in enumerate(fields) if name in CODE_RULES}
        else:
            yield from _code_problems(row_idx + 1, cells, codes)
        yield TextLine(row_idx + 1, fields)


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as exc:
        msg = f"`{path}` is not a whole XLSX file: {exc}"
        raise TransformError(msg, hint=COPY_HINT) from exc
    if _WORKBOOK_PART not in names:
        held = f"holds {excerpt(names[0])}" if names else "is empty"
        msg = f"`{path}` is a zip archive that {held}, not an Excel workbook (XLSX)"
        raise TransformError(msg, hint="unpack it, and name the CSV or XLSX file that was in it")


def _open_sheet(path: Path) -> CalamineSheet:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as exc:
        msg = f"python-calamine is not installed, so `{path}` cannot be read"
        raise ConfigurationError(msg, hint="run `pip install python-calamine`") from exc
    try:
        with CalamineWorkbook.from_path(path) as workbook:
            names = workbook.sheet_names
            if len(names) == 1:
                return workbook.get_sheet_by_index(0)
    except (OSError, CalamineError) as exc:
        msg = f"`{path}` is not a whole XLSX file: {exc}"
        raise TransformError(msg, hint=COPY_HINT) from exc
    msg = f"`{path}` has {len(names)} sheets: {', '.join(excerpt(name) for name in names[:5])}"
    raise TransformError(msg, hint="keep the sheet with the invoice lines, and no other")


def _code_problems(
    row: int, cells: Sequence[object], codes: Mapping[int, str]
) -> Iterator[Problem]:
    """Yield a problem for each code that Excel has turned into a value of another kind."""
    for position, name in codes.items():
        cell = cells[position]
        if isinstance(cell, bool | date | time | timedelta):
            kind = "a truth value" if isinstance(cell, bool) else "a date or time"
            what = f"{excerpt(_text(cell))} is {kind} to Excel, not a code"
            hint = "enter the code again in a cell that is formatted as text"
            yield Problem(row, position, what, hint, column=name)


def _text(cell: object) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    # Midnight comes as a date.
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return f"{cell.isoformat()} 00:00:00"
    return str(cell).upper() if isinstance(cell, bool) else str(cell)
