"""Reads the values of packed rows of one schema."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.clock import us_to_datetime
from evenstore.codec.feast_value import value_decoder
from evenstore.codec.packed_row import (
    FIXED_FORMATS,
    HAS_NULLS,
    INTEGER_FORMATS,
    LENGTH_U16,
    RowSchema,
    read_length,
)
from evenstore.dtypes import Dtype
from evenstore.errors import CorruptRowError

__all__ = ["PackedReader", "value_conversion"]

_US_PER_S = 1_000_000
# Rows of a view have few forms in practice, and at most this many are kept.
_MAX_FORMS = 4096
_NULL = (None,)


@dataclass(slots=True)  # Not frozen: its attributes are read for every row.
class _Form:
    """What rows with the same nulls and widths have in common.

    Attributes:
        unpack: Reads the values of fixed width that are asked for.
        size: Bytes of all values of fixed width.
        conversions: What makes values of some of them, by their places in what `unpack` gives.
        variable: What makes a value of each part of variable width that follows; None for a part
            that is not asked for.
        pick: Brings what was read, and one null behind it, into the order asked for; None where
            it is in order.
    """

    unpack: Callable[[bytes, int], tuple[Any, ...]]
    size: int
    conversions: tuple[tuple[int, Callable[[Any], Any]], ...]
    variable: tuple[Callable[[bytes], Any] | None, ...]
    pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None


class PackedReader:
    """Reads rows of one stored schema; thread-safe.

    Args:
        schema: The stored rows' features.
        features: Positions in it of the features asked for; None for one that it does not have,
            which reads as null. Without them all, in the schema's order.
    """

    def __init__(self, schema: RowSchema, features: Sequence[int | None] | None = None) -> None:
        self.schema = schema
        self._features = range(len(schema.features)) if features is None else tuple(features)
        self._n_width_bytes = (2 * len(schema.integers) + 7) // 8
        self._n_head_bytes = (len(schema.features) + 7) // 8 + self._n_width_bytes
        self._forms: dict[bytes, _Form] = {}

    def read(self, row: bytes, start: int, flags: int) -> tuple[Any, ...]:
        """Return the values asked for; None where null.

        Args:
            row: The row.
            start: Where its values start.
            flags: Its flags.

        Raises:
            CorruptRowError: The bytes are not of the schema.
        """
        has_nulls = flags & HAS_NULLS
        at = start + (self._n_head_bytes if has_nulls else self._n_width_bytes)
        head = row[start:at]
        try:
            form = self._forms.get(head) or self._keep_form(head, has_nulls)
            values = form.unpack(row, at)
            at += form.size
            if form.conversions:
                values = _converted(values, form.conversions)
            if form.variable:
                more, at = _variable_values(row, at, form.variable)
                values += more
        except (struct.error, IndexError, ValueError, OverflowError) as exc:
            msg = f"a stored row is not of its schema: {row[:24]!r}"
            raise CorruptRowError(msg) from exc
        if at != len(row):
            msg = f"a stored row has {len(row)} bytes, {at} of them its values"
            raise CorruptRowError(msg)
        return values if form.pick is None else form.pick(values + _NULL)

    def _keep_form(self, head: bytes, has_nulls: int) -> _Form:
        if len(head) < (self._n_head_bytes if has_nulls else self._n_width_bytes):
            # Part of a head with nulls could be the whole of another without.
            raise IndexError
        if len(self._forms) >= _MAX_FORMS:
            self._forms.clear()
        form = self._forms[head] = self._make_form(head, has_nulls)
        return form

    def _make_form(self, head: bytes, has_nulls: int) -> _Form:
        n_null_bytes = self._n_head_bytes - self._n_width_bytes if has_nulls else 0
        nulls = int.from_bytes(head[:n_null_bytes], "little")
        widths = int.from_bytes(head[n_null_bytes:], "little")
        wanted = frozenset(self._features)
        formats = ["<"]
        read: list[int] = []
        conversions = []
        for i, form in self._fixed_formats(widths):
            if nulls >> i & 1:
                continue
            if i not in wanted:
                formats.append(f"{struct.calcsize('<' + form)}x")
                continue
            if self.schema.features[i].dtype is Dtype.UNIX_TIMESTAMP:
                conversions.append((len(read), value_conversion(Dtype.UNIX_TIMESTAMP)))
            formats.append(form)
            read.append(i)
        variable = [i for i in self.schema.variable if not nulls >> i & 1]
        read += [i for i in variable if i in wanted]
        fixed = struct.Struct("".join(formats))
        return _Form(
            fixed.unpack_from,
            fixed.size,
            tuple(conversions),
            tuple(
                value_conversion(self.schema.features[i].dtype) if i in wanted else None
                for i in variable
            ),
            self._pick(read),
        )

    def _fixed_formats(self, widths: int) -> Iterator[tuple[int, str]]:
        """Yield the features of fixed width and how each is stored, in `struct`'s language."""
        for i in self.schema.fixed:
            form = FIXED_FORMATS.get(self.schema.features[i].dtype)
            if form is None:
                form = INTEGER_FORMATS[widths & 3]
                widths >>= 2
            yield i, form

    def _pick(self, read: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]] | None:
        if list(self._features) == list(read):
            return None
        # Behind all that was read stands the one null.
        places = {i: place for place, i in enumerate(read)}
        picked = [len(read) if i is None else places.get(i, len(read)) for i in self._features]
        if len(picked) > 1:
            return operator.itemgetter(*picked)
        return lambda values: tuple(values[place] for place in picked)


def _converted(
    values: tuple[Any, ...], conversions: tuple[tuple[int, Callable[[Any], Any]], ...]
) -> tuple[Any, ...]:
    made = list(values)
    for place, convert in conversions:
        made[place] = convert(made[place])
    return tuple(made)


def _variable_values(
    row: bytes, at: int, parts: tuple[Callable[[bytes], Any] | None, ...]
) -> tuple[tuple[Any, ...], int]:
    """Read the parts of variable width; return the values asked for and where they end."""
    values = []
    for convert in parts:
        length, start = row[at], at + 1
        if length >= LENGTH_U16:
            length, start = read_length(row, at)
        at = start + length
        if convert is not None:
            values.append(convert(row[start:at]))
    return tuple(values), at


def value_conversion(dtype: Dtype) -> Callable[[Any], Any]:
    """Return what makes a value of what is stored of it: seconds, or bytes."""
    if dtype is Dtype.UNIX_TIMESTAMP:
        return lambda seconds: us_to_datetime(seconds * _US_PER_S)
    if dtype is Dtype.STRING:
        return bytes.decode
    if dtype is Dtype.BYTES:
        return bytes
    return value_decoder(dtype)
