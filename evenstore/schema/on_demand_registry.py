"""Finds in a registry the on-demand views that a retrieval of Feast's asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from feast import OnDemandFeatureView
from feast.infra.registry.base_registry import BaseRegistry

from evenstore.errors import SchemaError
from evenstore.schema.compile import compile_on_demand_view
from evenstore.schema.model import OnDemandViewSchema
from evenstore.schema.request import split_reference
from evenstore.schema.version import find_pinned_view

__all__ = ["compile_requested_views"]


def compile_requested_views(
    registry: BaseRegistry, project: str, feature_refs: Sequence[str], *, joined: Collection[str]
) -> tuple[OnDemandViewSchema, ...]:
    """Compile the on-demand views that feature references name.

    Feast gives an offline store the references alone. A name that a feature service gave to an
    on-demand view (`.with_name(...)`) is looked up in the services; Feast's own stores leave such a
    view out without a word.

    Args:
        registry: The Feast registry.
        project: The Feast project.
        feature_refs: `view:feature`, versions included.
        joined: Names of the feature views that are joined: their references are passed over.

    Returns:
        The views, each under the name that its references have.

    Raises:
        SchemaError: A reference names no view, or a name that services give to different ones.
        UnsupportedDtypeError: A feature or request field has no type that is kept.
    """
    names = dict.fromkeys(split_reference(reference)[0] for reference in feature_refs)
    wanted = [name for name in names if name not in joined]
    if not wanted:
        return ()
    # With the functions as they were stored: Feast would make them anew from their source text,
    # which lacks whatever their module defined or imported.
    promoted = {
        view.name: view
        for view in registry.list_on_demand_feature_views(project, allow_cache=True, skip_udf=True)
    }
    return tuple(
        dataclasses.replace(
            compile_on_demand_view(_find_view(registry, project, name, promoted)), name=name
        )
        for name in wanted
    )


def _find_view(
    registry: BaseRegistry, project: str, name: str, promoted: dict[str, OnDemandFeatureView]
) -> OnDemandFeatureView:
    if name in promoted:
        return promoted[name]
    base, _, version = name.partition("@")
    if base not in promoted:
        sources = {
            (projection.name, projection.version_tag)
            for service in registry.list_feature_services(project, allow_cache=True)
            for projection in service.feature_view_projections
            if projection.name_to_use() == name and projection.name in promoted
        }
        if len(sources) != 1:
            given = "several on-demand views" if sources else "no view"
            msg = f"feature references name `{name}`: {given} of the registry"
            raise SchemaError(msg, hint="ask by the view's own name, and run `feast apply`")
        base, tag = sources.pop()
        if tag is None:
            return promoted[base]
        version = f"v{tag}"
    view = find_pinned_view(registry, project, f"{base}@{version}")
    if not isinstance(view, OnDemandFeatureView):
        msg = f"`{name}` is a feature view in that version, and an on-demand view now"
        raise SchemaError(msg, hint="ask for another version")
    return view
