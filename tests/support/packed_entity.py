"""Entities of the packed layout, put together by hand."""

from __future__ import annotations

from collections.abc import Mapping

from evenstore.codec.packed_row import FORMAT_VERSION, encode_length

__all__ = ["join_slots"]


def join_slots(slots: Mapping[bytes, bytes]) -> bytes:
    """Make an entity's string of its rows by view: the inverse of `split_slots`."""
    parts = [view + encode_length(len(row)) + row for view, row in slots.items()]
    return b"".join([bytes([FORMAT_VERSION]), *parts])
