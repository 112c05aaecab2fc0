"""What the registry says of each view, and what its source's files hold: footers only, no rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from feast import FeatureStore, FeatureView, RepoConfig

from evenstore.clock import datetime_to_us
from evenstore.errors import EvenstoreError, SchemaError
from evenstore.online.store import stored_view
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import footers_of
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.source import list_files, open_columns, open_source

__all__ = ["SourceFacts", "ViewFacts", "gather_view_facts"]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """A view's batch source.

    Attributes:
        event_column: As declared.
        created_column: As declared, None where none is.
        has_created: Whether the files have that column; None where they cannot be looked at.
        files: The opened source, None where it cannot be.
        n_event_nulls: Rows without an event timestamp, None where the footers do not say.
        problem: Why it cannot be opened.
    """

    event_column: str
    created_column: str | None
    has_created: bool | None = None
    files: SourceFiles | None = None
    n_event_nulls: int | None = None
    problem: EvenstoreError | None = None


@dataclass(frozen=True, slots=True)
class ViewFacts:
    """One feature view.

    Attributes:
        name: As registered.
        is_online: Whether it is to be materialized.
        schema: Compiled, None where it cannot be.
        problem: Why it cannot be compiled.
        source: None where the view has no batch source.
        recorded_end_us: Up to where Feast's registry says that it was materialized.
    """

    name: str
    is_online: bool
    schema: FeatureViewSchema | None
    problem: EvenstoreError | None = None
    source: SourceFacts | None = None
    recorded_end_us: int | None = None


def gather_view_facts(store: FeatureStore, repo: Path) -> tuple[ViewFacts, ...]:
    """Look at every view of a store's project, in the order of their names.

    Complexity:
        One footer read per source file.
    """
    views: list[FeatureView] = [
        *store.list_feature_views(),
        *store.list_stream_feature_views(),
    ]
    in_order = sorted(views, key=lambda view: view.name)
    return tuple(_view_facts(view, store.config, repo) for view in in_order)


def _view_facts(view: FeatureView, config: RepoConfig, repo: Path) -> ViewFacts:
    intervals = view.materialization_intervals
    ends = [datetime_to_us(end, naive_is_utc=True) for _, end in intervals]
    schema, problem = None, None
    try:
        schema = stored_view(config, view)
    except EvenstoreError as exc:
        problem = exc
    return ViewFacts(
        name=view.name,
        is_online=bool(view.online),
        schema=schema,
        problem=problem,
        source=None if schema is None else _source_facts(view, schema, repo),
        recorded_end_us=max(ends, default=None),
    )


def _source_facts(view: FeatureView, schema: FeatureViewSchema, repo: Path) -> SourceFacts | None:
    source = view.batch_source
    if source is None:
        return None
    event, created = source.timestamp_field, source.created_timestamp_column or None
    try:
        files = open_source(view, schema, repo)
        n_nulls = _count_event_nulls(files)
    except EvenstoreError as exc:
        return SourceFacts(event, created, _has_created(view, repo), problem=exc)
    return SourceFacts(event, created, created is not None, files, n_nulls)


def _has_created(view: FeatureView, repo: Path) -> bool | None:
    """Tell whether a source that cannot be opened has its created column at least."""
    source = view.batch_source
    if source is None or not source.created_timestamp_column:
        return None
    try:
        columns = open_columns(view.name, source, list_files(source, repo))
    except EvenstoreError:
        return None
    try:
        columns.source_column(source.created_timestamp_column)
    except SchemaError:
        return False
    return True


def _count_event_nulls(files: SourceFiles) -> int | None:
    n_nulls = 0
    for footer in footers_of(files):
        found = footer.range_of(files.event.name)
        if found is None or found.n_nulls is None:
            return None
        n_nulls += found.n_nulls
    return n_nulls
