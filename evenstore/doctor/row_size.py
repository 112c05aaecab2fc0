"""How many bytes of Redis an entity's row will take, estimated from declared types alone.

Both layouts keep all views of an entity under one key, whose overhead only the first of them pays.
Compared with MEMORY USAGE by tests/evenstore/doctor/test_forecast.py.
"""

from __future__ import annotations

from evenstore.doctor.redis_facts import HashLimits
from evenstore.dtypes import Dtype
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["LOOSE_FACTOR", "estimate_row_bytes"]

LOOSE_FACTOR = 1.6
"""A hash above the limits of the compact form takes about so many times the memory."""

_DEFAULT_LIMITS = HashLimits(value_bytes=64, entries=512)
# Dictionary entry, object, the allocator's rounding, and a hash's own header.
_KEY_OVERHEAD_BYTES = 80
_FIELD_OVERHEAD_BYTES = 5
_FIELD_NAME_BYTES = 4
_TIMESTAMP_BYTES = 14
_ORDER_BYTES = 38
_PACKED_HEAD_BYTES = 32
_KEY_VALUE_BYTES = 8
_TEXT_KEY_BYTES = 24
_TEXT_BYTES = 24
_ELEMENTS = 16
# As Feast's `Value`, and packed: integers are rarely large.
_MESSAGE_BYTES = {
    Dtype.INT32: 5,
    Dtype.INT64: 7,
    Dtype.FLOAT32: 5,
    Dtype.FLOAT64: 9,
    Dtype.BOOL: 2,
    Dtype.UNIX_TIMESTAMP: 7,
}
_PACKED_BYTES = {
    Dtype.INT32: 3,
    Dtype.INT64: 5,
    Dtype.FLOAT32: 4,
    Dtype.FLOAT64: 8,
    Dtype.BOOL: 1,
    Dtype.UNIX_TIMESTAMP: 8,
}


def estimate_row_bytes(
    view: FeatureViewSchema,
    project: str,
    layout: Layout,
    *,
    limits: HashLimits | None = None,
    shares_key: bool = False,
) -> int:
    """Estimate what one entity's row takes.

    Texts are taken to have 24 bytes and lists 16 elements.

    Args:
        view: The view.
        project: The Feast project, which is part of every key.
        layout: Of the rows.
        limits: Of Redis' compact hashes, None for its defaults.
        shares_key: Whether another view has the entity's key already.
    """
    key = 0 if shares_key else _key_bytes(view, project, layout)
    if layout is Layout.PACKED:
        return key + _PACKED_HEAD_BYTES + sum(_packed_bytes(f.dtype) for f in view.features)
    values = [_message_bytes(feature.dtype) for feature in view.features]
    name = len(view.name.encode())
    order_field = len(b"_order:") + name
    payload = len(b"_ts:") + name + _TIMESTAMP_BYTES + order_field + _ORDER_BYTES
    payload += sum(_FIELD_NAME_BYTES + value for value in values)
    n_fields = len(values) + 2
    allowed = limits or _DEFAULT_LIMITS
    longest = max([_ORDER_BYTES, order_field, *values])
    is_compact = longest <= allowed.value_bytes and n_fields <= allowed.entries
    stored = payload + n_fields * _FIELD_OVERHEAD_BYTES
    return key + round(stored * (1.0 if is_compact else LOOSE_FACTOR))


def _key_bytes(view: FeatureViewSchema, project: str, layout: Layout) -> int:
    values = sum(
        _TEXT_KEY_BYTES if key.dtype in {Dtype.STRING, Dtype.BYTES} else _KEY_VALUE_BYTES
        for key in view.join_keys
    )
    names = sum(16 + len(key.name.encode()) for key in view.join_keys)
    own = values + len(project.encode()) + (0 if layout is Layout.PACKED else names)
    return _KEY_OVERHEAD_BYTES + 4 + own


def _message_bytes(dtype: Dtype) -> int:
    if dtype.is_list or dtype.is_set:
        return 4 + _ELEMENTS * _message_bytes(dtype.element)
    return _MESSAGE_BYTES.get(dtype, _TEXT_BYTES + 2)


def _packed_bytes(dtype: Dtype) -> int:
    return _PACKED_BYTES.get(dtype) or 1 + _message_bytes(dtype)
