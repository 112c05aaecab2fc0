"""What "no feature sees the future" means, as checks that a leak fails.

Each check asks real vectors of two worlds of invoice lines and compares them: values, statuses and
event timestamps, exactly, of all four views and the on-demand view. `make` turns lines into the
feature tables; `test_no_leak.py` hands in the shop's SQL, and SQL with a planted fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from evenstore.semantics import Knowledge
from tests.demo.lines import instant
from tests.demo.shop_features import Asked, Features, Lines

__all__ = [
    "MOMENT",
    "check_checkout_cannot_see_itself",
    "check_future_moves_nothing",
    "check_known_is_what_was_there",
    "check_labels_ignore_the_past",
]

Make = Callable[[Lines], Features]
LabelMaker = Callable[[Lines], Mapping[tuple[Any, ...], list[bool]]]
"""Labels by entity key and instant, the instant last."""

# When a window's rows may be used, after its end; what the shop promises, not what its SQL does.
HOURLY_DELAY, DAILY_DELAY = timedelta(minutes=30), timedelta(hours=2)
MOMENT = timedelta(microseconds=1)

HOURLY = {"product_demand", "checkout_line"}
ALL = {"customer_activity", "customer_profile", "customer_product", *HOURLY}


def check_checkout_cannot_see_itself(make: Make, lines: Lines, marker: Mapping[str, Any]) -> None:
    """A line that no feature can miss is added to an invoice: who sees it, and from when on?

    Nobody at the instant of the invoice, nobody until its hour is over and published; then the
    hourly view; the daily views when its day is over and published. That each of them sees it then
    is what makes the nothing before a proof.
    """
    at = instant(marker["InvoiceDate"])
    hour_published = at.replace(minute=0) + timedelta(hours=1) + HOURLY_DELAY
    day_published = at.replace(hour=0, minute=0) + timedelta(days=1) + DAILY_DELAY
    expected = {
        at: set(),
        hour_published - MOMENT: set(),
        hour_published: HOURLY,
        day_published - MOMENT: HOURLY,
        day_published: ALL,
    }
    plain, marked = make(lines), make([*lines, marker])
    product = marker["StockCode"].strip().upper()
    for knowledge in Knowledge:
        asked = [Asked(marker["CustomerID"], product, when) for when in expected]
        moved = {question.at: views for question, views in _moved(plain, marked, asked, knowledge)}
        assert moved == expected, knowledge


def check_future_moves_nothing(
    make: Make, lines: Lines, other_future: Lines, now: datetime, asked: Iterable[Asked]
) -> None:
    """Two worlds that differ from `now` on only: no vector asked until then tells them apart."""
    questions = list(asked)
    assert _before(lines, now) == _before(other_future, now)
    assert questions
    assert all(question.at <= now for question in questions)
    one, other = make(lines), make(other_future)
    for knowledge in Knowledge:
        for question, views in _moved(one, other, questions, knowledge):
            assert views == set(), (question, knowledge)


def check_known_is_what_was_there(
    backfill: Features, there: Features, asked: Iterable[Asked], knowledge: Knowledge
) -> None:
    """A backfill, made long after, says what the tables that were there at that instant said."""
    questions = list(asked)
    assert questions
    known = backfill.vectors(questions, knowledge)
    assert known == there.vectors(questions, Knowledge.LATEST_TRUTH)


def check_labels_ignore_the_past(
    label: LabelMaker, lines: Lines, other_past: Lines, now: datetime
) -> None:
    """Two worlds that differ until `now` only: no label of a row from then on differs."""
    assert _after(lines, now) == _after(other_past, now)
    ours, theirs = label(lines), label(other_past)
    both = {key for key in ours.keys() & theirs.keys() if key[-1] >= now}
    assert both
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}


def _moved(
    one: Features, other: Features, asked: list[Asked], knowledge: Knowledge
) -> list[tuple[Asked, set[str]]]:
    ours, theirs = one.vectors(asked, knowledge), other.vectors(asked, knowledge)
    return [
        (
            question,
            {
                name.partition("__")[0]
                for name, value in ours[question].items()
                if theirs[question][name] != value
            },
        )
        for question in asked
    ]


def _before(lines: Lines, now: datetime) -> list[str]:
    return sorted(repr(line) for line in lines if instant(line["InvoiceDate"]) < now)


def _after(lines: Lines, now: datetime) -> list[str]:
    return sorted(repr(line) for line in lines if instant(line["InvoiceDate"]) > now)
