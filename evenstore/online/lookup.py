"""Lookups from beginning to end, for whoever is no gateway: the first fault raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import redis

from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.connection import execute_payload, execute_raw
from evenstore.online.feature_column import FeatureColumn, feature_columns
from evenstore.online.row_schemas import RowSchemaNeeded

__all__ = ["look_up"]


def look_up(
    client: redis.Redis,
    lookup: ColumnLookup,
    columns: Mapping[str, Sequence[Any]],
    *,
    as_of_us: int,
) -> tuple[FeatureColumn, ...]:
    """Ask Redis and return the features, in the order asked for.

    Args:
        client: Redis.
        lookup: The prepared request.
        columns: Entity columns and request data, equally long.
        as_of_us: The instant used for ttl and age.

    Raises:
        EntityRowsError: A column is missing, columns differ in length, or a value is not of the
            declared type.
        CorruptRowError: Stored bytes are not of the declared type; never misread.
        FormatVersionError: A later version wrote them.
        FutureRowError: A stored row is later than the instant by more than the allowed skew.
        SchemaError: An on-demand function failed.
        OnlineStoreError: Redis refused or cannot be reached.
    """
    batch = lookup.begin(columns)
    replies = execute_payload(client, batch.payload, batch.n_commands) if batch.n_commands else []
    while True:
        try:
            answer = lookup.finish(batch, replies, as_of_us=as_of_us)
            break
        except RowSchemaNeeded as needed:
            (reply,) = execute_raw(client, [needed.command])
            lookup.learn(batch, needed, reply)
    for error in answer.errors.values():
        raise error
    return feature_columns(lookup.request, answer, batch.n_rows)
