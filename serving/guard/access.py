"""Which scope a request needs, by its method and path."""

from __future__ import annotations

from serving.guard.key_file import Scope

__all__ = ["KNOWN_PATHS", "OPEN_PATHS", "READ_PATHS", "SAFE_METHODS", "AccessRules"]

OPEN_PATHS = frozenset(
    {"/healthz", "/readyz", "/health", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
)
"""Need no key: probes have none, and the documentation tells nothing of the data."""

READ_PATHS = frozenset({"/get-online-features", "/v1/feature-vectors"})
"""Look up although their method is POST."""

KNOWN_PATHS = (
    OPEN_PATHS
    | READ_PATHS
    | {"/metrics", "/push", "/write-to-online-store", "/materialize", "/materialize-incremental"}
)
"""Paths by which a request is counted that was refused before its route was found."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Write nothing, on whatever route."""


class AccessRules:
    """The rules of one gateway. What no rule names needs most: a new POST route needs `write`.

    Args:
        metrics_need_key: Whether `/metrics` needs `admin`. It tells what is served and how much,
            so a gateway that other machines reach asks for a key; Prometheus sends one as a
            bearer token. Decided by the address listened on: behind a proxy on the same machine
            every caller seems local.
    """

    def __init__(self, *, metrics_need_key: bool) -> None:
        self._metrics_scope: Scope | None = "admin" if metrics_need_key else None

    def scope_of(self, method: str, path: str) -> Scope | None:
        """Return the scope that a request needs; None for none at all."""
        if path in READ_PATHS:
            return "read"
        if method not in SAFE_METHODS:
            return "write"
        if path == "/metrics":
            return self._metrics_scope
        return None if path in OPEN_PATHS else "read"
