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
    """

    repo: Path
    gateway: str
    feature_service: str
    n_entity_rows: int = 1_000
    seed: int = 0
    batch_rows: int = 100
    min_coverage: float = 0.3
