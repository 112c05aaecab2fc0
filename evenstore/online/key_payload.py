"""The commands of a lookup as the bytes that go over the wire, for the commonest keys at once."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.dtypes import Dtype

__all__ = ["KeyPayload", "open_key_payload"]

KeyPayload = Callable[[Sequence[Any]], bytes | None]
"""Takes the values of the only join key; None where one of them needs a closer look."""

_LENGTH = struct.Struct("<I")
_FORMATS = {Dtype.INT64: "<q", Dtype.INT32: "<i"}


def open_key_payload(encoder: EntityKeyEncoder, before: bytes, after: bytes) -> KeyPayload | None:
    """Return what encodes commands on keys of one integer or text; None for other keys.

    Args:
        encoder: Makes the keys.
        before: What of a command is before each key.
        after: What of a command is behind each key.
    """
    if len(encoder.join_keys) != 1:
        return None
    (part,) = encoder.parts
    prefix = encoder.prefix + part.header
    if part.dtype in _FORMATS:
        return _integer_payload(_FORMATS[part.dtype], prefix, encoder.suffix, before, after)
    if part.dtype is Dtype.STRING:
        return _text_payload(prefix, encoder.suffix, before, after, has_length=part.has_length)
    return None


def _integer_payload(
    form: str, prefix: bytes, suffix: bytes, before: bytes, after: bytes
) -> KeyPayload:
    integer = struct.Struct(form)
    pack = integer.pack
    start = before + b"$%d\r\n" % (len(prefix) + integer.size + len(suffix)) + prefix
    end = suffix + b"\r\n" + after
    between = end + start

    def encode(values: Sequence[Any]) -> bytes | None:
        # True is an int, but no key.
        if bool in map(type, values):
            return None
        try:
            return start + between.join(map(pack, values)) + end
        except struct.error:
            return None

    return encode


def _text_payload(
    prefix: bytes, suffix: bytes, before: bytes, after: bytes, *, has_length: bool
) -> KeyPayload:
    n_fixed = len(prefix) + len(suffix) + (_LENGTH.size if has_length else 0)
    end = suffix + b"\r\n" + after

    def encode(values: Sequence[Any]) -> bytes | None:
        if any(type(value) is not str for value in values):
            return None
        pieces: list[bytes] = []
        try:
            for value in values:
                text = value.encode()
                length = _LENGTH.pack(len(text)) if has_length else b""
                head = b"%b$%d\r\n%b%b" % (before, n_fixed + len(text), prefix, length)
                pieces += (head, text, end)
        except UnicodeEncodeError:  # A lone surrogate.
            return None
        return b"".join(pieces)

    return encode
