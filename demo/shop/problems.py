"""What is wrong in a file of shop data, with the place, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.shop.schema import SHOP_SCHEMA
from evenstore.errors import TransformError

__all__ = ["COLUMNS_HINT", "COPY_HINT", "Problem", "ProblemLog", "excerpt", "name_problems"]

COPY_HINT = "copy or download it again"
COLUMNS_HINT = "the columns are " + ", ".join(
    f"{known.name} ({known.type})" for known in SHOP_SCHEMA
)

_EXCERPT_CHARS = 40


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
