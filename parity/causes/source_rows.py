"""Reads from a view's source the rows around asked instants, as plain values with their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from feast import FeatureStore, FeatureView

from evenstore.client.values import PlainValue, to_arrow
from evenstore.compute.watermark import FileVersion
from evenstore.offline.row_history import RowHistory, read_row_history
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Status
from evenstore.sql.relation import CREATED_US, EVENT_US, FILE, FILE_ROW, N_ROWS, ROW_IDX
from parity.causes.finding import StoredOrder
from parity.causes.rows import SourceRow
from parity.values import decode_offline

__all__ = ["EntityHistory", "EntityKey", "ViewHistory", "read_view_history"]

_NS_PER_US = 1_000

EntityKey = tuple[PlainValue | None, ...]


@dataclass(frozen=True, slots=True)
class EntityHistory:
    """The rows of one entity near the instants asked about, greatest first.

    Attributes:
        rows: At most some dozens, whatever the entity has.
        n_rows: How many it has.
    """

    rows: tuple[SourceRow, ...] = ()
    n_rows: int = 0


@dataclass(frozen=True, slots=True)
class ViewHistory:
    """The rows of all asked entities, in order, and the source that they are from."""

    entities: tuple[EntityHistory, ...]
    source: SourceFiles


def read_view_history(
    store: FeatureStore,
    table: FeatureView,
    view: FeatureViewSchema,
    asked: Sequence[tuple[EntityKey, Iterable[int]]],
    *,
    files_read: Mapping[str, FileVersion] | None,
    most_rows: int = 8,
) -> ViewHistory:
    """Read the rows near some instants of each entity, in one query.

    Args:
        store: The feature store, for its settings.
        table: The Feast view, for its source.
        view: The same, compiled.
        asked: The entities, each with its instants.
        files_read: The files that the last run had read; None where runs keep no record.
        most_rows: Rows before and after each instant, at most.

    Raises:
        SourceUnavailableError: A source's files are missing or unreadable.
        UnsupportedDtypeError: A source column cannot be widened exactly.
    """
    anchors = [
        (i, key, instant) for i, (key, instants) in enumerate(asked) for instant in set(instants)
    ]
    keys = pa.table(
        {
            field.name: to_arrow(field.dtype, [key[position] for _, key, _ in anchors])
            for position, field in enumerate(view.join_keys)
        }
    )
    instants = pa.array([instant for _, _, instant in anchors], pa.int64())
    history = read_row_history(store, table, view, keys, instants, most_rows=most_rows)
    rows_of: list[dict[tuple[int, int], SourceRow]] = [{} for _ in asked]
    n_rows_of = [0] * len(asked)
    found = history.table
    rows = _source_rows(history, view, files_read)
    for anchor, file, file_row, n_rows, row in zip(
        *(found[name].to_pylist() for name in (ROW_IDX, FILE, FILE_ROW, N_ROWS)), rows, strict=True
    ):
        entity_idx = anchors[anchor][0]
        rows_of[entity_idx].setdefault((file, file_row), row)
        n_rows_of[entity_idx] = n_rows
    entities = [
        EntityHistory(tuple(sorted(near.values(), key=_place, reverse=True)), n_rows)
        for near, n_rows in zip(rows_of, n_rows_of, strict=True)
    ]
    return ViewHistory(tuple(entities), history.source)


def _place(row: SourceRow) -> tuple[int, bool, int]:
    # Sorting is stable: tied rows stay as content orders them, also when reversed.
    created_us = row.order.created_us
    return row.order.event_us, created_us is not None, created_us or 0


def _source_rows(
    history: RowHistory, view: FeatureViewSchema, files_read: Mapping[str, FileVersion] | None
) -> list[SourceRow]:
    table, source = history.table, history.source
    if files_read and not any(path in files_read for path in source.paths):
        # Compacted since, or read from a copy: then the record says nothing of these files.
        files_read = None
    versions = [(found.size_bytes, found.modified_ns) for found in source.identities]
    present = [Status.PRESENT] * table.num_rows
    columns: dict[str, list[PlainValue | None]] = {
        field.name: decode_offline(field.dtype, table[field.name], present, where=field.name)
        for field in view.features
    }
    found = []
    for i, (event_us, created_us, file) in enumerate(
        zip(*(table[name].to_pylist() for name in (EVENT_US, CREATED_US, FILE)), strict=True)
    ):
        path, version = source.paths[file], versions[file]
        found.append(
            SourceRow(
                order=StoredOrder(event_us, created_us),
                values={name: values[i] for name, values in columns.items()},
                source_file=path,
                was_read=None if files_read is None else files_read.get(path) == version,
                arrived_us=version[1] // _NS_PER_US or None,
            )
        )
    return found
