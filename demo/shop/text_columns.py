"""How the text of each column becomes its values, and what is said of a text that does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import polars as pl

from demo.shop.problems import CODE_RULES, PRICE_HINT, PRICE_WANTED, excerpt, is_exact_price

__all__ = ["DateForm", "find_date_form", "misfit", "parse_column"]

_MISFITS = {
    "Quantity": ("a whole number of 32 bits", "a quantity has digits and a sign only: `-12`"),
    "InvoiceDate": (
        "a date and time",
        "write all dates as month/day/year, `12/31/2010 8:26`, or all as `2010-12-31 08:26:00`",
    ),
    "UnitPrice": (PRICE_WANTED, PRICE_HINT),
    "CustomerID": ("a whole number", "a customer is a number such as `17850`, or empty"),
}


@dataclass(frozen=True, slots=True)
class DateForm:
    """One of the forms that dates are written in; a file has one for all its lines."""

    name: str
    pattern: str
    format: str


# The pattern is asked before the parser, which alone takes a year of two digits for one of
# antiquity, and the 60th second for the next minute. Left-out seconds are added as zero.
_MONTH_DAY_YEAR = DateForm(
    "month/day/year",
    r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4} [0-9]{1,2}:[0-9]{2}(:[0-5][0-9])?$",
    "%m/%d/%Y %H:%M:%S",
)
_ISO = DateForm(
    "ISO",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-5][0-9](\.[0-9]{1,6})?)?$",
    "%Y-%m-%d %H:%M:%S%.f",
)
_DATE_FORMS = (_MONTH_DAY_YEAR, _ISO)


def find_date_form(texts: pl.Series) -> DateForm | None:
    """Find the form of the first date that has one; `None` where no date has."""
    forms = (form for text in texts for form in _DATE_FORMS if re.match(form.pattern, text))
    return next(forms, None)


def parse_column(name: str, date_form: DateForm | None) -> pl.Expr:
    """Parse the text of a column; null stands for an empty text and for one that does not fit.

    Guarantees:
        A text gives the value that it is written as, never one near it: no text is rounded,
        trimmed or clipped.
    """
    text = pl.col(name)
    if name == "Quantity":
        return _whole_number(text, pl.Int32())
    if name == "CustomerID":
        return _whole_number(text, pl.Int64())
    if name == "UnitPrice":
        return _price(text)
    if name == "InvoiceDate":
        return _timestamp(text, date_form or _ISO)
    is_code = [~text.str.contains(rule.pattern) for rule in CODE_RULES.get(name, ())]
    return pl.when(text != "", *is_code).then(text)


def misfit(name: str, text: str, date_form: DateForm | None) -> tuple[str, str]:
    """Say why a text is no value of a column, and what would be."""
    if not text:
        return "is empty", "fill it in, or leave the line out of the file"
    for rule in CODE_RULES.get(name, ()):
        if re.search(rule.pattern, text):
            return f"{excerpt(text)} {rule.what}", rule.hint
    wanted, hint = _MISFITS[name]
    if name == "InvoiceDate" and date_form is not None:
        wanted += f" in {date_form.name} form, as the first of the file is"
    return f"{excerpt(text)} is not {wanted}", hint


def _whole_number(text: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    # A column of numbers with gaps is often written with fractions: `17850.0`.
    return text.str.replace(r"\.0+$", "").cast(dtype, strict=False)


def _price(text: pl.Expr) -> pl.Expr:
    is_exact = text.map_batches(_are_exact_prices, return_dtype=pl.Boolean())
    return pl.when(is_exact).then(text.cast(pl.Float64, strict=False))


def _are_exact_prices(texts: pl.Series) -> pl.Series:
    is_exact = {text: _is_exact_price(text) for text in texts.unique()}
    return pl.Series([is_exact[text] for text in texts], dtype=pl.Boolean)


def _is_exact_price(text: str) -> bool:
    try:
        written = Decimal(text)
        price = float(text)
    except (InvalidOperation, ValueError):
        return False
    # The double alone does not show what its text has beyond 17 digits, or below 1e-324.
    return is_exact_price(price) and Decimal(repr(price)) == written


def _timestamp(text: pl.Expr, form: DateForm) -> pl.Expr:
    shaped = pl.when(text.str.contains(form.pattern)).then(text)
    spaced = shaped.str.replace("T", " ", literal=True)
    with_seconds = spaced.str.replace(r" ([0-9]+:[0-9]+)$", " ${1}:00")
    return with_seconds.str.to_datetime(form.format, time_unit="us", strict=False)
