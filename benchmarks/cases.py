"""The cases of the offline benchmark: how much data of which shape, and what is demanded of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CASES",
    "DAY_US",
    "DEFAULT_CASES",
    "INDEX_TARGETS",
    "SPAN_US",
    "TARGETS",
    "Case",
    "KeyKind",
    "Target",
]

DAY_US = 86_400_000_000
SPAN_US = 30 * DAY_US
"""Feature rows and entity rows lie at random in 30 days."""

KeyKind = Literal["int", "string", "composite"]


@dataclass(frozen=True, slots=True)
class Case:
    """The shape of one data set and of the join over it.

    Attributes:
        name: What `--cases` calls it.
        summary: One line for `--help` and the report.
        n_rows: Feature rows of each view.
        n_entities: Entities that have feature rows.
        n_entity_rows: Entity rows; 3 % of them are of unknown entities.
        n_views: Views with 10 features each.
        n_files: Files of each view; one is a plain file, more are a folder of time slices.
        ttl_days: The ttl of each view, None for none.
        key: Type of the entity key.
        memory_limit: The DuckDB memory limit of the contenders that have such a setting.
        is_streamed: Entity rows come as a path, the answer goes to a Parquet file.
        n_calls: Timed calls in a process; the measurement is their median.
    """

    name: str
    summary: str
    n_rows: int
    n_entities: int
    n_entity_rows: int
    n_views: int = 1
    n_files: int = 1
    ttl_days: int | None = 10
    key: KeyKind = "int"
    memory_limit: str | None = None
    is_streamed: bool = False
    n_calls: int = 1

    @property
    def ttl_us(self) -> int | None:
        """The ttl in microseconds."""
        return None if self.ttl_days is None else self.ttl_days * DAY_US

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views."""
        return tuple(f"view_{number}" for number in range(self.n_views))

    def scaled(self, scale: float) -> Case:
        """Shrink (or grow) every count but that of views and calls.

        Rows per entity and entity rows per entity stay as they are.
        """
        return self._resized(lambda count: max(1, round(count * scale)))

    def warm_up(self) -> Case:
        """Return the same shape with next to no data, for the first call of a process."""
        return dataclasses.replace(
            self, n_rows=20, n_entities=4, n_entity_rows=8, n_files=1, n_calls=1
        )

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return dataclasses.asdict(self)

    def _resized(self, resize: Callable[[int], int]) -> Case:
        n_files = 1 if self.n_files == 1 else max(2, resize(self.n_files))
        return dataclasses.replace(
            self,
            n_rows=max(n_files, resize(self.n_rows)),
            n_entities=resize(self.n_entities),
            n_entity_rows=resize(self.n_entity_rows),
            n_files=n_files,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What is demanded of a contender in a case; None where nothing is.

    Attributes:
        min_speedup: Least number of times faster than stock Feast's DuckDB store.
        max_memory_ratio: Most peak memory in units of stock's.
        max_reference_ratio: Most time in units of the best hand-written formulation on the same
            files, or of the mapped floor for a contender with a side index.
        max_overhead_ms: Most milliseconds over the best hand-written formulation.
        max_peak_gb: Most peak memory, absolute.
    """

    min_speedup: float | None = None
    max_memory_ratio: float | None = None
    max_reference_ratio: float | None = None
    max_overhead_ms: float | None = None
    max_peak_gb: float | None = None


_S = Case("S", "1 M rows, 100 k entities, 100 k entity rows", 1_000_000, 100_000, 100_000)
_LIMIT = "2GB"


def _like_s(name: str, summary: str, **changes: Any) -> Case:
    return dataclasses.replace(_S, name=name, summary=f"S with {summary}", **changes)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        _S,
        Case("L", "10 M rows, 1 M entities, 1 M entity rows", 10_000_000, 1_000_000, 1_000_000),
        Case("W", "3 views of 5 M, 500 k", 5_000_000, 500_000, 500_000, n_views=3),
        Case("H", "1 M rows of 1,000 entities, 100 k", 1_000_000, 1_000, 100_000),
        Case("H0", "H without ttl", 1_000_000, 1_000, 100_000, ttl_days=None),
        _like_s("S-string", "a string key", key="string"),
        _like_s("S-composite", "a key of int and string", key="composite"),
        _like_s("S-files", "1,000 files", n_files=1_000),
        Case("V20", "20 views of 100 k, 100 k entity rows", 100_000, 10_000, 100_000, n_views=20),
        Case("P", "planning: 10 k rows, 1,000 entity rows", 10_000, 1_000, 1_000, n_calls=20),
        Case(
            "BIG10",
            "10 M rows in 10 files, 500 k entity rows, 2 GB limit, to Parquet",
            10_000_000,
            1_000_000,
            500_000,
            n_files=10,
            memory_limit=_LIMIT,
            is_streamed=True,
        ),
        Case(
            "BIG100",
            "100 M rows in 100 files, 5 M entity rows, 2 GB limit, to Parquet",
            100_000_000,
            10_000_000,
            5_000_000,
            n_files=100,
            memory_limit=_LIMIT,
            is_streamed=True,
        ),
    )
}

DEFAULT_CASES = tuple(name for name, case in CASES.items() if not case.is_streamed)
"""What runs unless cases are named: all that fit a laptop."""

_PLAIN = Target(min_speedup=1.6, max_memory_ratio=0.8, max_reference_ratio=1.2)

TARGETS: dict[str, Target] = {
    **dict.fromkeys(("S", "L", "W", "S-string", "S-composite", "S-files", "V20"), _PLAIN),
    "H": Target(min_speedup=30, max_memory_ratio=1 / 7, max_reference_ratio=1.2),
    "H0": Target(min_speedup=50, max_memory_ratio=1 / 12, max_reference_ratio=1.2),
    "P": Target(max_overhead_ms=50),
    "BIG10": Target(max_peak_gb=3),
    "BIG100": Target(max_peak_gb=3),
}
"""Of evenstore on the files as they come."""

INDEX_TARGETS: dict[str, Target] = dict.fromkeys(
    ("S", "L", "W"), Target(min_speedup=4, max_reference_ratio=1.3)
)
"""Of evenstore with a side index."""
