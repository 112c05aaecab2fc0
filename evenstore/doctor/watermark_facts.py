"""How far each view is loaded: its watermark in Redis, against its files. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from evenstore.compute.plan import changed_files
from evenstore.compute.watermark import Watermark, load_fingerprint, read_watermark
from evenstore.errors import EvenstoreError
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["WatermarkFacts", "gather_watermark_facts"]


@dataclass(frozen=True, slots=True)
class WatermarkFacts:
    """One view's watermark against its source.

    Attributes:
        view: The view.
        event_end_us: Up to where its rows are loaded, None without a watermark.
        is_schema_changed: Whether the watermark is of another schema; None where the source cannot
            be opened.
        n_unread_files: Files that the last run has not read, None likewise.
        has_rows: Whether a row of the view was seen in Redis; None where not every key was.
        recorded_end_us: Up to where Feast's registry says that it was materialized.
        problem: Why the watermark cannot be read.
    """

    view: FeatureViewSchema
    event_end_us: int | None = None
    is_schema_changed: bool | None = None
    n_unread_files: int | None = None
    has_rows: bool | None = None
    recorded_end_us: int | None = None
    problem: EvenstoreError | None = None


def gather_watermark_facts(
    client: redis.Redis,
    project: str,
    view: FeatureViewSchema,
    source: SourceFiles | None,
    layout: Layout,
    *,
    has_rows: bool | None = None,
    recorded_end_us: int | None = None,
) -> WatermarkFacts:
    """Read a view's watermark and compare it with the view's files."""
    try:
        watermark = read_watermark(client, project, view.name)
        n_unread = None if source is None else _count_unread(watermark, source)
    except EvenstoreError as exc:
        return WatermarkFacts(view, recorded_end_us=recorded_end_us, problem=exc)
    is_changed = None
    if watermark is not None and source is not None:
        is_changed = watermark.fingerprint != load_fingerprint(view, source, layout)
    return WatermarkFacts(
        view=view,
        event_end_us=None if watermark is None else watermark.event_end_us,
        is_schema_changed=is_changed,
        n_unread_files=n_unread,
        has_rows=has_rows,
        recorded_end_us=recorded_end_us,
    )


def _count_unread(watermark: Watermark | None, source: SourceFiles) -> int:
    versions = {
        identity.path: (identity.size_bytes, identity.modified_ns)
        for identity in fingerprint_files(source)
    }
    return len(changed_files(watermark, versions))
