from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demo.labels.checkouts import CHECKOUT_SCHEMA, CheckoutReport, build_checkouts
from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.errors import TransformError
from tests.demo.lines import line, write_lines


def _us(when: str) -> int:
    return datetime_to_us(datetime.fromisoformat(when).replace(tzinfo=UTC))


def _build(
    tmp_path: Path, lines: list[dict[str, Any]], data_end: str = "2011-12-01T00:00"
) -> tuple[CheckoutReport, list[dict[str, Any]]]:
    out = tmp_path / "out" / "checkouts.parquet"
    end_us = _us(data_end)
    report = build_checkouts(
        write_lines(tmp_path / "lines.parquet", lines),
        out,
        data_end_us=end_us,
        clock=FrozenClock(end_us),
    )
    return report, pq.read_table(out).to_pylist()


def test_a_checkout_is_one_row_with_its_basket_and_its_greatest_line(tmp_path: Path) -> None:
    lines = [
        line("1", "2011-01-04T10:00", code="10001", quantity=2, price=1.1),
        line("1", "2011-01-04T10:00", code="85123a", quantity=3, price=2.0),
        line("1", "2011-01-04T10:00", code="POST", price=18.0),
        line("1", "2011-01-04T10:00", code="10003", price=0.0),
    ]
    report, rows = _build(tmp_path, lines)
    assert rows == [
        {
            "customer_id": 1,
            "stock_code": "85123A",
            "event_timestamp": datetime(2011, 1, 4, 10, tzinfo=UTC),
            "basket_value": 8.2,
            "buys_again_60d": False,
            "label_timestamp": datetime(2011, 3, 5, 10, tzinfo=UTC),
        }
    ]
    assert (report.n_rows, report.n_censored, report.positive_rate) == (1, 0, 0.0)


@pytest.mark.parametrize(
    ("next_purchase", "expected"),
    [
        ("2011-03-05T10:00", True),  # exactly 60 days
        ("2011-03-05T10:01", False),
        ("2011-01-04T10:01", True),
        ("2011-01-04T10:00", False),  # the same minute is the same visit
    ],
)
def test_the_label_counts_purchases_after_the_row_up_to_sixty_days(
    tmp_path: Path, next_purchase: str, *, expected: bool
) -> None:
    lines = [line("1", "2011-01-04T10:00"), line("2", next_purchase)]
    _, rows = _build(tmp_path, lines)
    assert rows[0]["buys_again_60d"] is expected


@pytest.mark.parametrize(
    "other",
    [
        line("C2", "2011-01-10T10:00", quantity=-1),
        line("2", "2011-01-10T10:00", customer=2),
        line("2", "2011-01-10T10:00", price=0.0),
        line("2", "2011-01-10T10:00", code="POST"),
        line("2", "2011-01-10T10:00", quantity=-5),
    ],
)
def test_only_a_sale_to_the_same_customer_is_buying_again(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    _, rows = _build(tmp_path, [line("1", "2011-01-04T10:00"), other])
    assert [row["buys_again_60d"] for row in rows if row["customer_id"] == 1] == [False]


@pytest.mark.parametrize(
    ("data_end", "n_rows", "n_censored"),
    [("2011-03-05T10:00", 1, 1), ("2011-03-06T09:59", 1, 1), ("2011-03-06T10:00", 2, 0)],
)
def test_a_row_whose_sixty_days_are_not_over_is_censored_and_counted(
    tmp_path: Path, data_end: str, n_rows: int, n_censored: int
) -> None:
    lines = [line("1", "2011-01-04T10:00"), line("2", "2011-01-05T10:00", customer=2)]
    report, rows = _build(tmp_path, lines, data_end)
    assert (report.n_rows, report.n_censored) == (n_rows, n_censored)
    assert len(rows) == n_rows


def test_lines_after_the_end_of_the_data_are_not_looked_at(tmp_path: Path) -> None:
    lines = [line("1", "2011-01-04T10:00"), line("2", "2011-03-05T09:00")]
    report, rows = _build(tmp_path, lines, "2011-03-05T10:00")
    assert rows[0]["buys_again_60d"] is True
    assert report.n_censored == 1
    with pytest.raises(TransformError, match="none of 1 checkouts"):
        _build(tmp_path, lines, "2011-03-05T08:00")


def test_exact_duplicates_count_once_and_lines_without_customer_not(tmp_path: Path) -> None:
    lines = [
        line("1", "2011-01-04T10:00", quantity=2, price=1.5),
        line("1", "2011-01-04T10:00", quantity=2, price=1.5),
        line("2", "2011-01-04T11:00", customer=None),
    ]
    _, rows = _build(tmp_path, lines)
    assert [row["basket_value"] for row in rows] == [3.0]


def test_an_invoice_of_two_minutes_stands_at_its_first(tmp_path: Path) -> None:
    lines = [line("1", "2011-01-04T10:01"), line("1", "2011-01-04T10:00", code="10002")]
    _, rows = _build(tmp_path, lines)
    assert [row["event_timestamp"].minute for row in rows] == [0]
    assert rows[0]["buys_again_60d"] is False


def test_the_same_lines_give_the_same_bytes_in_the_schema(tmp_path: Path) -> None:
    lines = [line(str(i), f"2011-01-{i:02}T10:00", customer=i % 3) for i in range(1, 29)]
    _build(tmp_path, lines)
    out = tmp_path / "out" / "checkouts.parquet"
    first = out.read_bytes()
    _build(tmp_path, list(reversed(lines)))
    assert out.read_bytes() == first
    assert pq.read_schema(out) == CHECKOUT_SCHEMA


def test_data_that_end_in_the_future_are_refused(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines.parquet", [line("1", "2011-01-04T10:00")])
    out = tmp_path / "checkouts.parquet"
    now_us = _us("2011-06-01")
    with pytest.raises(TransformError, match="still to come"):
        build_checkouts(lines, out, data_end_us=now_us + 1, clock=FrozenClock(now_us))
    assert not out.exists()


def test_missing_lines_are_refused(tmp_path: Path) -> None:
    now_us = _us("2011-06-01")
    with pytest.raises(TransformError, match="no invoice lines"):
        build_checkouts(
            tmp_path / "absent.parquet",
            tmp_path / "out.parquet",
            data_end_us=now_us,
            clock=FrozenClock(now_us),
        )
