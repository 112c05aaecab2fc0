"""What is asked of a golden run. Light: a command line is refused before Feast is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RunSettings"]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How to run a golden set.

    Attributes:
        repo: Folder of the Feast repo.
        golden: The golden set's file.
        has_own_redis: Start an embedded Redis for this run instead of using the repo's.
        batch_rows: Entity rows per request to the gateway.
        min_coverage: Least share of cells in which a side has a value.
    """

    repo: Path
    golden: Path
    has_own_redis: bool = False
    batch_rows: int = 100
    min_coverage: float = 0.3
