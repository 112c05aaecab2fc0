"""Reads the lines of a CSV file as text, each with its place in the file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from demo.shop.csv_encoding import find_encoding
from demo.shop.problems import COPY_HINT, Problem
from demo.shop.schema import SHOP_SCHEMA
from demo.shop.text_table import TextLine
from evenstore.errors import TransformError

__all__ = ["read_csv_lines"]

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# Sorts after the problems of all columns in the same line.
_LINE_END = len(SHOP_SCHEMA)


def read_csv_lines(path: Path) -> Iterator[TextLine | Problem]:
    """Read a file of any header, the header being the first line that is yielded.

    The line numbers are those that an editor shows, also after quoted line breaks. Blank lines are
    left out. A problem is yielded where the file cannot be read on, or ends without a line break:
    then the last value may be half a value.

    Raises:
        TransformError: The file is no text, or another character than a comma separates columns.
    """
    content = path.read_bytes()
    encoding = find_encoding(path, content)
    text = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="")
    _check_separator(path, text.readline())
    text.seek(0)
    reader = csv.reader(text, strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield TextLine(start, fields)
            start = reader.line_num + 1
    except csv.Error as exc:
        hint = f"close every quote, and double those inside quotes; or {COPY_HINT}"
        yield Problem(start, 0, f"the quotes from here on do not pair ({exc})", hint)
        return
    if not content.endswith((b"\n", b"\r")):
        hint = f"{COPY_HINT}; if it is whole, end its last line with a line break"
        yield Problem(
            start - 1, _LINE_END, "the file ends within this line, so it may be cut", hint
        )


def _check_separator(path: Path, header: str) -> None:
    """Look at the raw text, since other separators around quotes are a quoting error to `csv`."""
    if _n_names(header, ",") > 1:
        return
    for separator, name in _OTHER_SEPARATORS.items():
        if _n_names(header, separator) > 1:
            msg = f"`{path}` line 1: the columns are separated by {name}, not by commas"
            raise TransformError(msg, hint="save it as CSV with commas")


def _n_names(header: str, separator: str) -> int:
    names = re.split(re.escape(separator), header)
    return sum(name.strip().strip('"') in SHOP_SCHEMA.names for name in names)
