"""The offline side: the newest row of every entity, streamed; and single entities, joined again.

The stream finds winners as materialization does, because nothing else is as fast in bounded
memory. So whatever is reported, and a sample of what agrees, is joined again as training joins.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureStore, FeatureView

from evenstore.client.values import to_arrow
from evenstore.codec.cells import Cells
from evenstore.codec.entity_key import EntityKeyEncoder
from evenstore.codec.key_cells import encode_key_cells
from evenstore.compute.newest import FoundRows, NewestRowReader
from evenstore.offline.history import read_history
from evenstore.offline.joined import decide
from evenstore.offline.limits import session_limits
from evenstore.offline.retry import list_again
from evenstore.schema.files import SourceFiles
from evenstore.schema.footer import fingerprint_files
from evenstore.schema.request import Column, FeatureRequest, ViewRead
from evenstore.schema.source import open_source
from evenstore.schema.values import to_declared_array
from evenstore.semantics import EARLIEST_US, Knowledge
from evenstore.sql.newest import WantedRows
from parity.full.rows import Int64s, Rows

__all__ = ["HistoryJoin", "NewestRows", "OfflineBatch", "open_view_source"]

_AS_OF_COLUMN = "_parity_as_of"


@dataclass(frozen=True, slots=True)
class OfflineBatch:
    """Some entities with their newest rows.

    Attributes:
        keys: Their Redis keys.
        records: Their rows as DuckDB gave them.
    """

    keys: Cells
    records: pa.RecordBatch

    def __len__(self) -> int:
        return len(self.keys)


def open_view_source(store: FeatureStore, table: FeatureView, read: ViewRead) -> SourceFiles:
    """List the files of a view's source, with what tells that one was replaced.

    Raises:
        SourceUnavailableError: The view has no source, or a file cannot be read.
    """
    path = Path(store.repo_path)
    listed = list_again(functools.partial(open_source, table, read.view, path))
    if listed.identities:
        return listed
    return dataclasses.replace(listed, identities=fingerprint_files(listed))


class NewestRows:
    """Streams the newest row of every entity, judged at an instant.

    Args:
        store: The feature store, for the limits of DuckDB.
        source: The view's files.
        read: The view and its features.
        encoder: Makes the entities' Redis keys.
        until_us: Latest event timestamp, inclusive.
        as_of_us: The instant that ttl goes by.
    """

    def __init__(
        self,
        store: FeatureStore,
        source: SourceFiles,
        read: ViewRead,
        encoder: EntityKeyEncoder,
        *,
        until_us: int,
        as_of_us: int,
    ) -> None:
        self._read = read
        self._encoder = encoder
        self._as_of_us = as_of_us
        self._reader = NewestRowReader(
            [WantedRows(source, EARLIEST_US)],
            read.view,
            until_us=until_us,
            limits=session_limits(store.config),
        )

    def find(self) -> FoundRows:
        """Find out which rows are the newest.

        Raises:
            OfflineStoreError: The source cannot be read.
        """
        return self._reader.find()

    def batches(self, n_rows: int) -> Iterator[OfflineBatch]:
        """Stream them, at most so many at once.

        Raises:
            OfflineStoreError: The source cannot be read.
        """
        for batch in self._reader.batches():
            for start in range(0, batch.num_rows, n_rows):
                records = batch.slice(start, n_rows)
                yield OfflineBatch(self._keys(records), records)

    def decide(self, records: pa.RecordBatch) -> Rows:
        """Decide values and statuses of some of them.

        Raises:
            UnsupportedDtypeError: A list holds a null.
        """
        as_of_us = pa.array(np.full(records.num_rows, self._as_of_us, np.int64))
        return Rows.of_joined(decide(records, self._read, as_of_us))

    def _keys(self, records: pa.RecordBatch) -> Cells:
        columns = [
            to_declared_array(records.column(key.name), key.dtype)
            for key in self._read.view.join_keys
        ]
        return encode_key_cells(self._encoder, columns, records.num_rows)


class HistoryJoin:
    """Joins a view's features to single entities, by the join that training datasets come from.

    Args:
        store: The feature store.
        read: The view, under its name in the registry, and its features.
        as_of_us: The instant that ttl goes by.
    """

    def __init__(self, store: FeatureStore, read: ViewRead, *, as_of_us: int) -> None:
        self._store = store
        self._read = read
        self._as_of_us = as_of_us
        columns = tuple(
            Column(read.output_name, field, is_on_demand=False) for field in read.features
        )
        self._names = [column.output_name(full_feature_names=True) for column in columns]
        self._request = FeatureRequest(
            name=read.output_name,
            entity_columns=read.view.join_keys,
            request_fields=(),
            columns=columns,
            reads=(read,),
            on_demand=(),
        )

    def read(self, keys: Sequence[Sequence[Any]], until_us: Int64s) -> Rows:
        """Join some entities.

        Args:
            keys: Plain values of the join keys, in their order.
            until_us: Per entity, the instant after which none of its rows is seen.

        Raises:
            OfflineStoreError: The source cannot be read.
        """
        entities = {
            key.name: to_arrow(key.dtype, [values[position] for values in keys])
            for position, key in enumerate(self._read.view.join_keys)
        }
        as_of_us = np.full(len(keys), self._as_of_us, np.int64)
        entities[_AS_OF_COLUMN] = pa.array(as_of_us, pa.timestamp("us", tz="UTC"))
        table = read_history(
            self._store,
            self._request,
            pa.table(entities),
            knowledge=Knowledge.LATEST_TRUTH,
            event_timestamp_column=_AS_OF_COLUMN,
            seen_until_us={self._read.output_name: pa.array(until_us)},
        )
        return Rows.of_table(table, self._names, self._read.features)
