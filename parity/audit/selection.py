"""What of a repo is compared: a feature service, some views, or every view that is online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feast import FeatureStore, FeatureView
from feast.errors import FeatureServiceNotFoundException

from evenstore.errors import ParityError, UnknownFeatureServiceError
from parity.audit.pulled_rows import why_not_comparable

__all__ = ["Selection", "select_views"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Views to pull.

    Attributes:
        views: Feast's views, as defined.
        on_demand: Names of the on-demand views of the service.
        skipped: Views that are left out, and why.
    """

    views: tuple[FeatureView, ...]
    on_demand: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def select_views(store: FeatureStore, *, service: str | None, names: Sequence[str]) -> Selection:
    """Find the views to compare.

    Args:
        store: The repo's.
        service: A feature service; its views must all be comparable.
        names: Views; empty, without a service, for all that are comparable.

    Raises:
        UnknownFeatureServiceError: There is no such service.
        ParityError: A view that was named is unknown or cannot be compared, or there is none.
    """
    known = {
        view.name: view
        for view in (*store.list_feature_views(), *store.list_stream_feature_views())
    }
    if service is not None:
        return _of_service(store, service, known)
    if names:
        return Selection(tuple(_comparable(name, known) for name in names))
    reasons = {name: why_not_comparable(view) for name, view in known.items()}
    views = tuple(view for name, view in sorted(known.items()) if reasons[name] is None)
    if not views:
        msg = f"no feature view of project `{store.project}` can be compared"
        raise ParityError(msg, hint="an audit needs a view that is online and has a batch source")
    skipped = tuple(f"`{name}` is left out: {reason}" for name, reason in reasons.items() if reason)
    return Selection(views, skipped=skipped)


def _of_service(store: FeatureStore, service: str, known: dict[str, FeatureView]) -> Selection:
    try:
        projections = store.get_feature_service(service).feature_view_projections
    except FeatureServiceNotFoundException:
        available = [item.name for item in store.list_feature_services()]
        raise UnknownFeatureServiceError(service, available) from None
    computed = {view.name: view for view in store.list_on_demand_feature_views()}
    names: dict[str, None] = {}
    on_demand: dict[str, None] = {}
    for projection in projections:
        view = computed.get(projection.name)
        if view is None:
            names[projection.name] = None
            continue
        on_demand[view.name] = None
        sources = view.source_feature_view_projections.values()
        names |= dict.fromkeys(source.name for source in sources)
    return Selection(tuple(_comparable(name, known) for name in names), tuple(on_demand))


def _comparable(name: str, known: dict[str, FeatureView]) -> FeatureView:
    if name not in known:
        msg = f"there is no feature view `{name}`"
        raise ParityError(msg, hint=f"the repo has {', '.join(sorted(known)) or 'none'}")
    reason = why_not_comparable(known[name])
    if reason is not None:
        msg = f"feature view `{name}` cannot be compared: {reason}"
        raise ParityError(msg, hint="name other views with --views")
    return known[name]
