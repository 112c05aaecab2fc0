"""Reading a frame's columns: what is wrong with any of them is told at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenstore.clock import format_us
from evenstore.dtypes import Dtype
from evenstore.errors import FutureRowError
from serving.errors import InvalidRequestError
from serving.writes.frame import Frame
from serving.writes.values import BadValueError, read_instants, read_values

__all__ = ["FrameReading", "refuse_future"]

_SEND_ALL = "every row needs all join keys, all features of the view and its event timestamp"


class FrameReading:
    """Reads columns of a frame and collects what is wrong with them."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._problems: list[dict[str, str]] = []

    def values(self, name: str, dtype: Dtype, *, is_key: bool = False) -> list[Any]:
        """Return a column's values of a declared type; none after a problem, as all methods do."""
        column = self.column(name)
        if is_key and None in column:
            self._note(name, BadValueError(column.index(None), "null: a null key names no entity"))
            return []
        try:
            return read_values(column, dtype)
        except BadValueError as exc:
            self._note(name, exc)
            return []

    def instants(self, name: str, *, is_nullable: bool) -> list[int | None]:
        """Return a column's timestamps in microseconds since 1970."""
        try:
            return read_instants(self.column(name), is_nullable=is_nullable)
        except BadValueError as exc:
            self._note(name, exc)
            return []

    def column(self, name: str) -> list[Any]:
        """Return a column as it was sent."""
        column = self._frame.columns.get(name)
        if column is None:
            self.note(name, "the column is missing")
            return []
        return column

    def note(self, name: str, problem: str) -> None:
        """Remember what is wrong with a column."""
        noted = {"where": f"df.{name}", "problem": problem}
        if noted not in self._problems:
            self._problems.append(noted)

    def refuse(self, view_name: str) -> None:
        """Refuse the frame if there was a problem.

        Raises:
            InvalidRequestError: It names every problem found; the message names the first.
        """
        if self._problems:
            first = self._problems[0]
            msg = f"{view_name}: `{first['where']}`: {first['problem']}"
            raise InvalidRequestError(msg, hint=_SEND_ALL, problems=self._problems)

    def _note(self, name: str, bad: BadValueError) -> None:
        self.note(f"{name}[{bad.row_idx}]", bad.problem)


def refuse_future(
    event_us: Sequence[int | None], view_name: str, column: str, *, latest_us: int
) -> None:
    """Refuse rows that are later than accepted.

    Raises:
        FutureRowError: There is such a row; the latest is named.
    """
    last_us = max((instant for instant in event_us if instant is not None), default=latest_us)
    if last_us > latest_us:
        where = f"`df.{column}[{event_us.index(last_us)}]`"
        msg = f"{view_name}: {where} is {format_us(last_us)}, after now"
        raise FutureRowError(msg, hint="it would hide the row that is valid until then")
