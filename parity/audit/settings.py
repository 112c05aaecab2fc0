"""What an audit is asked to do.

Light, so that a command line is refused before Feast is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AuditSettings"]


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What to audit.

    Attributes:
        repo: Folder of the Feast repo; it is only read.
        feature_service: Name of the feature service to compare; None for views.
        views: Feature views to compare with all their features; empty, without a feature service,
            for every view that is online.
        as_of_us: The instant that both sides are judged at; None for now.
        is_materialized_only: Whether rows after a view's last recorded materialization are left
            out of the truth, so that a run that is only due is no difference.
        entity_rows: Parquet file of entity rows to compare; None to draw them.
        entities: Entity rows to compare, each as a JSON object; empty to draw them.
        n_entity_rows: Entity rows to draw at most.
        seed: Of the golden set.
        batch_rows: Entity rows per online read.
        min_coverage: Least share of cells in which a side has a value.
        models: Folders or files of models whose scores are compared.
        trusts_models: Whether to load models, which can run code, at all.
        thresholds: Score from which each model's decision is yes: one for all, or one per model.
    """

    repo: Path
    feature_service: str | None = None
    views: tuple[str, ...] = ()
    as_of_us: int | None = None
    is_materialized_only: bool = False
    entity_rows: Path | None = None
    entities: tuple[str, ...] = ()
    n_entity_rows: int = 1_000
    seed: int = 0
    batch_rows: int = 200
    min_coverage: float = 0.0
    models: tuple[Path, ...] = ()
    trusts_models: bool = False
    thresholds: tuple[float, ...] = (0.5,)
