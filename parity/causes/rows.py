"""Rows of both stores and how far one is loaded into the other, as plain data.

Where they were read from does not matter to the rules: evenstore's own stores, or any other pair of
stores through Feast. What a store does not tell is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evenstore.client.values import PlainValue
from evenstore.clock import format_us
from evenstore.semantics import Origin
from parity.causes.finding import StoredOrder

__all__ = ["LoadState", "SourceRow", "StoredRow", "format_instant"]

_EARLIEST_SHOWN_US, _LATEST_SHOWN_US = -62_135_596_800_000_000, 253_402_300_799_999_999


def format_instant(instant_us: int) -> str:
    """Render any instant: as RFC 3339 in the years 1 to 9999, else as its microseconds."""
    # Stored bytes may claim any instant.
    if not _EARLIEST_SHOWN_US <= instant_us <= _LATEST_SHOWN_US:
        return f"{instant_us} us"
    return format_us(instant_us)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the offline store.

    Attributes:
        order: Event and created timestamp; the sequence is None.
        values: By feature, in their declared types.
        source_file: The file that it is in; None where it is not known.
        was_read: Whether the last run had read that file as it is now; None where runs keep no
            record of files.
        arrived_us: At the latest when the row could be read, such as when its file was written;
            None where it is not known.
    """

    order: StoredOrder
    values: Mapping[str, PlainValue | None]
    source_file: str | None = None
    was_read: bool | None = None
    arrived_us: int | None = None


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What the online store itself holds of an entity in one view.

    Attributes:
        order: Its place in the total order, as far as the store keeps it.
        values: By feature, before any ttl; a feature that the row does not have is missing.
        origin: Who wrote it; UNKNOWN where the store does not say.
        is_tombstone: Whether it says that the entity was deleted.
        retyped: The features that it holds under another type than the declared one, and which.
        schema: What names the schema that it was written with; None where the store does not say.
    """

    order: StoredOrder
    values: Mapping[str, PlainValue | None]
    origin: Origin = Origin.UNKNOWN
    is_tombstone: bool = False
    retyped: Mapping[str, str] = field(default_factory=dict)
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class LoadState:
    """How far a view is loaded into the online store.

    Attributes:
        intervals: Event timestamps that runs have covered, both ends inclusive; a start of None is
            from the beginning.
        created_end_us: The greatest created timestamp that a run has read.
        loaded_at_us: When the last run listed its source; None where it is not known.
        keeps_order: Whether the store compares created timestamps and ingest sequences, so that a
            correction at the same event timestamp replaces what it corrects. Stock Feast's do not.
        is_schema_current: Whether the last run knew the view's present definition.
        physical_ttl_us: How long after a write the store forgets a key by itself; None for never.
    """

    intervals: tuple[tuple[int | None, int], ...] = ()
    created_end_us: int | None = None
    loaded_at_us: int | None = None
    keeps_order: bool = True
    is_schema_current: bool | None = None
    physical_ttl_us: int | None = None

    @property
    def watermark_us(self) -> int | None:
        """The latest event timestamp that a run has covered; None before the first run."""
        return max((end for _, end in self.intervals), default=None)

    def covers(self, event_us: int) -> bool:
        """Tell whether a run was asked for an event timestamp."""
        return any(
            (start is None or start <= event_us) and event_us <= end
            for start, end in self.intervals
        )

    def has_seen(self, row: SourceRow) -> bool | None:
        """Tell whether the last run could read a row; None where nothing tells."""
        if row.was_read is not None:
            return row.was_read
        created_us = row.order.created_us
        if created_us is not None and self.loaded_at_us is not None:
            return created_us <= self.loaded_at_us
        if row.arrived_us is not None and self.loaded_at_us is not None:
            # A file that was written since may have held the row before.
            return True if row.arrived_us <= self.loaded_at_us else None
        return None
