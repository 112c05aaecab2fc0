from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings

from demo.labels.product_lines import (
    ProductLines,
    naive_utc,
    open_product_lines,
    refuse_future_end,
)
from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.errors import TransformError
from tests.demo.labels.oracle import product_lines
from tests.demo.labels.shop_lines import lines_around
from tests.demo.lines import line, write_lines
from tests.support.scale import scaled

NOON_US = datetime_to_us(datetime(2011, 6, 1, 12, tzinfo=UTC))


def _kinds(lines: ProductLines) -> list[tuple[str, str, int]]:
    sql = "select invoice_no, stock_code, quantity from product_lines order by all"
    return list(lines.connection.sql(sql).fetchall())


def test_sales_and_cancellations_are_told_from_dirt(tmp_path: Path) -> None:
    when = "2011-06-01T12:00"
    lines = [
        line("1", when, code=" 85123a"),
        line("1", when, code=" 85123a"),  # an exact duplicate
        line("1", when, code="85123A"),  # in capitals the same line again
        line("1", when, code="85123A", description=None),
        line("C2", when, quantity=-1),
        line("C3", when, quantity=1),
        line("C4", when, quantity=-1, price=0.0),
        line("5", when, quantity=-1),
        line("6", when, price=0.0),
        line("7", when, code="POST"),
        line("8", when, code="1234"),
        line("9", when, customer=None),
        line("10", "2011-06-01T12:01"),
    ]
    path = write_lines(tmp_path / "lines.parquet", lines)
    with open_product_lines(path, data_end_us=NOON_US) as opened:
        assert _kinds(opened) == [("1", "85123A", 1), ("1", "85123A", 1), ("C2", "10001", -1)]
        assert (opened.counts.n_lines, opened.counts.n_without_customer) == (12, 1)
        assert opened.counts.first_us == opened.counts.last_us == NOON_US
    with open_product_lines(path) as opened:
        assert ("10", "10001", 1) in _kinds(opened)
        assert opened.counts.last_us == NOON_US + 60_000_000


@settings(max_examples=scaled(10, 200))
@given(lines=lines_around())
def test_the_chosen_lines_equal_the_oracle(tmp_path: Path, lines: list[dict[str, object]]) -> None:
    path = write_lines(tmp_path / "lines.parquet", lines)
    expected = [
        (row["InvoiceNo"], row["StockCode"], row["Quantity"])
        for kind in product_lines(lines, datetime.fromisoformat("2011-06-01T12:00"))
        for row in kind
    ]
    with open_product_lines(path, data_end_us=NOON_US) as opened:
        assert _kinds(opened) == sorted(expected)


def test_no_file_and_no_lines_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(TransformError, match="no invoice lines"),
        open_product_lines(tmp_path / "absent.parquet"),
    ):
        pass
    path = write_lines(tmp_path / "lines.parquet", [line("1", "2011-06-01T12:01")])
    with (
        pytest.raises(TransformError, match="no lines up to 2011-06-01T12:00:00Z"),
        open_product_lines(path, data_end_us=NOON_US),
    ):
        pass
    empty = write_lines(tmp_path / "empty.parquet", [])
    with pytest.raises(TransformError, match=r"has no lines\n"), open_product_lines(empty):
        pass


def test_data_cannot_end_after_now() -> None:
    refuse_future_end(NOON_US, FrozenClock(NOON_US))
    with pytest.raises(TransformError, match="still to come"):
        refuse_future_end(NOON_US + 1, FrozenClock(NOON_US))


def test_instants_are_written_as_the_lines_hold_them() -> None:
    assert naive_utc(NOON_US) == "2011-06-01T12:00:00"
