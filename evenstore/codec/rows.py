"""Rows of one view as bytes, column by column: what an encoder makes and a writer sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["EncodedRows"]


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows of one view as bytes, equally long columns.

    Attributes:
        keys: Redis keys.
        timestamps: `_ts:` values.
        orders: `_order:` values.
        features: One column per feature of the view, in declaration order.
    """

    keys: Sequence[bytes]
    timestamps: Sequence[bytes]
    orders: Sequence[bytes]
    features: Sequence[Sequence[bytes]]
