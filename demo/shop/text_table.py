"""Makes the shop's table from lines of text, and finds the first value that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa

from demo.shop.problems import COLUMNS_HINT, COPY_HINT, Problem, ProblemLog, excerpt, name_problems
from demo.shop.schema import SHOP_SCHEMA
from demo.shop.text_columns import DateForm, find_date_form, misfit, parse_column
from evenstore.errors import TransformError

__all__ = ["TextLine", "make_shop_table"]

_BATCH_LINES = 65_536
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of a file, its fields as they are written; an empty field is a null."""

    number: int
    """Where it begins, from 1; in a workbook the row."""
    fields: list[str]


def make_shop_table(
    path: Path, lines: Iterator[TextLine | Problem], *, unit: Literal["line", "row"]
) -> pa.Table:
    """Make one table in the columns of `SHOP_SCHEMA`, in the order of the lines.

    Args:
        path: The file, for messages.
        lines: The header, then the lines; a problem among them is the reader's own.
        unit: What the file calls a line. Line breaks in the fields of a line count as lines, those
            in a row do not.

    Raises:
        TransformError: There are no lines, or a column or value is not as `SHOP_SCHEMA` has it.
            All problems of the header are named; of the others the first, with their number.
    """
    header = next(lines, None)
    if header is None:
        msg = f"`{path}` is empty"
        raise TransformError(msg, hint=COPY_HINT)
    log = ProblemLog()
    tables: list[pa.Table] = []
    if isinstance(header, Problem):
        log.add(header)
    else:
        _check_header(path, header, unit)
        caster = _Caster(header.fields, log, counts_breaks=unit == "line")
        while batch := list(islice(lines, _BATCH_LINES)):
            tables.append(caster.cast(batch))
    log.raise_first(path, unit)
    if not tables:
        msg = f"`{path}` has no lines"
        raise TransformError(msg, hint=COPY_HINT)
    return pa.concat_tables(tables).cast(SHOP_SCHEMA)


def _check_header(path: Path, header: TextLine, unit: str) -> None:
    if set(header.fields).isdisjoint(SHOP_SCHEMA.names):
        problems = [f"{excerpt(','.join(header.fields))} names none of the columns"]
    else:
        problems = name_problems(header.fields)
    if problems:
        msg = f"`{path}` {unit} {header.number}: " + "; ".join(problems)
        raise TransformError(msg, hint=COLUMNS_HINT)


class _Caster:
    """Casts batches of lines, and logs what does not fit."""

    def __init__(self, names: Sequence[str], log: ProblemLog, *, counts_breaks: bool) -> None:
        self._names = names
        self._log = log
        self._counts_breaks = counts_breaks
        # Of the whole file: the first date that has one of the forms decides for all the others.
        self._date_form: DateForm | None = None

    def cast(self, batch: Sequence[TextLine | Problem]) -> pa.Table:
        """Cast one batch; where something is logged, nulls stand for what does not fit."""
        lines = self._whole_lines(batch)
        texts = pl.DataFrame(
            [line.fields for line in lines],
            schema=dict.fromkeys(self._names, pl.String),
            orient="row",
        )
        if self._date_form is None:
            self._date_form = find_date_form(texts["InvoiceDate"])
        values = texts.select(parse_column(name, self._date_form) for name in SHOP_SCHEMA.names)
        for position, name in enumerate(self._names):
            is_misfit = values[name].is_null()
            if SHOP_SCHEMA.field(name).nullable:
                is_misfit &= texts[name] != ""
            if is_misfit.any():
                line = lines[is_misfit.arg_true()[0]]
                what, hint = misfit(name, line.fields[position], self._date_form)
                problem = Problem(self._place(line, position), position, what, hint, column=name)
                self._log.add(problem, n_problems=int(is_misfit.sum()))
        return values.to_arrow()

    def _whole_lines(self, batch: Sequence[TextLine | Problem]) -> list[TextLine]:
        lines: list[TextLine] = []
        for line in batch:
            if isinstance(line, Problem):
                self._log.add(line)
            elif len(line.fields) != len(self._names):
                what = f"{len(line.fields)} fields, not {len(self._names)}"
                hint = f"put a field that holds a comma in quotes; if the file is cut: {COPY_HINT}"
                self._log.add(Problem(line.number, 0, what, hint))
            else:
                lines.append(line)
        return lines

    def _place(self, line: TextLine, position: int) -> int:
        if not self._counts_breaks:
            return line.number
        return line.number + sum(len(_LINE_BREAK.findall(text)) for text in line.fields[:position])
