"""What the text of an option is read as, with the message that a wrong one gets."""

from __future__ import annotations

import argparse
from datetime import datetime

from evenstore.clock import datetime_to_us
from evenstore.errors import ConfigurationError

__all__ = ["days", "folds", "instant", "positive", "seed", "share"]

_MOST_DAYS = 36_500
_MOST_FOLDS = 100
_SEED_BOUND = 2**32


def days(text: str) -> float:
    """Read a number of days; raises ArgumentTypeError when it is out of range."""
    number = float(text)
    if not 0.0 <= number <= _MOST_DAYS:
        msg = f"not a number of days from 0 to {_MOST_DAYS:,}: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def share(text: str) -> float:
    """Read a share from 0 to 1; raises ArgumentTypeError when it is out of range."""
    number = float(text)
    if not 0.0 <= number <= 1.0:
        msg = f"not a share from 0 to 1: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def folds(text: str) -> int:
    """Read a number of folds; raises ArgumentTypeError when it is out of range."""
    return _whole_number(text, 1, _MOST_FOLDS)


def seed(text: str) -> int:
    """Read a seed; raises ArgumentTypeError when it is out of range."""
    return _whole_number(text, 0, _SEED_BOUND - 1)


def positive(text: str) -> int:
    """Read a whole number from 1; raises ArgumentTypeError when it is out of range."""
    return _whole_number(text, 1, 2**31 - 1)


def _whole_number(text: str, least: int, greatest: int) -> int:
    number = int(text)
    if not least <= number <= greatest:
        msg = f"not a whole number from {least} to {greatest:,}: {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def instant(text: str) -> int:
    """Read an ISO 8601 instant as microseconds; raises ArgumentTypeError without a zone."""
    try:
        return datetime_to_us(datetime.fromisoformat(text))
    except (ValueError, ConfigurationError) as exc:
        msg = f"not an ISO 8601 instant with a zone: {text!r}; write 2011-12-09T12:00:00Z"
        raise argparse.ArgumentTypeError(msg) from exc
