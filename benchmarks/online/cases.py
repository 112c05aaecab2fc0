"""The cases of the online benchmark: data of which shape, which steps, what is demanded."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CASES",
    "FEAST",
    "FEAST_BATCHED",
    "FEAST_LAYOUT",
    "PACKED",
    "TARGETS",
    "OnlineCase",
    "OnlineTarget",
    "RowKind",
    "Step",
]

Step = Literal["load", "again", "changed", "incremental"]
"""What is materialized, in the order of the steps of a case, each in a process of its own.

`load`: everything, into an empty Redis. `again`: the same call, nothing is newer. `changed`: the
same call after a file came with newer rows of 1 % of the entities. `incremental`:
`materialize_incremental` after another such file, whose rows are later than the last end.
"""

RowKind = Literal["numeric", "mixed"]
"""`numeric`: int64 key; 4 Int64, 4 Float64, 2 Float32. `mixed`: UUID text as key; 2 Int64,
3 Float64, 1 Float32, 3 String, 1 Array(Float64) of eight.
"""

FEAST = "feast"
FEAST_BATCHED = "feast-batched"
PACKED = "evenstore"
FEAST_LAYOUT = "evenstore-feast"

_EVERYBODY = (FEAST, FEAST_BATCHED, PACKED, FEAST_LAYOUT)
_WITHOUT_DEFAULTS = (FEAST_BATCHED, PACKED, FEAST_LAYOUT)
_WARM_UP_ENTITIES = 20


@dataclass(frozen=True, slots=True)
class OnlineCase:
    """The shape of one data set and what is done with it.

    Attributes:
        name: What `--cases` calls it.
        summary: One line for `--help` and the report.
        n_entities: Entities, each in every view.
        contenders: Who takes part.
        rows_per_entity: Feature rows of an entity in each view.
        n_views: Views with 10 features each, on one entity.
        kind: Types of key and features.
        steps: What is materialized.
        has_lookups: Whether `get_online_features` is timed after the steps.
    """

    name: str
    summary: str
    n_entities: int
    contenders: tuple[str, ...] = _EVERYBODY
    rows_per_entity: int = 1
    n_views: int = 1
    kind: RowKind = "numeric"
    steps: tuple[Step, ...] = ("load",)
    has_lookups: bool = False

    @property
    def n_rows(self) -> int:
        """Feature rows of each view before any step."""
        return self.n_entities * self.rows_per_entity

    @property
    def n_changed(self) -> int:
        """Entities in a file of changes."""
        return max(1, self.n_entities // 100)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views."""
        return tuple(f"view_{number}" for number in range(self.n_views))

    @property
    def key_column(self) -> str:
        """The join key."""
        return "driver_id" if self.kind == "numeric" else "driver_uuid"

    def resized(self, *, scale: float, max_entities: int | None = None) -> OnlineCase:
        """Shrink (or grow) the number of entities, then cut it to what a contender takes."""
        n_entities = max(1, round(self.n_entities * scale))
        if max_entities is not None:
            n_entities = min(n_entities, max_entities)
        return dataclasses.replace(self, n_entities=n_entities)

    def warm_up(self) -> OnlineCase:
        """Return the same shape with next to no data, for the first call of a process."""
        return dataclasses.replace(self, n_entities=_WARM_UP_ENTITIES, steps=("load",))

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> OnlineCase:
        """Read what `to_document` wrote."""
        tuples = {name: tuple(document[name]) for name in ("contenders", "steps")}
        return cls(**(document | tuples))


@dataclass(frozen=True, slots=True)
class OnlineTarget:
    """What is demanded of a contender in one step of a case; None where nothing is.

    Attributes:
        min_speedup: Least rows/s in units of the faster stock variant.
        max_over_imports_mb: Most peak memory over that of the loaded libraries.
        max_bytes_ratio: Most bytes of Redis per entity in units of stock's.
        max_peak_of: A case, and most peak memory in units of that in the same step of that case.
        min_lookup_speedups: Per shape of a lookup, least times faster than stock (median call).
    """

    min_speedup: float | None = None
    max_over_imports_mb: float | None = None
    max_bytes_ratio: float | None = None
    max_peak_of: tuple[str, float] | None = None
    min_lookup_speedups: tuple[tuple[str, float], ...] = ()


CASES: dict[str, OnlineCase] = {
    case.name: case
    for case in (
        OnlineCase(
            "M1",
            "1 M entities x 10 numeric features; again; 1 % changed",
            1_000_000,
            steps=("load", "again", "changed", "incremental"),
        ),
        OnlineCase(
            "MS", "1 M entities, UUID keys; 6 numeric, 3 text, 1 list", 1_000_000, kind="mixed"
        ),
        OnlineCase(
            "MV5",
            "5 views of 10 on one entity, 100 k entities",
            100_000,
            _WITHOUT_DEFAULTS,
            n_views=5,
        ),
        OnlineCase("MH", "1 M rows of 100 k entities", 100_000, rows_per_entity=10),
        OnlineCase("M10", "10 M entities x 10, for the memory", 10_000_000, (PACKED,)),
        OnlineCase(
            "OG",
            "get_online_features of 10 features, 10 k entities stored",
            10_000,
            _WITHOUT_DEFAULTS,
            has_lookups=True,
        ),
    )
}

_LOOKUPS = (("1x10", 1.3), ("100x10", 3.0))

TARGETS: dict[tuple[str, Step, str], OnlineTarget] = {
    ("M1", "load", PACKED): OnlineTarget(20, max_over_imports_mb=500, max_bytes_ratio=0.65),
    ("M1", "load", FEAST_LAYOUT): OnlineTarget(8),
    ("M1", "again", PACKED): OnlineTarget(20),
    ("M1", "changed", PACKED): OnlineTarget(20),
    ("MS", "load", PACKED): OnlineTarget(12),
    ("MV5", "load", PACKED): OnlineTarget(max_bytes_ratio=0.65),
    ("M10", "load", PACKED): OnlineTarget(max_peak_of=("M1", 1.2)),
    ("OG", "load", PACKED): OnlineTarget(min_lookup_speedups=_LOOKUPS),
}
"""By case, step and contender."""
