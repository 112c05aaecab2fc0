"""What is wrong in a file of shop data, with the place, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import TransformError

__all__ = [
    "CODE_RULES",
    "COLUMNS_HINT",
    "COPY_HINT",
    "PRICE_HINT",
    "PRICE_WANTED",
    "CodeRule",
    "Problem",
    "ProblemLog",
    "excerpt",
    "is_exact_price",
    "name_problems",
]

COPY_HINT = "copy or download it again"
COLUMNS_HINT = "the columns are " + ", ".join(
    f"{known.name} ({known.type})" for known in SHOP_SCHEMA
)

PRICE_WANTED = "a finite number with at most four decimals, below 100,000,000,000,000"
PRICE_HINT = "a price has a decimal point and at most four decimals: `2.55`"

_EXCERPT_CHARS = 40
_PRICE_DECIMALS = 4
_PRICE_LIMIT = 1e14
# All white space but the plain space, which the SQL trims; also what is white and has no width.
_OTHER_SPACE = (
    "[\t-\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\u2060\ufeff]"
)


@dataclass(frozen=True, slots=True)
class CodeRule:
    """What no code of a column may look like, since the SQL would take it for another."""

    pattern: str
    """What is searched for; it means the same to `re`, polars and Arrow."""
    what: str
    hint: str


_SPACE_RULE = CodeRule(
    f"^ *{_OTHER_SPACE}|{_OTHER_SPACE} *$",
    "begins or ends with white space that is no plain space",
    "take tabs, line breaks and non-breaking spaces off both ends of the codes",
)
_CANCELLATION_RULE = CodeRule(
    "^ *c|^ +C",
    "is not how a cancellation is written",
    "begin the number of a cancellation with a capital C: `C536379`",
)
CODE_RULES = {"InvoiceNo": (_SPACE_RULE, _CANCELLATION_RULE), "StockCode": (_SPACE_RULE,)}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong; problems sort by their place in the file."""

    line: int
    """Counted from 1; in a workbook the row."""
    position: int
    """Of the column in the file, from 0: of two problems in a line, the left one comes first."""
    what: str
    hint: str
    column: str | None = field(default=None, compare=False)


class ProblemLog:
    """Keeps the first problem of a file and counts the others."""

    def __init__(self) -> None:
        self._first: Problem | None = None
        self._n_problems = 0

    def add(self, problem: Problem, *, n_problems: int = 1) -> None:
        """Take a problem that stands for `n_problems` of its kind, itself the first of them."""
        self._first = problem if self._first is None else min(self._first, problem)
        self._n_problems += n_problems

    def raise_first(self, path: Path, unit: str) -> None:
        """Raise the first problem, where there is one.

        Args:
            path: The file.
            unit: What its lines are called: `line` or `row`.

        Raises:
            TransformError: There is a problem.
        """
        if self._first is None:
            return
        n_more = self._n_problems - 1
        more = f"; {n_more:,} more problem{'s' if n_more > 1 else ''} in the file" if n_more else ""
        column = f", column `{self._first.column}`" if self._first.column else ""
        msg = f"`{path}` {unit} {self._first.line}{column}: {self._first.what}{more}"
        raise TransformError(msg, hint=self._first.hint)


def is_exact_price(price: float) -> bool:
    """Tell whether a price fits `decimal(18, 4)`, which the SQL counts money in, unrounded."""
    if not math.isfinite(price) or abs(price) >= _PRICE_LIMIT:
        return False
    return round(price, _PRICE_DECIMALS) == price


def name_problems(names: Sequence[str]) -> list[str]:
    """Say which columns of `SHOP_SCHEMA` are missing, unknown or repeated in a file."""
    problems = [f"column `{name}` is missing" for name in SHOP_SCHEMA.names if name not in names]
    for name in dict.fromkeys(names):
        if not name:
            problems.append("a column has no name")
        elif name not in SHOP_SCHEMA.names:
            problems.append(f"column {excerpt(name)} is unknown")
        elif names.count(name) > 1:
            problems.append(f"column `{name}` is there {names.count(name)} times")
    return problems


def excerpt(text: str) -> str:
    """Quote the beginning of a text in one line, with nothing in it that a terminal obeys."""
    shown = text[:_EXCERPT_CHARS] + ("…" if len(text) > _EXCERPT_CHARS else "")
    return "`" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown) + "`"
