"""The list of contenders, and how one is loaded: in the measured process only, with its imports."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from benchmarks.answers import Answer
from benchmarks.data import Dataset
from benchmarks.names import check_names

__all__ = [
    "BARE_QUERY",
    "CONTENDERS",
    "EVENSTORE",
    "EVENSTORE_INDEX",
    "MAPPED",
    "STOCK",
    "Contender",
    "Join",
    "JoinModule",
    "find_contenders",
]

Join = Callable[[], Answer]
"""From the entity rows at hand to the answer; this call is what is timed."""


class JoinModule(Protocol):
    """What the module of a contender offers."""

    def prepare(self, dataset: Dataset) -> None:
        """Make what lies on disk before the measured process starts: a Feast repo, an index."""
        ...

    def open_join(self, dataset: Dataset) -> Join:
        """Open everything the join needs, entity rows included, and return it."""
        ...


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of getting the answer.

    Attributes:
        name: What `--contenders` calls it.
        summary: One line for `--help` and the report.
        module: Where its code is.
        is_hand_written: Whether it counts for the best hand-written formulation on the same files;
            such a one has nothing to prepare.
        max_rows: Most rows of a view it is written for.
    """

    name: str
    summary: str
    module: str
    is_hand_written: bool = False
    max_rows: int | None = None

    def load(self) -> JoinModule:
        """Import its code."""
        return cast("JoinModule", importlib.import_module(self.module))


STOCK = "feast-duckdb"
EVENSTORE = "evenstore"
EVENSTORE_INDEX = "evenstore-index"
MAPPED = "mapped"
BARE_QUERY = "duckdb-range"
_IN_MEMORY_ROWS = 20_000_000

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender(STOCK, "stock Feast's DuckDB store", "benchmarks.contenders.stock_store"),
        Contender(EVENSTORE, "our store, files as they come", "benchmarks.contenders.our_store"),
        Contender(
            EVENSTORE_INDEX, "our store with a side index", "benchmarks.contenders.our_index"
        ),
        Contender(
            BARE_QUERY,
            "DuckDB: range join, arg_max of the row number, late fetch",
            "benchmarks.contenders.duckdb_range",
            is_hand_written=True,
        ),
        Contender(
            "duckdb-asof",
            "DuckDB: narrow de-duplication, ASOF join, late fetch",
            "benchmarks.contenders.duckdb_asof",
            is_hand_written=True,
        ),
        Contender(
            "polars",
            "polars join_asof, late fetch",
            "benchmarks.contenders.polars_asof",
            is_hand_written=True,
            max_rows=_IN_MEMORY_ROWS,
        ),
        Contender(
            "numpy",
            "numpy: feature rows searched in the sorted entity rows",
            "benchmarks.contenders.numpy_search",
            is_hand_written=True,
            max_rows=_IN_MEMORY_ROWS,
        ),
        Contender(
            MAPPED,
            "the floor: sorted Arrow IPC, memory-mapped, numpy searchsorted",
            "benchmarks.contenders.mapped",
            max_rows=_IN_MEMORY_ROWS,
        ),
    )
}


def find_contenders(names: Iterable[str]) -> tuple[Contender, ...]:
    """Look contenders up by name; a dotted name is a module with `prepare` and `open_join`.

    Raises:
        ConfigurationError: There is no such contender.
    """
    return tuple(
        CONTENDERS.get(name) or Contender(name, "a module of its own", name)
        for name in check_names(names, CONTENDERS, "contender", or_module=True)
    )
