from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from demo.shop.schema import SHOP_SCHEMA
from demo.shop.span import check_span
from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.errors import TransformError
from tests.demo.lines import line

NOW = FrozenClock(datetime_to_us(datetime(2011, 12, 31, tzinfo=UTC)))


def _check(days: Sequence[str], customer: int | None = 1) -> None:
    rows = [line("1", f"{day}T10:00", customer=customer) for day in days]
    check_span(Path("x.csv"), pa.Table.from_pylist(rows, schema=SHOP_SCHEMA), NOW)


def test_a_year_of_lines_is_taken() -> None:
    _check(["2010-12-01", "2011-12-09"])


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (["2011-03-01"], "spans 0 days"),
        (["2011-03-01", "2011-09-01"], "spans 184 days"),
        (["2010-12-01", "2012-01-01"], "2012-01-01"),
        (["0001-01-01", "2011-12-09"], "x.csv"),
        (["1980-01-01", "2011-12-09"], "spans"),
    ],
)
def test_a_span_that_cannot_work_is_refused(days: list[str], message: str) -> None:
    with pytest.raises(TransformError, match=message):
        _check(days)


def test_lines_without_any_customer_are_refused() -> None:
    with pytest.raises(TransformError, match="no line names a customer"):
        _check(["2010-12-01", "2011-12-09"], customer=None)
