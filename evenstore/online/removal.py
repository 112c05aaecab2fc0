"""What an apply removes from the store: rows of views that are gone, features that are gone."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import redis

from evenstore.errors import OnlineStoreTimeoutError, OnlineStoreUnavailableError
from evenstore.online.feature_removal import find_stale_schemas, remove_features
from evenstore.online.purge import delete_view, fetch_schemas
from evenstore.progress import open_progress
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["Removal", "is_version_name"]


@dataclass(frozen=True, slots=True)
class Removal:
    """What an apply keeps and what not.

    Attributes:
        kept: Views that stay, perhaps with fewer features, by the names of their rows.
        gone: Views that go, with all their versions.
        is_versioned: Whether rows of each version have a name of their own: then a version that
            lacks a feature takes it from no other.
    """

    kept: Sequence[FeatureViewSchema]
    gone: Sequence[FeatureViewSchema]
    is_versioned: bool = False

    def apply(self, connect: Callable[[], redis.Redis], project: str, layout: Layout) -> None:
        """Remove what is gone; what is killed before its end is done again by the next apply.

        Without a Redis that answers an apply of definitions alone goes on, as stock Feast's does.

        Args:
            connect: Gives the client.
            project: The Feast project.
            layout: How rows lie in Redis.

        Raises:
            OnlineStoreError: Redis refused; or it cannot be reached, and a view is gone.
        """
        try:
            client = connect()
            schemas = fetch_schemas(client, project)
        except (OnlineStoreUnavailableError, OnlineStoreTimeoutError) as exc:
            if self.gone:
                raise
            what = "features that are gone stay stored until the next apply"
            sys.stderr.write(f"{what}: {exc.message}\n")
            return
        for stale in find_stale_schemas([] if self.is_versioned else self.kept, schemas):
            names = ", ".join(field.name for field in stale.gone) or "what was removed before"
            with open_progress(f"{stale.view.name}: remove {names}", unit="entities") as progress:
                remove_features(client, project, stale, layout, progress=progress)
        for view in self._stored_names(schemas):
            with open_progress(f"{view.name}: remove", unit="entities") as progress:
                delete_view(client, project, view, progress=progress)

    def _stored_names(self, schemas: Iterable[str]) -> list[FeatureViewSchema]:
        """Return the views that go under each name that rows of them can have."""
        kept = {view.name for view in self.kept}
        found = []
        for view in self.gone:
            names = {view.name: None}
            if self.is_versioned:
                names |= {name: None for name in schemas if is_version_name(name, view.name)}
            found += [replace(view, name=name) for name in names if name not in kept]
        return found


def is_version_name(name: str, view_name: str) -> bool:
    """Tell whether rows of a view's versions have a name: the view's own, or one as `view_v2`."""
    return re.fullmatch(rf"{re.escape(view_name)}(_v\d+)?", name) is not None
