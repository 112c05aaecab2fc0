"""Plain selections from a source, in the source's own names and types: Feast's pulls."""

from __future__ import annotations

from dataclasses import dataclass

from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.scan import build_scan_sql
from evenstore.sql.types import build_instant_us

__all__ = ["Pull", "build_pull_sql"]


@dataclass(frozen=True, slots=True)
class Pull:
    """What Feast asks a source for.

    Attributes:
        join_keys: Columns that name the entity.
        features: Feature columns.
        timestamp_field: Event timestamp column.
        created_timestamp_column: Created timestamp column, None where the source has none.
        start_us: Earliest event timestamp, inclusive; None for no bound.
        end_us: Latest event timestamp, inclusive; None for no bound.
        is_latest: Only the newest row of every entity.
    """

    join_keys: tuple[str, ...]
    features: tuple[str, ...]
    timestamp_field: str
    created_timestamp_column: str | None
    start_us: int | None
    end_us: int | None
    is_latest: bool


def build_pull_sql(pull: Pull, source: SourceFiles) -> str:
    """Build the selection of all rows, or of each entity's newest row, in an interval.

    Args:
        pull: What is asked for, in the source's own names.
        source: The files.

    Returns:
        One SELECT statement: join keys, features, event timestamp and created timestamp, under the
            source's names.
    """
    event, created = source.event, source.created
    stamps = [event.name, *([created.name] if created else [])]
    names = list(dict.fromkeys([*pull.join_keys, *pull.features, *stamps]))
    columns = ",\n  ".join(quote_identifier(name) for name in names)
    bounds = [
        f"{build_instant_us(event)} {operator} {int(bound)}"
        for operator, bound in ((">=", pull.start_us), ("<=", pull.end_us))
        if bound is not None
    ]
    where = f"\nwhere {' and '.join(bounds)}" if bounds else ""
    newest = f"\nqualify row_number() over ({_newest_first(pull, event, created)}) = 1"
    scan = build_scan_sql(source)
    return f"select\n  {columns}\nfrom {scan}{where}{newest if pull.is_latest else ''}"


def _newest_first(pull: Pull, event: TimestampColumn, created: TimestampColumn | None) -> str:
    keys = ", ".join(quote_identifier(key) for key in pull.join_keys)
    order = [f"{build_instant_us(event)} desc"]
    if created is not None:
        order.append(f"{build_instant_us(created)} desc nulls last")
    order += [f"{quote_identifier(name)} desc nulls last" for name in sorted(pull.features)]
    partition = f"partition by {keys} " if keys else ""
    return f"{partition}order by {', '.join(order)}"
