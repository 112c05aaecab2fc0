"""Whether two servers answer alike, but for what evenstore corrects (docs/reference)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["describe_difference"]

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_A_NUMBER = "NaN"


def describe_difference(stock_body: bytes, our_body: bytes, *, n_keys: int = 1) -> str | None:
    """Say where two answers differ, None where they are alike.

    Alike: the same columns in any order, the same values and event timestamps, and the status that
    stock's cell stands for. Stock says PRESENT of everything, and writes NaN as text.

    Args:
        stock_body: Stock's answer.
        our_body: Ours.
        n_keys: Columns of join keys, which come first.
    """
    stock, ours = _columns(stock_body), _columns(our_body)
    if set(stock) != set(ours):
        return f"columns {sorted(stock)} and {sorted(ours)}"
    if list(stock)[:n_keys] != list(ours)[:n_keys]:
        return "join keys are not the first columns"
    keys = set(list(ours)[:n_keys])
    for name, column in ours.items():
        other = stock[name]
        n_rows = len(column["values"])
        if len(other["values"]) != n_rows:
            return f"`{name}` has {len(other['values'])} and {n_rows} values"
        for row in range(n_rows):
            expected = _expected(other, row, is_key=name in keys)
            cell = _cell(column, row)
            if expected != cell:
                return f"`{name}`, row {row}: stock's means {expected}, ours is {cell}"
    return None


def _columns(body: bytes) -> dict[str, Mapping[str, Any]]:
    answer = json.loads(body)
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


def _expected(column: Mapping[str, Any], row: int, *, is_key: bool) -> tuple[Any, str, datetime]:
    """Return value, true status and event timestamp of one of stock's cells."""
    value, _, event = _cell(column, row)
    if value == _NOT_A_NUMBER:
        return None, "PRESENT", event
    if value is None and not is_key:
        return None, "NOT_FOUND" if event == _NEVER else "NULL_VALUE", event
    return value, "PRESENT", event


def _cell(column: Mapping[str, Any], row: int) -> tuple[Any, str, datetime]:
    # As an instant: stock writes as many digits of a second as it must.
    event = datetime.fromisoformat(column["event_timestamps"][row])
    return column["values"][row], column["statuses"][row], event
