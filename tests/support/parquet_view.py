"""A feature view over one Parquet file without Feast: enough for what joins and selections do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.dtypes import Dtype
from evenstore.offline.entity_rows import number_entity_rows
from evenstore.offline.join_views import ViewJoins
from evenstore.offline.joined import JoinedFeature
from evenstore.offline.open_join import JoinOptions, ViewToJoin
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema, Field
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge

__all__ = ["ParquetView"]

_LATE_US = 2**61


class ParquetView:
    """One written file and its view, whose columns are called as the file calls them.

    Args:
        path: The file to write.
        table: Its rows.
        join_keys: Names and types.
        features: Names and types.
        event: The event timestamp column.
        created: The created timestamp column, None for none.
    """

    def __init__(
        self,
        path: Path,
        table: pa.Table,
        *,
        join_keys: Mapping[str, Dtype],
        features: Mapping[str, Dtype],
        event: str = "event_timestamp",
        created: str | None = None,
    ) -> None:
        pq.write_table(table, path)
        types = dict(zip(table.schema.names, table.schema.types, strict=True))

        def has_ns(name: str) -> bool:
            return bool(pa.types.is_timestamp(types[name]) and types[name].unit == "ns")

        self.view = FeatureViewSchema(
            name="view",
            join_keys=tuple(Field(name, dtype) for name, dtype in join_keys.items()),
            features=tuple(Field(name, dtype) for name, dtype in features.items()),
            ttl_us=None,
        )
        names = (*join_keys, *features)
        self.source = SourceFiles(
            paths=(str(path),),
            event=TimestampColumn(event, has_ns=has_ns(event)),
            created=None if created is None else TimestampColumn(created, has_ns=has_ns(created)),
            columns=tuple((name, name) for name in names),
            timestamp_features=frozenset(name for name in names if has_ns(name)),
        )

    def join(
        self, keys: pa.Table, *, as_of_us: int = _LATE_US, knowledge: Knowledge | None = None
    ) -> dict[str, JoinedFeature]:
        """Join all features to some keys, all at one instant."""
        instants = pa.array([as_of_us] * keys.num_rows, pa.int64())
        numbered = number_entity_rows(keys, self.view.join_keys, as_of_us=instants)
        read = ViewRead(
            view=self.view,
            output_name=self.view.name,
            key_columns=tuple(key.name for key in self.view.join_keys),
            features=self.view.features,
        )
        joins = ViewJoins(
            [ViewToJoin(self.source, read, numbered)],
            JoinOptions(knowledge or Knowledge.LATEST_TRUTH),
        )
        (joined,) = joins.run()
        return {feature.field.name: feature for feature in joined.features()}
