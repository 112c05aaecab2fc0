"""Two answers beside each other: which deliberate differences they show, and what is none."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.serving.differential import shop

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_NULL_TIMESTAMP = -(2**63)
_ON_DEMAND = {"ratio_to_usual", "not_a_number", "double_score"}
_CLIENT_ERRORS = {404, 422}
_FAILED = 500
# What stock takes and strict mode does not: as stock tells most mistakes, or as it tells of forms.
_STRICT_REFUSALS = {500, 422}


@dataclass(slots=True)
class Comparison:
    """What was found: names of deliberate differences, and everything else in words."""

    strict_views: Mapping[str, str] | None = None
    shown: set[str] = field(default_factory=set)
    unexplained: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of both answers."""

    name: str
    is_key: bool
    is_expired: list[bool]

    @property
    def is_on_demand(self) -> bool:
        return self.name.rpartition("__")[2] in _ON_DEMAND


def compare(
    body: Mapping[str, Any],
    stock: httpx.Response,
    ours: httpx.Response,
    *,
    allowed: frozenset[str] = frozenset(),
    views: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare two answers to a request.

    `allowed` names what a request is meant to show where one server answers and the other refuses.
    `views` is given where ours is in strict mode: each column's view by the column's name.
    """
    found = Comparison(strict_views=views)
    if stock.is_success and ours.is_success:
        _compare_answers(body, stock.json(), ours.json(), found)
        if allowed and found.unexplained:
            found.shown |= allowed
            found.unexplained.clear()
    elif stock.is_success or ours.is_success:
        refusals = _CLIENT_ERRORS if views is None else _STRICT_REFUSALS
        if allowed and (ours.is_success or ours.status_code in refusals):
            found.shown |= allowed
        else:
            found.unexplained.append(f"{_said(stock)}; we: {_said(ours)}")
    elif views is None:
        _compare_errors(stock, ours, found)
    else:
        _compare_strict_errors(stock, ours, found)
    return found


def _compare_strict_errors(stock: httpx.Response, ours: httpx.Response, found: Comparison) -> None:
    """Expect stock's status, and its body but for the texts that Python had for a mistake."""
    ours_said, stock_said = ours.json(), stock.json()
    if stock.status_code == _FAILED:
        is_same = isinstance(ours_said, str) and isinstance(stock_said, str)
    elif "detail" in stock_said:
        is_same = [problem["loc"] for problem in stock_said["detail"]] == [
            problem["loc"] for problem in ours_said["detail"]
        ]
    else:
        # Each server has a project of its own, and stock names several columns in a set's order.
        is_same = _words(stock_said.replace("project stock", "project ours")) == _words(ours_said)
    if stock.status_code != ours.status_code or not is_same:
        found.unexplained.append(f"{_said(stock)}; we: {_said(ours)}")


def _compare_errors(stock: httpx.Response, ours: httpx.Response, found: Comparison) -> None:
    found.shown.add("error-body")
    if stock.status_code != ours.status_code:
        found.shown.add("error-status")
    error = ours.json()["error"]
    if ours.status_code not in _CLIENT_ERRORS or set(error) != _ERROR_PARTS:
        found.unexplained.append(f"{_said(stock)}; we: {_said(ours)}")


_ERROR_PARTS = {"code", "message", "hint", "details"}


def _compare_answers(body: Mapping[str, Any], stock: Any, ours: Any, found: Comparison) -> None:
    stock_names = stock["metadata"]["feature_names"]
    our_names = ours["metadata"]["feature_names"]
    added = set(our_names) - set(stock_names)
    if {name.rpartition("__")[2] for name in added} & _ON_DEMAND and body["full_feature_names"]:
        found.shown.add("full-names")
        our_kept = [name for name in our_names if name not in added]
    else:
        our_kept = our_names
    _compare_order(stock_names, our_kept, found)
    if sorted(our_kept) != sorted(stock_names):
        found.unexplained.append(f"columns {stock_names}, we: {our_names}")
        return
    if _views(stock) != _views(ours):
        found.unexplained.append(f"views {_views(stock)}, we: {_views(ours)}")
    stock_results = dict(zip(stock_names, stock["results"], strict=True))
    expired = [key in shop.EXPIRED for key in body["entities"].get("customer_id", [])]
    for name, result in zip(our_names, ours["results"], strict=True):
        if name in stock_results:
            column = _Column(name, name in body["entities"], expired)
            _compare_column(column, stock_results[name], result, found)


def _words(text: str) -> list[str]:
    return sorted(re.findall(r"\w+", text))


def _compare_order(stock_names: list[str], our_names: list[str], found: Comparison) -> None:
    views = found.strict_views
    if views is None and our_names != stock_names:
        found.shown.add("column-order")
    elif views is not None and _inside_views(our_names, views) != _inside_views(stock_names, views):
        found.unexplained.append(f"order {stock_names}, we: {our_names}")


def _inside_views(names: list[str], views: Mapping[str, str]) -> list[str]:
    """Sort what stands together of one view: there stock's order is that of a hash."""
    runs = itertools.groupby(names, key=lambda name: views.get(name, name))
    return [name for _, run in runs for name in sorted(run)]


def _views(answer: Any) -> list[Any]:
    views = answer["metadata"].get("feature_view_metadata", [])
    return sorted(views, key=lambda view: str(view["name"]))


def _compare_column(column: _Column, stock: Any, ours: Any, found: Comparison) -> None:
    if not len(stock["values"]) == len(ours["values"]) == len(ours["statuses"]):
        found.unexplained.append(f"`{column.name}` has another number of rows")
        return
    for row, (value, event, our_value, our_status, our_event) in enumerate(
        zip(
            stock["values"],
            stock["event_timestamps"],
            ours["values"],
            ours["statuses"],
            ours["event_timestamps"],
            strict=True,
        )
    ):
        wrong = _describe_cell(column, row, (value, event), (our_value, our_status), found)
        if event != our_event and _is_same_instant(event, our_event):
            found.shown.add("timestamp-digits")
        elif event != our_event:
            wrong = f"event timestamp {event}, we: {our_event}"
        if wrong:
            found.unexplained.append(f"`{column.name}`, row {row}: {wrong}")


def _describe_cell(
    column: _Column,
    row: int,
    stock: tuple[Any, str],
    ours: tuple[Any, str],
    found: Comparison,
) -> str | None:
    """Say what is wrong with our cell, and note what differs on purpose."""
    value, event = stock
    is_expired = column.is_expired[row] if column.is_expired else False
    if column.is_on_demand and (value is None or is_expired):
        return _describe_computed(column, ours, found, is_expired=is_expired)
    expected: tuple[Any, str] = (value, "PRESENT")
    if column.is_key:
        pass
    elif value == _NULL_TIMESTAMP and found.strict_views is not None:
        found.shown.add("true-status")
        expected = (value, "NULL_VALUE")
    elif value == _NULL_TIMESTAMP:
        found.shown.add("null-timestamp")
        expected = (None, "NULL_VALUE")
    elif value is None:
        found.shown.add("true-status")
        is_there = datetime.fromisoformat(event) != _NEVER
        expected = (None, "NULL_VALUE" if is_there else "NOT_FOUND")
    if is_expired and ours == (None, "OUTSIDE_MAX_AGE"):
        found.shown.add("ttl")
        return None
    # 1 is not 1.0, 0.0 is not -0.0.
    return None if repr(expected) == repr(ours) else f"{expected}, we: {ours}"


def _describe_computed(
    column: _Column, ours: tuple[Any, str], found: Comparison, *, is_expired: bool
) -> str | None:
    """Judge a null of an on-demand view, or what it makes of an expired input."""
    value, status = ours
    found.shown.add("true-status")
    if status == "OUTSIDE_MAX_AGE" and is_expired:
        found.shown.add("ttl")
    elif status == "OUTSIDE_MAX_AGE":
        return f"null, we: {ours}"
    is_nan = column.name.endswith("not_a_number")
    if status == "PRESENT" and not (is_nan or is_expired):
        return f"null, we: {ours}"
    return None if value is None or is_expired else f"null, we: {ours}"


def _is_same_instant(one: str, other: str) -> bool:
    return datetime.fromisoformat(one) == datetime.fromisoformat(other)


def _said(response: httpx.Response) -> str:
    return f"{response.status_code} {response.text[:300]}"
