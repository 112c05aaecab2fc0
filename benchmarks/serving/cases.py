"""The cases of the serving benchmark: requests of which shape, on which rows, what is demanded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.online.cases import OnlineCase, RowKind

__all__ = [
    "CASES",
    "EVENSTORE",
    "FEATURES_PER_VIEW",
    "STOCK",
    "TARGETS",
    "KeyDraw",
    "Layout",
    "ServingCase",
    "ServingTarget",
]

Layout = Literal["packed", "feast"]
"""How evenstore's rows lie in Redis; stock's are always in its own layout."""

KeyDraw = Literal["uniform", "zipf"]
"""`uniform`: all entities alike. `zipf`: most requests are of few entities, 10 % of the keys are
drawn from all, and 5 % are unknown.
"""

STOCK = "feast"
EVENSTORE = "evenstore"
FEATURES_PER_VIEW = 10
_ENTITIES = 200_000


@dataclass(frozen=True, slots=True)
class ServingCase:
    """The shape of the requests of one case.

    Attributes:
        name: What `--cases` calls it.
        summary: One line for `--help` and the report.
        n_entity_rows: Entity rows of a request.
        n_views: Feature views of a request, all 10 features of each.
        kind: Types of key and features.
        draw: How entities are drawn.
        has_open_loop: Whether latency at fixed rates is measured too.
    """

    name: str
    summary: str
    n_entity_rows: int
    n_views: int = 1
    kind: RowKind = "numeric"
    draw: KeyDraw = "uniform"
    has_open_loop: bool = False

    @property
    def n_features(self) -> int:
        """Features of a request."""
        return self.n_views * FEATURES_PER_VIEW

    def rows(self, *, scale: float) -> OnlineCase:
        """Return the shape of the data set; cases with as many views of a kind share it."""
        return OnlineCase(
            name=f"serving-{self.kind}-{self.n_views}",
            summary="rows to look up",
            n_entities=max(100, round(_ENTITIES * scale)),
            n_views=self.n_views,
            kind=self.kind,
        )

    def to_document(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ServingTarget:
    """What is demanded of the gateway in a case with a layout.

    Attributes:
        min_speedup: Least requests/s in units of stock's.
    """

    min_speedup: float


CASES: dict[str, ServingCase] = {
    case.name: case
    for case in (
        ServingCase("1x10", "1 entity x 10 features", 1, has_open_loop=True),
        ServingCase("10x10", "10 entities x 10 features", 10),
        ServingCase("100x10", "100 entities x 10 features", 100),
        ServingCase("1x50", "1 entity x 50 features of 5 views", 1, 5),
        ServingCase("100x50", "100 entities x 50 features of 5 views", 100, 5),
        ServingCase("1x200", "1 entity x 200 features of 20 views", 1, 20),
        ServingCase("500x100", "500 entities x 100 features of 10 views", 500, 10),
        ServingCase(
            "mixed-1x20",
            "1 entity x 20: text keys; numbers, text, lists; Zipf, unknown",
            1,
            2,
            "mixed",
            "zipf",
        ),
        ServingCase("mixed-50x20", "the same with 50 entities", 50, 2, "mixed", "zipf"),
    )
}

TARGETS: dict[tuple[str, Layout], ServingTarget] = {
    ("1x10", "packed"): ServingTarget(15),
    ("1x10", "feast"): ServingTarget(14),
    ("10x10", "packed"): ServingTarget(19),
    ("10x10", "feast"): ServingTarget(14),
    ("100x10", "packed"): ServingTarget(33),
    ("100x10", "feast"): ServingTarget(18),
    ("1x50", "packed"): ServingTarget(18),
    ("1x50", "feast"): ServingTarget(14),
    ("100x50", "packed"): ServingTarget(30),
    ("1x200", "packed"): ServingTarget(18),
    ("500x100", "packed"): ServingTarget(30),
    ("mixed-1x20", "packed"): ServingTarget(12),
    ("mixed-50x20", "packed"): ServingTarget(20),
}
"""By case and layout."""
