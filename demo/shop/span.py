"""Refuses shop data that the walk-through could not finish on, before anything is made of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.clock import Clock, datetime_to_us
from evenstore.errors import TransformError

__all__ = ["check_span"]

_LEAST_DAYS = 240
_MOST_DAYS = 3_660


def check_span(path: Path, lines: pa.Table, clock: Clock) -> None:
    """Check that lines name customers and span a time that models can be judged on.

    Args:
        path: Where they are from, for the message.
        lines: In the columns of `SHOP_SCHEMA`.
        clock: No line may be later than its now.

    Raises:
        TransformError: No line names a customer, a line is before 1970 or after now, or the lines
            span less than eight months or more than ten years.
    """
    if lines["CustomerID"].null_count == lines.num_rows:
        msg = f"`{path}`: no line names a customer"
        raise TransformError(msg, hint="the models need lines with a `CustomerID`")
    span = pc.min_max(lines["InvoiceDate"]).as_py()
    first, last = span["min"], span["max"]
    first_us, last_us = (datetime_to_us(at, naive_is_utc=True) for at in (first, last))
    if first_us < 0 or last_us > clock.now_us():
        msg = f"`{path}`: lines from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
        raise TransformError(msg, hint="an `InvoiceDate` lies from 1970 to now")
    if not timedelta(days=_LEAST_DAYS) <= last - first <= timedelta(days=_MOST_DAYS):
        msg = f"`{path}` spans {(last - first).days} days"
        raise TransformError(
            msg,
            hint=f"features look back 90 days and labels ahead 60, and models are tested on what "
            f"follows: give {_LEAST_DAYS} to {_MOST_DAYS} days",
        )
