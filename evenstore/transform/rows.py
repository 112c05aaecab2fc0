"""From what the SQL gave to rows of a feature table: checked, stamped, sorted, cut by day.

The event timestamp of a row is the exclusive end of its window plus the publication delay, and
nothing else: the instant from which the row could have been used. Its created timestamp is that of
a run on time, the same instant, until an incident says otherwise. Windows that are not over, or
whose delay is not over, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.clock import format_us
from evenstore.dtypes import Dtype
from evenstore.errors import TransformError
from evenstore.schema.arrow import arrow_type
from evenstore.transform.feature_sql import FeatureSql
from evenstore.transform.incidents import Outage
from evenstore.transform.window import US_PER_DAY, day_start_us

__all__ = [
    "CREATED_COLUMN",
    "EVENT_COLUMN",
    "created_at_least",
    "created_by",
    "join_windows",
    "publish_after",
    "shape_days",
]

EVENT_COLUMN = "event_timestamp"
CREATED_COLUMN = "created"

_WINDOW_COLUMN = "window_end"
_RESERVED = frozenset({EVENT_COLUMN, CREATED_COLUMN, "day"})
_INSTANT = pa.timestamp("us", tz="UTC")
_KEPT_TYPES = frozenset(arrow_type(dtype) for dtype in Dtype)


def shape_days(
    sql: FeatureSql, result: pa.Table, days: Sequence[date], *, usable_end_us: int
) -> Mapping[date, pa.Table]:
    """Turn the result of the SQL into one table for each day.

    Args:
        sql: Says which columns are keys, and the delay.
        result: Columns as the SQL gave them, in any order of rows.
        days: The consecutive days asked for.
        usable_end_us: The latest window end that may be published.

    Returns:
        A table for every day, an empty one included, sorted by join keys, then event timestamp.

    Shapes:
        Columns: join keys, `event_timestamp`, `created`, then features in the order of the SQL.

    Raises:
        TransformError: A column is missing, reserved or of a type that evenstore does not keep, a
            join key or window end is null or repeated, or a window ends off the grain or outside
            the days asked for.
    """
    _check_columns(sql, result.schema)
    windows = _with_utc_instants(result)
    _check_no_nulls(sql, windows)
    windows = windows.filter(
        pc.less_equal(windows[_WINDOW_COLUMN], pa.scalar(usable_end_us, _INSTANT))
    )
    windows = windows.sort_by(
        [(name, "ascending") for name in (*sql.join_keys, _WINDOW_COLUMN)]
    ).combine_chunks()
    end_us = windows[_WINDOW_COLUMN].cast(pa.int64()).to_numpy()
    _check_windows(sql, end_us, days)
    _check_unique(sql, windows)
    stamped = _stamp(sql, windows, end_us)
    day_of_row = (end_us - 1) // US_PER_DAY
    first = day_start_us(days[0]) // US_PER_DAY
    return {
        day: stamped.filter(pa.array(day_of_row == first + i)).combine_chunks()
        for i, day in enumerate(days)
    }


def created_at_least(rows: pa.Table, created_us: int) -> pa.Table:
    """Return rows whose created timestamps are not before an instant."""
    earliest = pa.scalar(created_us, _INSTANT)
    created = pc.if_else(pc.less(rows[CREATED_COLUMN], earliest), earliest, rows[CREATED_COLUMN])
    return _with_created(rows, created)


def publish_after(rows: pa.Table, outages: Sequence[Outage]) -> pa.Table:
    """Return rows that were due in an outage as created at its end."""
    for outage in outages:
        since, until = (pa.scalar(us, _INSTANT) for us in (outage.since_us, outage.until_us))
        created = rows[CREATED_COLUMN]
        is_due = pc.and_(pc.greater_equal(created, since), pc.less(created, until))
        rows = _with_created(rows, pc.if_else(is_due, until, created))
    return rows


def created_by(rows: pa.Table, now_us: int) -> pa.Table:
    """Return the rows that have been created by now."""
    return rows.filter(pc.less_equal(rows[CREATED_COLUMN], pa.scalar(now_us, _INSTANT)))


def _with_created(rows: pa.Table, created: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(CREATED_COLUMN), CREATED_COLUMN, created)


def join_windows(sql: FeatureSql, *parts: pa.Table) -> pa.Table:
    """Return the rows of several tables of one day as one, sorted as `shape_days` does."""
    keys = [(name, "ascending") for name in (*sql.join_keys, EVENT_COLUMN)]
    return pa.concat_tables(parts).sort_by(keys).combine_chunks()


def _check_columns(sql: FeatureSql, schema: pa.Schema) -> None:
    missing = [name for name in (*sql.join_keys, _WINDOW_COLUMN) if name not in schema.names]
    if missing:
        msg = f"{sql.name}: the SQL gives no column " + ", ".join(f"`{name}`" for name in missing)
        raise TransformError(msg, hint="columns are " + ", ".join(schema.names))
    reserved = sorted(_RESERVED & set(schema.names))
    if reserved or len(set(schema.names)) < len(schema.names):
        names = ", ".join(f"`{name}`" for name in reserved) or "the same name twice"
        msg = f"{sql.name}: the SQL gives {names}"
        raise TransformError(msg, hint="rename the column; timestamps are made from `window_end`")
    if not pa.types.is_timestamp(schema.field(_WINDOW_COLUMN).type):
        msg = f"{sql.name}: `window_end` is {schema.field(_WINDOW_COLUMN).type}"
        raise TransformError(msg, hint="cast it to timestamp in the SQL")
    for field in schema:
        if not _is_kept(field.type):
            msg = f"{sql.name}: column `{field.name}` is {field.type}, which evenstore cannot keep"
            raise TransformError(
                msg, hint="cast it in the SQL, for example to bigint, double or varchar"
            )


def _is_kept(source: Any) -> bool:
    if pa.types.is_list(source):
        return _is_kept(source.value_type) and not pa.types.is_list(source.value_type)
    return pa.types.is_timestamp(source) or source in _KEPT_TYPES


def _with_utc_instants(result: pa.Table) -> pa.Table:
    fields = [
        pa.field(field.name, _utc(field.type) if field.name != _WINDOW_COLUMN else _INSTANT)
        for field in result.schema
    ]
    return result.cast(pa.schema(fields))


def _utc(source: Any) -> Any:
    if pa.types.is_list(source):
        return pa.list_(_utc(source.value_type))
    return _INSTANT if pa.types.is_timestamp(source) else source


def _check_no_nulls(sql: FeatureSql, windows: pa.Table) -> None:
    for name in (*sql.join_keys, _WINDOW_COLUMN):
        if windows[name].null_count:
            msg = f"{sql.name}: `{name}` is null in {windows[name].null_count} rows"
            raise TransformError(msg, hint="leave those rows out in the SQL, and say so there")


def _check_windows(sql: FeatureSql, end_us: np.ndarray[Any, Any], days: Sequence[date]) -> None:
    first_us, last_us = day_start_us(days[0]), day_start_us(days[-1]) + US_PER_DAY
    is_wrong = (end_us <= first_us) | (end_us > last_us) | (end_us % sql.grain.length_us != 0)
    if is_wrong.any():
        wrong = format_us(int(end_us[is_wrong][0]))
        msg = (
            f"{sql.name}: a window ends at {wrong}, which is not the end of "
            f"{_article(sql.grain.value)} of {days[0]} to {days[-1]}"
        )
        raise TransformError(
            msg, hint="`window_end` is exclusive: the window of a day ends at the next midnight"
        )


def _article(noun: str) -> str:
    return f"an {noun}" if noun.startswith("h") else f"a {noun}"


def _check_unique(sql: FeatureSql, windows: pa.Table) -> None:
    is_repeated = np.ones(max(windows.num_rows - 1, 0), dtype=bool)
    for name in (*sql.join_keys, _WINDOW_COLUMN):
        column = windows[name]
        is_repeated &= pc.equal(column[1:], column[:-1]).to_numpy()
    if is_repeated.any():
        row = windows.slice(int(is_repeated.argmax()), 1).to_pylist()[0]
        key = ", ".join(f"{name} {row[name]!r}" for name in sql.join_keys)
        msg = f"{sql.name}: two rows for {key} at the window that ends {row[_WINDOW_COLUMN]}"
        raise TransformError(msg, hint="group by the join keys and the window in the SQL")


def _stamp(sql: FeatureSql, windows: pa.Table, end_us: np.ndarray[Any, Any]) -> pa.Table:
    stamps = pa.array(end_us + sql.delay_us, type=pa.int64()).cast(_INSTANT)
    features = [
        name for name in windows.column_names if name not in {*sql.join_keys, _WINDOW_COLUMN}
    ]
    columns = {name: windows[name] for name in sql.join_keys}
    columns |= {EVENT_COLUMN: stamps, CREATED_COLUMN: stamps}
    return pa.table(columns | {name: windows[name] for name in features})
