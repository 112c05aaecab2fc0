"""What a join may use, as feature_store.yaml says."""

from __future__ import annotations

from feast import RepoConfig

from evenstore.duckdb_session import SessionLimits

__all__ = ["session_limits", "uses_side_index"]


def session_limits(config: RepoConfig) -> SessionLimits:
    """Return the limits of a repository's offline store; none where it is not ours."""
    chosen = config.offline_store
    return SessionLimits(
        getattr(chosen, "memory_limit", None),
        getattr(chosen, "threads", None),
        getattr(chosen, "temp_directory", None),
    )


def uses_side_index(config: RepoConfig) -> bool:
    """Tell whether joins look for side indexes."""
    return bool(getattr(config.offline_store, "side_index", True))
