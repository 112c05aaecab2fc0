"""Why a cell differs: the one cause, and the evidence for it. Plain data; imports no store.

`parity.compare.Outcome` says what differs; `Cause` says why.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from evenstore.client.values import PlainValue

__all__ = ["Cause", "Evidence", "Finding", "StoredOrder"]


class Cause(enum.Enum):
    """Why the online cell is not the offline cell.

    Every differing cell has exactly one: the first in this order whose rule holds, see
    docs/reference/parity-causes.md. UNKNOWN is what no rule explains.
    """

    VERSION_PIN = "version-pin"
    ON_DEMAND_DIVERGENCE = "on-demand-divergence"
    KEY_ENCODING = "key-encoding"
    SCHEMA_DRIFT = "schema-drift"
    NEW_FEATURE_NOT_BACKFILLED = "new-feature-not-backfilled"
    TTL_BOUNDARY = "ttl-boundary"
    TIMEZONE = "timezone"
    AMBIGUOUS_TIE = "ambiguous-tie"
    NAN_OR_NULL = "nan-or-null"
    SDK_CONVERSION = "sdk-conversion"
    DTYPE_PRECISION = "dtype-precision"
    PUSHED_ONLINE_ONLY = "pushed-online-only"
    DELETED_ROW = "deleted-row"
    LATE_ARRIVAL = "late-arrival"
    KEY_EXPIRED = "key-expired"
    NOT_MATERIALIZED = "not-materialized"
    DROPPED_CORRECTION = "dropped-correction"
    WRITE_ORDER = "write-order"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """A row's place in the total order, see `evenstore.semantics.RowOrder`.

    Attributes:
        event_us: Event timestamp, microseconds since 1970 in UTC.
        created_us: Created timestamp; None where the row has none or the store keeps none.
        sequence_us: Ingest sequence; None where the store keeps none, as in stock Feast's.
    """

    event_us: int
    created_us: int | None = None
    sequence_us: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about one differing cell, wherever it came from.

    Attributes:
        offline_value: None for null, whatever the reason.
        online_value: None for null, whatever the reason.
        offline_order: Of the row that wins the point-in-time join; None where none does.
        online_order: Of the stored row, read from the store itself; None where there is none or it
            could not be read.
        source_file: The file that holds the offline winner; None where it is not known.
        facts: What decided, by short names (`watermark_us`, `ttl_us`, ...); no nulls.
    """

    offline_value: PlainValue | None = None
    online_value: PlainValue | None = None
    offline_order: StoredOrder | None = None
    online_order: StoredOrder | None = None
    source_file: str | None = None
    facts: Mapping[str, PlainValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """The cause of one differing cell.

    Attributes:
        cause: The first rule that holds.
        because: One sentence for people.
        evidence: What the rule saw.
        command: A command line that reproduces this one cell; empty where there is none.
    """

    cause: Cause
    because: str
    evidence: Evidence
    command: str = ""
