"""How many entities a view would have online, counted offline: about, and in bounded time."""

from __future__ import annotations

import threading

import duckdb

from evenstore.duckdb_session import SessionLimits, open_session
from evenstore.errors import EvenstoreError
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import oldest_valid_us
from evenstore.sql.relation import EVENT_US, build_feature_rows_sql

__all__ = ["count_entities"]


def count_entities(
    source: SourceFiles,
    view: FeatureViewSchema,
    *,
    now_us: int,
    limits: SessionLimits,
    limit_s: float,
) -> int | None:
    """Count the entities that a full load of a view would write.

    Args:
        source: The view's files.
        view: The view.
        now_us: Rows that have expired by then are not loaded, where expired values are withheld.
        limits: Memory and threads.
        limit_s: Longest time to count; 0 for not at all.

    Returns:
        The number, within about 10 %; None where the time was too short or the source cannot be
        read.
    """
    if not view.join_keys:
        return 1
    if limit_s <= 0:
        return None
    ttl_us = view.enforced_ttl_us if view.withholds_expired else None
    since_us = oldest_valid_us(as_of_us=now_us, ttl_us=ttl_us)
    rows_sql = build_feature_rows_sql(
        source,
        view,
        features=(),
        event_range_us=(None if ttl_us is None else since_us, None),
    )
    keys = [duckdb.ColumnExpression(key.name) for key in view.join_keys]
    key_hash = duckdb.FunctionExpression("hash", *keys)
    try:
        with open_session(limits, sources=[source]) as session:
            alarm = threading.Timer(limit_s, session.interrupt)
            alarm.start()
            try:
                valid = session.sql(rows_sql).filter(
                    duckdb.ColumnExpression(EVENT_US) >= duckdb.ConstantExpression(since_us)
                )
                distinct = duckdb.FunctionExpression("approx_count_distinct", key_hash)
                ((n_entities,),) = valid.aggregate([distinct]).fetchall()
            finally:
                alarm.cancel()
                alarm.join()
    except EvenstoreError:
        return None
    return int(n_entities)
