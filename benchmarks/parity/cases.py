"""The cases of the parity benchmark: what is compared, and what is demanded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.online.cases import FEAST_LAYOUT, PACKED, OnlineCase

__all__ = ["CASES", "ParityCase", "ParityMode"]

ParityMode = Literal["full", "live", "golden"]


@dataclass(frozen=True, slots=True)
class ParityCase:
    """One comparison.

    Attributes:
        name: What `--cases` calls it.
        summary: One line for `--help` and the report.
        mode: Of `evenstore-parity`.
        n_entities: Entities that are stored.
        demand: What is asked for, for the report.
        n_entity_rows: Entity rows that are compared, of each instant; all entities in full mode.
        n_views: Views with 10 features each.
        rows_per_entity: Rows of the source.
        loads_with: The contender of the online benchmark that stores them: it has the layout.
    """

    name: str
    summary: str
    mode: ParityMode
    n_entities: int
    demand: str
    n_entity_rows: int | None = None
    n_views: int = 1
    rows_per_entity: int = 1
    loads_with: str = PACKED

    def rows(self, *, scale: float) -> OnlineCase:
        """Return the shape of the data set."""
        return OnlineCase(
            name=f"parity-{self.n_views}x{self.rows_per_entity}",
            summary="rows to compare",
            n_entities=max(100, round(self.n_entities * scale)),
            contenders=(self.loads_with,),
            n_views=self.n_views,
            rows_per_entity=self.rows_per_entity,
        )

    def scaled_rows(self, *, scale: float) -> int:
        """Return how many entity rows are asked for at a scale."""
        return max(20, round((self.n_entity_rows or self.n_entities) * min(1.0, scale)))

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return asdict(self)


CASES: dict[str, ParityCase] = {
    case.name: case
    for case in (
        ParityCase(
            "full",
            "every one of 1 M entities x 10 features, packed layout",
            "full",
            1_000_000,
            "over 100,000 entities/s, peak memory under 1 GB",
        ),
        ParityCase(
            "full-feast",
            "the same in the layout of stock Feast",
            "full",
            1_000_000,
            "none",
            loads_with=FEAST_LAYOUT,
        ),
        ParityCase(
            "live",
            "10,000 entity rows x 10 features through a gateway",
            "live",
            100_000,
            "at least 80 % of the gateway's own batch throughput",
            n_entity_rows=10_000,
        ),
        ParityCase(
            "golden",
            "1,000 entity rows x 3 instants x 50 features, everything included",
            "golden",
            20_000,
            "under 60 s",
            n_entity_rows=1_000,
            n_views=5,
            rows_per_entity=5,
        ),
    )
}
