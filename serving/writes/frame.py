"""The `df` of a request: columns by name, as pandas would read them, but checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.errors import InvalidRequestError, RequestTooLargeError

__all__ = ["Frame"]


@dataclass(frozen=True, slots=True)
class Frame:
    """Equally long columns.

    Attributes:
        columns: Values by column name.
        n_rows: Their length.
    """

    columns: dict[str, list[Any]]
    n_rows: int

    @staticmethod
    def read(df: Mapping[str, Any], *, max_rows: int) -> Frame:
        """Read what callers send: lists, `DataFrame.to_dict()`, or single values beside lists.

        Raises:
            InvalidRequestError: There is no column, or the columns are not equally long.
            RequestTooLargeError: There are more rows than allowed.
        """
        if not df:
            msg = "`df` has no columns"
            raise InvalidRequestError(msg, hint="send one column per join key and feature")
        if all(isinstance(column, dict) for column in df.values()):
            df = _by_label(df)
        columns = {name: column for name, column in df.items() if isinstance(column, list)}
        n_rows = _common_length(columns)
        if n_rows > max_rows:
            msg = f"{n_rows} rows, at most {max_rows} are allowed"
            raise RequestTooLargeError(msg, hint="send fewer rows in each of several requests")
        for name, value in df.items():
            if name not in columns:
                # As pandas does, and Feast's own example of a push needs it.
                columns[name] = [value] * n_rows
        return Frame(columns, n_rows)

    def renamed(self, new_names: Mapping[str, str]) -> Frame:
        """Return the frame under the names that features have."""
        if not new_names:
            return self
        columns = {new_names.get(name, name): column for name, column in self.columns.items()}
        return Frame(columns, self.n_rows)


def _by_label(df: Mapping[str, Any]) -> dict[str, Any]:
    """Turn `{column: {row label: value}}`, which `DataFrame.to_dict()` gives, into lists."""
    labels = list(next(iter(df.values())))
    if any(set(column) != set(labels) for column in df.values()):
        msg = "the columns of `df` have different row labels"
        raise InvalidRequestError(msg, hint="send lists of equal length")
    return {name: [column[label] for label in labels] for name, column in df.items()}


def _common_length(columns: Mapping[str, list[Any]]) -> int:
    if not columns:
        msg = "no column of `df` is a list"
        raise InvalidRequestError(msg, hint='send lists, such as {"customer_id": [17850]}')
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        problems = [
            {"where": f"df.{name}", "problem": f"{len(column)} rows"}
            for name, column in columns.items()
        ]
        msg = "the columns of `df` have different lengths"
        raise InvalidRequestError(msg, hint="send one value per row", problems=problems)
    return lengths.pop()
