from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evenstore.errors import TransformError
from evenstore.transform.feature_sql import FeatureSql
from evenstore.transform.rows import shape_days
from evenstore.transform.window import US_PER_DAY, day_start_us
from tests.evenstore.transform.runs import COUNT_SQL, write_sql

DAYS = [date(2011, 3, 7), date(2011, 3, 8)]
END_US = day_start_us(date(2011, 3, 9))


@pytest.fixture
def sql(tmp_path: Path) -> FeatureSql:
    return write_sql(tmp_path / "a.sql", COUNT_SQL)


def _result(**columns: pa.Array) -> pa.Table:
    ends = pa.array([END_US, END_US - US_PER_DAY], pa.timestamp("us"))
    defaults: dict[str, Any] = {"customer_id": pa.array([1, 1]), "window_end": ends}
    return pa.table(defaults | columns)


def test_rows_are_stamped_with_window_end_and_delay_and_cut_by_day(sql: FeatureSql) -> None:
    shaped = shape_days(sql, _result(n=pa.array([5, 6])), DAYS, usable_end_us=END_US)
    stamp = datetime(2011, 3, 8, 2, tzinfo=UTC)
    assert shaped[DAYS[0]].to_pylist() == [
        {"customer_id": 1, "event_timestamp": stamp, "created": stamp, "n": 6}
    ]
    assert shaped[DAYS[1]]["n"].to_pylist() == [5]


def test_windows_that_may_not_be_used_yet_are_left_out(sql: FeatureSql) -> None:
    shaped = shape_days(sql, _result(), DAYS, usable_end_us=END_US - 1)
    assert [shaped[day].num_rows for day in DAYS] == [1, 0]


def test_timestamps_are_utc_also_in_lists(sql: FeatureSql) -> None:
    instants = pa.array([[0], [1]], pa.list_(pa.timestamp("us")))
    result = _result(at=instants, last=pa.array([0, 1], pa.timestamp("s")))
    schema = shape_days(sql, result, DAYS, usable_end_us=END_US)[DAYS[0]].schema
    assert schema.field("at").type == pa.list_(pa.timestamp("us", tz="UTC"))
    assert schema.field("last").type == pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (_result().drop_columns(["customer_id"]), "the SQL gives no column `customer_id`"),
        (_result().drop_columns(["window_end"]), "the SQL gives no column `window_end`"),
        (_result(event_timestamp=pa.array([1, 2])), "the SQL gives `event_timestamp`"),
        (_result(day=pa.array([1, 2])), "the SQL gives `day`"),
        (_result().append_column("customer_id", pa.array([1, 2])), "the same name twice"),
        (_result(window_end=pa.array([1, 2])), "`window_end` is int64"),
        (_result(n=pa.array([1, 2], pa.decimal128(38, 4))), "`n` is decimal128(38, 4)"),
        (_result(n=pa.array([[[1]], [[2]]])), "`n` is list<"),
        (_result(customer_id=pa.array([1, None])), "`customer_id` is null in 1 rows"),
        (
            _result(window_end=pa.array([END_US, END_US], pa.timestamp("us"))),
            "two rows for customer_id 1 at the window that ends 2011-03-09",
        ),
        (
            _result(window_end=pa.array([END_US, END_US - 1], pa.timestamp("us"))),
            "a window ends at 2011-03-08T23:59:59.999999Z",
        ),
        (
            _result(window_end=pa.array([END_US, END_US - 2 * US_PER_DAY], pa.timestamp("us"))),
            "which is not the end of a day of 2011-03-07 to 2011-03-08",
        ),
    ],
)
def test_a_result_that_is_no_feature_table_is_refused(
    sql: FeatureSql, result: pa.Table, message: str
) -> None:
    with pytest.raises(TransformError) as raised:
        shape_days(sql, result, DAYS, usable_end_us=END_US)
    assert message in raised.value.message
    assert raised.value.hint
