"""All rows of a feature view's source, pulled through the repo's own offline store.

Not its join: stock Feast's joins differ from each other and lose entity rows, so they are no truth
to judge by. The rows are, and the join that judges is ours.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, FileSource
from feast.infra.offline_stores.offline_utils import get_offline_store_from_config

from evenstore.clock import us_to_datetime
from evenstore.dtypes import Dtype
from evenstore.errors import EvenstoreError, ParityError
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import FeatureViewSchema
from parity.audit.declared_types import Conformed, conform, to_instants
from parity.audit.stranger import StrangerRepo

__all__ = ["CREATED", "EVENT", "PulledView", "pull_view", "why_not_comparable"]

EVENT = "__audit_event_timestamp"
CREATED = "__audit_created_timestamp"

_START = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PulledView:
    """The rows of one view.

    Attributes:
        schema: The view as declared.
        table: Join keys and features by their declared names, `EVENT`, and `CREATED` where the
            source has one; no row lacks a key or an event timestamp.
        kept_types: The types of features whose source holds values that the declared type does
            not, by feature.
        left_out: Features that cannot be compared, and why.
        n_rows_pulled: Rows that the offline store gave.
    """

    schema: FeatureViewSchema
    table: pa.Table
    kept_types: Mapping[str, Dtype]
    left_out: Mapping[str, str]
    n_rows_pulled: int

    @property
    def has_created(self) -> bool:
        """Whether rows say when they were readable."""
        return CREATED in self.table.column_names


def why_not_comparable(view: FeatureView) -> str | None:
    """Say why a view's rows are not those of its source; None where they are."""
    if not view.online:
        return "it is not online"
    if getattr(view, "aggregations", None):
        return "it aggregates its source"
    if getattr(view, "feature_transformation", None) is not None:
        return "it transforms its source"
    return "it has no batch source" if view.batch_source is None else None


def pull_view(repo: StrangerRepo, view: FeatureView, *, until_us: int) -> PulledView:
    """Pull every row of a view up to an instant, inclusive.

    Raises:
        ParityError: The offline store cannot give the rows, or a key has not its declared type.
        UnsupportedDtypeError: A declared type is not known.
    """
    schema = compile_feature_view(view)
    source = _with_absolute_path(view.batch_source, repo.folder)
    renamed = {new: old for old, new in (source.field_mapping or {}).items()}
    names = [field.name for field in (*schema.join_keys, *schema.features)]
    columns_of = [renamed.get(name, name) for name in names]
    n_keys = len(schema.join_keys)
    table = _pull(repo, source, columns_of[:n_keys], columns_of[n_keys:], until_us)
    columns: dict[str, Any] = {name: table[renamed.get(name, name)] for name in names}
    conformed = {
        field.name: conform(columns[field.name], field.dtype, where=f"{view.name}:{field.name}")
        for field in schema.features
    }
    keys = {key.name: _key(columns[key.name], key.dtype, view.name) for key in schema.join_keys}
    instants = {EVENT: to_instants(table[source.timestamp_field])}
    if source.created_timestamp_column:
        instants[CREATED] = to_instants(table[source.created_timestamp_column])
    features = {name: found.column for name, found in conformed.items()}
    rows = pa.table(keys | features | instants)
    for name in (*keys, EVENT):
        rows = rows.filter(pc.is_valid(rows[name]))
    return PulledView(
        schema=schema,
        table=rows,
        kept_types=_kept_types(conformed),
        left_out={
            name: found.problem for name, found in conformed.items() if found.problem is not None
        },
        n_rows_pulled=table.num_rows,
    )


def _kept_types(conformed: Mapping[str, Conformed]) -> dict[str, Dtype]:
    return {
        name: found.kept_type for name, found in conformed.items() if found.kept_type is not None
    }


def _pull(
    repo: StrangerRepo, source: Any, keys: list[str], features: list[str], until_us: int
) -> pa.Table:
    config = repo.store.config
    try:
        job = get_offline_store_from_config(config.offline_store).pull_all_from_table_or_query(
            config=config,
            data_source=source,
            join_key_columns=keys,
            feature_name_columns=features,
            timestamp_field=source.timestamp_field,
            created_timestamp_column=source.created_timestamp_column or None,
            start_date=_START,
            end_date=us_to_datetime(until_us),
        )
        table: pa.Table = job.to_arrow()
    except EvenstoreError:
        raise
    except Exception as exc:  # Whatever somebody's offline store raises.
        reason = str(exc).strip().splitlines()[:1]
        msg = f"the offline store cannot give the rows of `{source.name}`: {' '.join(reason)}"
        hint = "`feast materialize` reads the same rows: does it work?"
        raise ParityError(msg, hint=hint) from exc
    return table


def _with_absolute_path(source: Any, folder: Path) -> Any:
    """Resolve a relative path as `feast apply` in the repo does, wherever the audit runs."""
    if not isinstance(source, FileSource) or "://" in source.path:
        return source
    resolved = copy.deepcopy(source)
    resolved.file_options.uri = str(folder / source.path)
    return resolved


def _key(column: Any, dtype: Dtype, view_name: str) -> Any:
    found = conform(column, dtype, where=f"join key of {view_name}")
    if found.kept_type is not None or found.problem is not None:
        msg = f"a join key of `{view_name}` is {column.type} in the source, {dtype.value} declared"
        raise ParityError(msg, hint="no entity can be looked up: cast the column in the source")
    return found.column
