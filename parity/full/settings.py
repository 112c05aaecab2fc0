"""What a full comparison is asked to do. Light, as `parity.settings` is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FullSettings"]


@dataclass(frozen=True, slots=True)
class FullSettings:
    """What to compare.

    Attributes:
        repo: Folder of the Feast repo.
        view: Name of the feature view.
        sample_share: Which part of the entities is compared, the same part on both sides.
        seed: Another seed draws another part.
        until_watermark: Whether source rows after the view's watermark are left out: they are due
            with the next run. Otherwise they are differences.
        max_keys_per_s: Redis keys read or walked in a second at most; None for as many as can be.
        max_redis_latency_ms: Longest a PING may take before the comparison pauses.
        max_differences: Differing cells kept of each feature and outcome; all are counted.
        max_differing_entities: With more of them the comparison stops: all is wrong then.
        min_coverage: Least share of cells in which a side has a value.
        finds_causes: Whether to look for the cause of each difference that is kept.
    """

    repo: Path
    view: str
    sample_share: float = 1.0
    seed: int = 0
    until_watermark: bool = True
    max_keys_per_s: int | None = None
    max_redis_latency_ms: float | None = None
    max_differences: int = 100
    max_differing_entities: int = 1_000_000
    min_coverage: float = 0.3
    finds_causes: bool = True
