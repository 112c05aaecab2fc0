"""What two unequal values of one row tell of what happened between them. Pure; no store.

Each function says in words what it recognises, or None. The words are of the online value relative
to the offline one.
"""

from __future__ import annotations

import math
import struct
import unicodedata
from collections.abc import Callable

from evenstore.client.values import PlainValue, Undecodable
from evenstore.dtypes import Dtype

__all__ = [
    "instant_sign",
    "nan_or_null_sign",
    "precision_sign",
    "time_shift_sign",
    "to_zone_shift",
]

_QUARTER_HOUR_S = 900
_LONGEST_SHIFT_S = 14 * 3600
_US_PER_S = 1_000_000
# The least 64-bit integer, as seconds, or as nanoseconds that were made seconds.
_NOT_A_TIME = frozenset({-(2**63), -(2**63) // 10**9, -(2**63) // 10**9 + 1})
# Float32 keeps 24 bits: what differs by less was written with fewer digits.
_NARROWED = 2.0**-23

Sign = Callable[[PlainValue | None, PlainValue | None], str | None]


def to_zone_shift(difference_us: int) -> str | None:
    """Name a difference that two time zones can have; None for any other, and for none.

    Args:
        difference_us: Microseconds.
    """
    seconds, rest_us = divmod(difference_us, _US_PER_S)
    if rest_us or not seconds or seconds % _QUARTER_HOUR_S or abs(seconds) > _LONGEST_SHIFT_S:
        return None
    hours, rest_s = divmod(abs(seconds), 3600)
    return f"{'+' if seconds > 0 else '-'}{hours:02d}:{rest_s // 60:02d}"


def time_shift_sign(
    dtype: Dtype, offline: PlainValue | None, online: PlainValue | None
) -> str | None:
    """Recognise an instant, or a list of them, that is moved by a time zone."""
    if dtype is Dtype.UNIX_TIMESTAMP:
        return _shift(offline, online)
    if dtype is not Dtype.UNIX_TIMESTAMP_LIST or not _are_lists(offline, online):
        return None
    shifts = {_shift(one, other) for one, other in _pairs(offline, online)}
    return shifts.pop() if len(shifts) == 1 else None


def nan_or_null_sign(offline: PlainValue | None, online: PlainValue | None) -> str | None:
    """Recognise a null, NaN or infinity that became another one, or a null that became a zero.

    Also within a list, and an empty list that became null.
    """
    names = _blank(offline), _blank(online)
    if all(names) and names[0] != names[1]:
        return f"{names[0]} offline is {names[1]} online"
    if None in {offline, online}:
        other = online if offline is None else offline
        return None if _zero(other) is None else f"null on one side is {_zero(other)} on the other"
    if not _are_lists(offline, online):
        return None
    differing = [pair for pair in _pairs(offline, online) if not _is_same(*pair)]
    # Stock Feast turns a null within a list into its type's zero.
    blanks = [_blank(one) and (_blank(other) or _zero(other)) for one, other in differing]
    return "a null or NaN in the list became another" if blanks and all(blanks) else None


def precision_sign(offline: PlainValue | None, online: PlainValue | None) -> str | None:
    """Recognise a value that went through a narrower or another type."""
    if offline is None or online is None:
        return None
    if _are_lists(offline, online):
        differing = [pair for pair in _pairs(offline, online) if not _is_same(*pair)]
        signs = {precision_sign(one, other) for one, other in differing}
        return signs.pop() if len(signs) == 1 else None
    if isinstance(online, Undecodable) or isinstance(offline, Undecodable):
        return "one side gave a value of another type"
    if type(offline) is not type(online):
        return _other_type(offline, online)
    return _number_sign(offline, online)


def _number_sign(offline: PlainValue, online: PlainValue) -> str | None:
    if isinstance(offline, float) and isinstance(online, float):
        return _float_sign(offline, online)
    if isinstance(offline, str) and isinstance(online, str):
        return _text_sign(offline, online)
    if isinstance(offline, bool) or not (isinstance(offline, int) and isinstance(online, int)):
        return None
    one, other = _finite(offline), _finite(online)
    if one is None or other is None:
        return None
    if int(one) == online or int(other) == offline:
        return "the integer went through a 64-bit float"
    return "the integer was cut to 32 bits" if (offline - online) % 2**32 == 0 else None


def instant_sign(offline: PlainValue | None, online: PlainValue | None) -> str | None:
    """Recognise whole seconds that were rounded to another second, or are of another unit."""
    if not (isinstance(offline, int) and isinstance(online, int)):
        return None
    if abs(offline - online) == 1:
        return "the instant was rounded to another second"
    units = (10**3, 10**6, 10**9)
    is_scaled = any(offline in {online * unit, online // unit} for unit in units)
    return "the instant is of another unit" if is_scaled and offline and online else None


def _text_sign(offline: str, online: str) -> str | None:
    if unicodedata.normalize("NFC", offline) == unicodedata.normalize("NFC", online):
        return "the text is in another Unicode form"
    twice = offline.encode("utf-8", "replace").decode("latin-1")
    return "the text was encoded twice" if online == twice else None


def _float_sign(offline: float, online: float) -> str | None:
    if not (math.isfinite(offline) and math.isfinite(online)):
        return (
            "the number is beyond the range of float32" if _is_overflow(offline, online) else None
        )
    if _narrow(offline) == online or _narrow(online) == offline:
        return "the number was narrowed to float32"
    if online == math.trunc(offline):
        return "the fraction was cut off"
    largest = max(abs(offline), abs(online))
    return (
        "the numbers differ in their last digits"
        if (abs(offline - online) <= _NARROWED * largest)
        else None
    )


def _is_overflow(offline: float, online: float) -> bool:
    return math.isfinite(offline) and math.isinf(online) and _narrow(offline) == online


def _narrow(value: float) -> float:
    try:
        (narrow,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        return math.copysign(math.inf, value)
    return float(narrow)


def _other_type(offline: PlainValue, online: PlainValue) -> str | None:
    names = type(offline).__name__, type(online).__name__
    if isinstance(offline, bool | int | float) and isinstance(online, bool | int | float):
        one, other = _finite(offline), _finite(online)
        is_equal = one is not None and other is not None and other in {one, math.trunc(one)}
        return f"the value became {names[1]}, of {names[0]}" if is_equal else None
    is_text = str in {type(offline), type(online)}
    is_equal = _text(offline) == _text(online)
    return f"the value became {names[1]}, of {names[0]}" if is_text and is_equal else None


def _finite(value: float) -> float | None:
    """Return a number as a float; None where there is no such float, or it is no number."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: PlainValue) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def _shift(offline: PlainValue | None, online: PlainValue | None) -> str | None:
    if isinstance(offline, int) and isinstance(online, int):
        return to_zone_shift((online - offline) * _US_PER_S)
    return None


def _blank(value: PlainValue | None) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return None


def _zero(value: PlainValue | None) -> str | None:
    """Name what a store without nulls has in a null's place."""
    if isinstance(value, int) and value in _NOT_A_TIME:
        return "the instant that stands for none"
    if isinstance(value, tuple) and not value:
        return "an empty list"
    return "zero" if value in {0, "", b""} else None


def _is_same(one: PlainValue | None, other: PlainValue | None) -> bool:
    if "NaN" in {_blank(one), _blank(other)}:
        return _blank(one) == _blank(other)
    return type(one) is type(other) and one == other


def _are_lists(offline: PlainValue | None, online: PlainValue | None) -> bool:
    is_list = isinstance(offline, tuple) and isinstance(online, tuple)
    return is_list and len(_items(offline)) == len(_items(online)) > 0


def _items(value: PlainValue | None) -> tuple[PlainValue | None, ...]:
    return value if isinstance(value, tuple) else ()


def _pairs(
    offline: PlainValue | None, online: PlainValue | None
) -> list[tuple[PlainValue | None, PlainValue | None]]:
    return list(zip(_items(offline), _items(online), strict=True))
