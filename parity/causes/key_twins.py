"""The same entity key in other encodings: of another integer type, as text, in other Unicode."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from evenstore.client.values import PlainValue
from evenstore.codec.entity_key import check_key_value
from evenstore.dtypes import Dtype
from evenstore.errors import EntityRowsError
from evenstore.schema.model import FeatureViewSchema, Field

__all__ = ["KeyTwin", "list_key_twins", "list_text_twins"]

KeyTwin = tuple[FeatureViewSchema, tuple[PlainValue | None, ...], str]
"""The view with the twin's key types, the key, and what is other about it."""

_OTHER_TYPES = {
    Dtype.INT64: (Dtype.INT32, Dtype.STRING),
    Dtype.INT32: (Dtype.INT64, Dtype.STRING),
    Dtype.STRING: (Dtype.INT64, Dtype.INT32, Dtype.BYTES),
    Dtype.BYTES: (Dtype.STRING,),
    Dtype.UNIX_TIMESTAMP: (Dtype.INT64,),
}


def list_key_twins(view: FeatureViewSchema, key: Sequence[PlainValue | None]) -> Iterator[KeyTwin]:
    """List the keys that a writer with other types, or other text, would have made of this one.

    One part differs in each.
    """
    for position, field in enumerate(view.join_keys):
        for other, value, what in _part_twins(field, key[position]):
            keys = [*view.join_keys]
            keys[position] = other
            values = [*key]
            values[position] = value
            yield replace(view, join_keys=tuple(keys)), tuple(values), f"{field.name} {what}"


def list_text_twins(
    view: FeatureViewSchema, key: Sequence[PlainValue | None]
) -> Iterator[tuple[PlainValue | None, ...]]:
    """List the keys of the same types whose texts are written in another way."""
    for twin, values, _ in list_key_twins(view, key):
        if twin.join_keys == view.join_keys:
            yield values


def _part_twins(field: Field, value: PlainValue | None) -> Iterator[tuple[Field, PlainValue, str]]:
    if isinstance(value, str):
        for form in ("NFC", "NFD", "NFKC"):
            if unicodedata.normalize(form, value) != value:
                yield field, unicodedata.normalize(form, value), f"in Unicode form {form}"
        if value.strip() != value:
            yield field, value.strip(), "without the space around it"
    for dtype in _OTHER_TYPES.get(field.dtype, ()):
        other = Field(field.name, dtype)
        converted = _convert(value, dtype)
        try:
            if converted is not None:
                yield other, check_key_value(converted, other, row_idx=0), f"as {dtype.value}"
        except EntityRowsError:
            continue


def _convert(value: PlainValue | None, dtype: Dtype) -> PlainValue | None:
    try:
        if dtype is Dtype.STRING:
            return value.decode() if isinstance(value, bytes) else str(value)
        if dtype is Dtype.BYTES:
            return value.encode() if isinstance(value, str) else None
        return int(value) if isinstance(value, str | int) else None
    except ValueError:
        return None
