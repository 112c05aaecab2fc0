"""A source's Parquet files as one normalised relation of typed feature rows.

Every query of evenstore starts from this relation: join keys and features under their declared
names and types, `event_us` and `created_us` as int64 microseconds. What a source calls its columns,
and in which unit and zone its timestamps are, ends here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evenstore.clock import us_to_datetime
from evenstore.errors import SchemaError
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema, Field, fold_name
from evenstore.sql.quoting import quote_identifier, quote_literal
from evenstore.sql.scan import build_scan_sql
from evenstore.sql.types import build_instant_us, build_typed_column

__all__ = [
    "AS_OF_US",
    "AVAILABLE_US",
    "CREATED_US",
    "ENTITY",
    "EVENT_US",
    "FILE",
    "FILE_ROW",
    "GREATEST",
    "IS_AMBIGUOUS",
    "IS_TIED",
    "LEAST",
    "NEWEST_US",
    "N_ROWS",
    "PLACE",
    "ROW_IDX",
    "SINCE_US",
    "build_feature_rows_sql",
    "build_pruning_condition",
    "check_column_names",
    "content_columns",
]

EVENT_US = "_event_us"
CREATED_US = "_created_us"
FILE = "_file"
FILE_ROW = "_file_row"
ROW_IDX = "_row_idx"
SINCE_US = "_since_us"
AS_OF_US = "_as_of_us"
N_ROWS = "_n_rows"
IS_AMBIGUOUS = "_is_ambiguous"
IS_TIED = "_is_tied"
GREATEST = "_greatest"
LEAST = "_least"
AVAILABLE_US = "_available_us"
NEWEST_US = "_newest_us"
ENTITY = "_entity"
PLACE = "_place"

_RESERVED = frozenset(
    {
        EVENT_US,
        CREATED_US,
        FILE,
        FILE_ROW,
        ROW_IDX,
        SINCE_US,
        AS_OF_US,
        N_ROWS,
        IS_AMBIGUOUS,
        IS_TIED,
        GREATEST,
        LEAST,
        AVAILABLE_US,
        NEWEST_US,
        ENTITY,
        PLACE,
        # DuckDB's names of where a row is.
        "file_index",
        "file_row_number",
    }
)

_US_PER_S = 1_000_000
# The years 1678 to 2261: what a timestamp in nanoseconds can hold, the narrowest type there is.
_EARLIEST_TEXT_US = -9_214_560_000_000_000
_LATEST_TEXT_US = 9_214_560_000_000_000


def content_columns(view: FeatureViewSchema) -> tuple[Field, ...]:
    """Return the features in the order in which content breaks ties: by name."""
    return tuple(sorted(view.features, key=lambda field: field.name))


def check_column_names(names: Iterable[str], *, where: str) -> None:
    """Refuse names that one relation cannot hold together.

    Raises:
        SchemaError: A name is one that the joins use themselves, or two differ only in case, which
            DuckDB takes for one column.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = fold_name(name)
        if folded in _RESERVED:
            msg = f"{where}: `{name}` is a name that the joins use themselves"
            raise SchemaError(msg, hint="rename the column with a field mapping")
        if folded in seen:
            msg = f"{where}: `{seen[folded]}` and `{name}` differ only in case"
            if seen[folded] == name:
                msg = f"{where}: `{name}` is declared twice"
            raise SchemaError(msg, hint="rename one of them, for example with a field mapping")
        seen[folded] = name


def build_feature_rows_sql(
    source: SourceFiles,
    view: FeatureViewSchema,
    *,
    features: Sequence[Field] | None = None,
    event_range_us: tuple[int | None, int | None] = (None, None),
    with_position: bool = False,
) -> str:
    """Build the normalised relation of one view.

    The text must not be indented by who embeds it: a quoted name or path may hold a line break.

    Args:
        source: The view's files.
        view: The view.
        features: The features to read; all of the view by default.
        event_range_us: Event timestamps that are needed at least, both ends inclusive; None for no
            bound. Row groups and files outside are not read; a few rows outside may be returned.
        with_position: Add where each row is.

    Shapes:
        out: the source's rows x (join keys, features, `_event_us`, `_created_us`); with positions
            `_file` and `_file_row` too: the index of the row's file in `source.paths` and of the
            row in that file.

    Raises:
        SchemaError: Two columns have names that DuckDB takes for one, or one has a name that the
            joins use themselves.

    Units:
        `_event_us`, `_created_us`: int64 microseconds since the epoch, UTC, floored; naive source
        timestamps are UTC. UNIX_TIMESTAMP features: timestamptz, floored to whole seconds.
    """
    check_column_names((field.name for field in view.join_keys + view.features), where=view.name)
    named = dict(source.columns)
    fields = (*view.join_keys, *(view.features if features is None else features))
    selected = [
        f"{build_typed_column(named[field.name], field, source)} as {quote_identifier(field.name)}"
        for field in fields
    ]
    selected.append(f"{build_instant_us(source.event)} as {EVENT_US}")
    created = "cast(null as bigint)" if source.created is None else build_instant_us(source.created)
    selected.append(f"{created} as {CREATED_US}")
    if with_position:
        selected += [f"file_index::bigint as {FILE}", f"file_row_number::bigint as {FILE_ROW}"]
    columns = ",\n  ".join(selected)
    where = build_pruning_condition(source.event, event_range_us)
    return f"select\n  {columns}\nfrom {build_scan_sql(source)}{where}"


def build_pruning_condition(
    event: TimestampColumn, event_range_us: tuple[int | None, int | None]
) -> str:
    """Build a condition on the source's own column, which Parquet statistics can decide.

    It is wider than the range by a second, since a column may have coarser units.

    Returns:
        Empty, or ` where ...` with a leading line break.
    """
    since_us, until_us = event_range_us
    quoted = quote_identifier(event.name)
    bounds = [
        f"{quoted} {operator} {quote_literal(text)}"
        for operator, text in (
            (">=", None if since_us is None else _timestamp_text(since_us - _US_PER_S)),
            ("<=", None if until_us is None else _timestamp_text(until_us + _US_PER_S)),
        )
        if text is not None
    ]
    return f"\nwhere {' and '.join(bounds)}" if bounds else ""


def _timestamp_text(instant_us: int) -> str | None:
    """Write an instant so that DuckDB casts it to any timestamp type; None far from our era."""
    if not _EARLIEST_TEXT_US <= instant_us <= _LATEST_TEXT_US:
        return None
    return us_to_datetime(instant_us).isoformat(sep=" ")
