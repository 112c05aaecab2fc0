"""The source rows of the entities in question: what the causes of an audit are decided by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.client.values import to_arrow
from evenstore.schema.request import ViewRead
from evenstore.semantics import Status
from parity.audit.pulled_rows import CREATED, EVENT, PulledView
from parity.causes.finding import StoredOrder
from parity.causes.rows import SourceRow
from parity.strata import EntityKey
from parity.values import PlainValue, decode_offline

__all__ = ["entity_key_of", "read_entity_histories"]


def entity_key_of(read: ViewRead, columns: Mapping[str, PlainValue]) -> EntityKey:
    """Return a view's entity key, in the order of its join keys, from columns of an entity row."""
    return tuple(columns[name] for name in read.key_columns)  # type: ignore[misc]


def read_entity_histories(
    read: ViewRead, pulled: PulledView, keys: Iterable[EntityKey], features: Iterable[str]
) -> dict[EntityKey, list[SourceRow]]:
    """Collect the rows of some entities, the newest first.

    Args:
        read: The view, with the types of the truth.
        pulled: Its rows.
        keys: Entity keys in the order of the view's join keys.
        features: The features whose values are wanted.

    Returns:
        One list per key; an entity without rows has none.
    """
    wanted = set(keys)
    table = pulled.table
    for position, key in enumerate(read.view.join_keys):
        # A superset of the entities, quickly; which rows are theirs is decided below.
        values = to_arrow(key.dtype, list({entity[position] for entity in wanted}))
        table = table.filter(pc.is_in(table[key.name], value_set=values))
    row_keys = list(
        zip(
            *(
                decode_offline(key.dtype, table[key.name], _present(table), where=key.name)
                for key in read.view.join_keys
            ),
            strict=True,
        )
    )
    events = table[EVENT].cast(pa.int64()).to_pylist()
    created = (
        table[CREATED].cast(pa.int64()).to_pylist()
        if pulled.has_created
        else [None] * table.num_rows
    )
    fields = {field.name: field for field in read.view.features}
    columns = {
        name: decode_offline(fields[name].dtype, table[name], _present(table), where=name)
        for name in dict.fromkeys(features)
    }
    histories: dict[EntityKey, list[SourceRow]] = {key: [] for key in wanted}
    for row_idx, entity in enumerate(row_keys):
        if entity in wanted:
            values = {name: column[row_idx] for name, column in columns.items()}
            order = StoredOrder(events[row_idx], created[row_idx])
            histories[entity].append(SourceRow(order, values))
    for rows in histories.values():
        rows.sort(key=_order, reverse=True)
    return histories


def _present(table: pa.Table) -> list[Status]:
    return [Status.PRESENT] * table.num_rows


def _order(row: SourceRow) -> tuple[int, bool, int]:
    order = row.order
    return order.event_us, order.created_us is not None, order.created_us or 0
