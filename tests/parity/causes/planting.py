"""A loaded shop in both layouts, and faults planted into its Redis and its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from redis import Redis

from evenstore.client.values import to_arrow
from evenstore.clock import datetime_to_us
from evenstore.codec.rows import RowBatch, RowInstants
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.semantics import Origin
from parity.causes.cell_comparison import AskedCell, ComparedCell, compare_cell
from parity.causes.stored_entities import read_stored_entities
from tests.parity.shop import NOW, PROJECT

__all__ = ["ACTIVITY", "NOW_US", "PlantedShop"]

ACTIVITY = "customer_activity"
NOW_US = datetime_to_us(NOW)


@dataclass(frozen=True)
class PlantedShop:
    """One layout of the shop; a test may damage it.

    Attributes:
        repo: The Feast repo with this layout.
        store: The same, opened.
        client: Redis.
        layout: How rows lie there.
        views: By name.
        folder: Where the Parquet files are.
    """

    repo: Path
    store: FeatureStore
    client: Redis
    layout: Layout
    views: Mapping[str, FeatureViewSchema]
    folder: Path

    def compare(
        self, key: object, *, view: str = ACTIVITY, as_of_us: int = NOW_US, **others: Any
    ) -> ComparedCell:
        """Compare one entity, as the command does."""
        keys = {self.views[view].join_keys[0].name: str(key)} if view in self.views else {}
        keys |= others.pop("keys", {})
        return compare_cell(AskedCell(self.repo, view, keys, as_of_us, **others))

    def remove_key(self, key: object, view: str = ACTIVITY) -> None:
        """Remove an entity with all its rows."""
        self.client.execute_command("DEL", self._redis_key(self.views[view], key))

    def plant(
        self,
        key: Any,
        values: Mapping[str, Any] | None = None,
        *,
        event_us: int | None = None,
        created_us: int | None = None,
        origin: Origin = Origin.RUN,
        stored_as: FeatureViewSchema | None = None,
        stored_key: Any = None,
    ) -> None:
        """Put another row in the place of an entity's, with the same order where none is given.

        Args:
            key: The entity.
            values: What is changed, as plain values.
            event_us: Its event timestamp.
            created_us: Its created timestamp.
            origin: Who is said to have written it.
            stored_as: The schema that it is written with.
            stored_key: The key that it is written under.
        """
        view = self.views[ACTIVITY]
        redis_key = self._redis_key(view, key)
        (found,) = read_stored_entities(self.client, PROJECT, view, self.layout, [redis_key])
        assert found.row is not None
        order = found.row.order
        self.client.execute_command("DEL", redis_key)
        written = view if stored_as is None else stored_as
        row = {**found.row.values, **(values or {})}
        assert order.created_us is not None
        assert order.sequence_us is not None
        instants = RowInstants(
            event_us=np.array([order.event_us if event_us is None else event_us], np.int64),
            created_us=np.array([order.created_us if created_us is None else created_us], np.int64),
            is_created_null=np.zeros(1, np.bool_),
            sequence_us=np.array([order.sequence_us], np.int64),
            origin=origin,
        )
        batch = RowBatch(
            [to_arrow(written.join_keys[0].dtype, [key if stored_key is None else stored_key])],
            [to_arrow(field.dtype, [row[field.name]]) for field in written.features],
            frozenset(),
            instants,
        )
        encoded = open_encoder(written, PROJECT, self.layout).encode(batch)
        RowWriter(self.client, PROJECT, written, self.layout).write(encoded)

    def without(self, feature: str) -> FeatureViewSchema:
        """The activity view before it had a feature."""
        view = self.views[ACTIVITY]
        kept = tuple(field for field in view.features if field.name != feature)
        return replace(view, features=kept)

    def rewrite(self, change: Any, name: str = "activity.parquet") -> None:
        """Write a source file anew, its rows changed by a function of a list of rows."""
        path = self.folder / name
        table = pq.read_table(path)
        pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)

    def _redis_key(self, view: FeatureViewSchema, key: object) -> bytes:
        return open_key_encoder(view, PROJECT, self.layout).encode((key,))
