"""Where the walk-through works, on which data, and with which clock."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DemoSettings", "resolve_settings"]


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """One walk-through.

    Attributes:
        root: The clone.
        home: Everything that the walk-through makes.
        data: The real Online Retail file, None to generate shop data.
        n_customers: How many customers to generate.
        n_lines: How many invoice lines to generate.
        seed: Of the generator and the golden set.
        port: The gateway's, 0 for a free one.
        is_external: Whether `EVENSTORE_REDIS_URL` names the Redis to use.
    """

    root: Path
    home: Path
    data: Path | None
    n_customers: int
    n_lines: int
    seed: int
    port: int
    is_external: bool

    @property
    def project(self) -> str:
        """The Feast project: one of its own on a Redis that others may use too."""
        if not self.is_external:
            return "shop"
        place = f"{self.root}\n{self.home}"
        return "shop_" + hashlib.sha256(place.encode()).hexdigest()[:8]

    @property
    def repo(self) -> Path:
        """The feature repo: the clone's, or a copy with a project and registry of its own."""
        return self.home / "feature_repo" if self.copies_repo else self.root / "feature_repo"

    @property
    def copies_repo(self) -> bool:
        """Whether the clone's feature repo, which names `.evenstore` and `shop`, does not fit."""
        return self.is_external or self.home != self.root / ".evenstore"

    @property
    def features(self) -> Path:
        """Folder of the feature tables."""
        return self.home / "features"

    def show(self, path: Path) -> Path:
        """Return a path as the account shows it: short where it lies in the clone."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path


def resolve_settings(
    data: Path | None, *, n_customers: int, n_lines: int, seed: int, port: int
) -> DemoSettings:
    """Fill in what the clone and the environment say."""
    root = Path(__file__).resolve().parent.parent
    home = os.environ.get("EVENSTORE_HOME")
    return DemoSettings(
        root=root,
        home=Path(home).expanduser().resolve() if home else root / ".evenstore",
        data=None if data is None else data.resolve(),
        n_customers=n_customers,
        n_lines=n_lines,
        seed=seed,
        port=port,
        is_external=bool(os.environ.get("EVENSTORE_REDIS_URL")),
    )
