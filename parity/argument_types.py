"""What the text of an option is read as, with the message that a wrong one gets."""

from __future__ import annotations

import argparse
from datetime import datetime

from evenstore.clock import datetime_to_us

__all__ = ["add_min_coverage", "instant_us", "positive", "share"]


def positive(text: str) -> int:
    """Read a whole number from 1; raises ArgumentTypeError below that."""
    number = int(text)
    if number < 1:
        msg = f"{text} is not 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return number


def share(text: str) -> float:
    """Read a number from 0 to 1; raises ArgumentTypeError when it is out of range."""
    number = float(text)
    if not 0 <= number <= 1:
        msg = f"{text} is not between 0 and 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def instant_us(text: str) -> int:
    """Read an instant with a zone, in microseconds; raises ArgumentTypeError for anything else."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no instant such as 2011-12-09T12:50:00Z"
        raise argparse.ArgumentTypeError(msg) from None
    if instant.tzinfo is None:
        msg = f"{text!r} has no time zone: append Z for UTC"
        raise argparse.ArgumentTypeError(msg)
    return datetime_to_us(instant)


def add_min_coverage(parser: argparse.ArgumentParser) -> None:
    """Declare the option that says how much a comparison must have seen."""
    parser.add_argument(
        "--min-coverage",
        type=share,
        default=0.3,
        metavar="X",
        help="least share of compared values that are not null on both sides (%(default)s)",
    )
