"""What the text of an option is read as, with the message that a wrong one gets."""

from __future__ import annotations

import argparse

__all__ = ["add_min_coverage", "positive", "share"]


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


def add_min_coverage(parser: argparse.ArgumentParser) -> None:
    """Declare the option that says how much a comparison must have seen."""
    parser.add_argument(
        "--min-coverage",
        type=share,
        default=0.3,
        metavar="X",
        help="least share of compared values that are not null on both sides (%(default)s)",
    )
