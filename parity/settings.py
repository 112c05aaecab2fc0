"""What a check is asked to do.

Light, so that a command line is refused before Feast is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["CheckSettings"]


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What to check.

    Attributes:
        repo: Folder of the Feast repo.
        gateway: Base URL of the running gateway.
        feature_service: Name of the feature service.
        n_entity_rows: Entity rows to draw at most.
        seed: Of the golden set.
        batch_rows: Entity rows per request to the gateway.
        min_coverage: Least share of cells in which a side has a value.
        max_rows_per_s: Entity rows asked for in a second at most; None for as fast as answers come.
        until_watermark: Whether rows after a view's watermark are left out offline: they are due
            with the next run. Otherwise they are differences.
        counts_leaks: Whether to join once more as known, and count rows that were not known yet.
        finds_causes: Whether to look for the cause of each difference.
    """

    repo: Path
    gateway: str
    feature_service: str
    n_entity_rows: int = 1_000
    seed: int = 0
    batch_rows: int = 100
    min_coverage: float = 0.3
    max_rows_per_s: int | None = None
    until_watermark: bool = True
    counts_leaks: bool = False
    finds_causes: bool = True
