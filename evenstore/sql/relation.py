"""A source's Parquet files as one normalised relation of typed feature rows.

Every query of evenstore starts from this relation: join keys and features under their declared
names and types, `event_us` and `created_us` as int64 microseconds. What a source calls its columns,
and in which unit and zone its timestamps are, ends here.
"""

from __future__ import annotations

from collections.abc import Iterable

from evenstore.errors import SchemaError
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Field, fold_name
from evenstore.sql.quoting import quote_identifier
from evenstore.sql.scan import build_scan_sql
from evenstore.sql.types import build_instant_us, build_typed_column

__all__ = [
    "AS_OF_US",
    "CREATED_US",
    "EVENT_US",
    "IS_AMBIGUOUS",
    "KNOWN_AT_US",
    "N_ROWS",
    "PLACE",
    "ROW_IDX",
    "ROW_ORDER",
    "build_feature_rows_sql",
    "check_column_names",
    "content_columns",
]

EVENT_US = "_event_us"
CREATED_US = "_created_us"
ROW_IDX = "_row_idx"
AS_OF_US = "_as_of_us"
KNOWN_AT_US = "_known_at_us"
N_ROWS = "_n_rows"
IS_AMBIGUOUS = "_is_ambiguous"

ROW_ORDER = "_row_order"
PLACE = "_place"

_RESERVED = frozenset(
    {
        EVENT_US,
        CREATED_US,
        ROW_IDX,
        AS_OF_US,
        KNOWN_AT_US,
        N_ROWS,
        IS_AMBIGUOUS,
        ROW_ORDER,
        PLACE,
    }
)


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


def build_feature_rows_sql(source: SourceFiles, view: FeatureViewSchema) -> str:
    """Build the normalised relation of one view.

    The text must not be indented by who embeds it: a quoted name or path may hold a line break.

    Shapes:
        out: the source's rows x (join keys, features, `_event_us`, `_created_us`).

    Raises:
        SchemaError: Two columns have names that DuckDB takes for one, or one has a name that the
            joins use themselves.

    Units:
        `_event_us`, `_created_us`: int64 microseconds since the epoch, UTC, floored; naive source
        timestamps are UTC. UNIX_TIMESTAMP features: timestamptz, floored to whole seconds.
    """
    fields = (*view.join_keys, *view.features)
    check_column_names((field.name for field in fields), where=view.name)
    named = dict(source.columns)
    selected = [
        f"{build_typed_column(named[field.name], field, source)} as {quote_identifier(field.name)}"
        for field in fields
    ]
    selected.append(f"{build_instant_us(source.event)} as {EVENT_US}")
    created = "cast(null as bigint)" if source.created is None else build_instant_us(source.created)
    selected.append(f"{created} as {CREATED_US}")
    columns = ",\n  ".join(selected)
    return f"select\n  {columns}\nfrom {build_scan_sql(source.paths)}"
