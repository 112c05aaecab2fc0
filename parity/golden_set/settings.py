"""What is asked of a golden set that is built.

Light, so that a command line is refused before Feast is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BuildSettings"]


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What to draw.

    Attributes:
        repo: Folder of the Feast repo.
        feature_service: Name of the feature service.
        out: The file to write.
        n_entity_rows: Entity rows at most at each of the main instants; boundaries add some.
        n_instants: Main instants, where they are not named.
        as_of_us: The main instants; empty to choose them from the data.
        seed: Any whole number; another one draws others.
        is_frozen: Whether to keep the values of today's offline store as expected.
    """

    repo: Path
    feature_service: str
    out: Path
    n_entity_rows: int = 1_000
    n_instants: int = 3
    as_of_us: tuple[int, ...] = ()
    seed: int = 0
    is_frozen: bool = False
