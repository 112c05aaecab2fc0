from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.labels.churn import CHURN_SCHEMA, ChurnReport, build_churn_rows, first_night_us
from demo.shop.generator import generate_shop
from evenstore.clock import FrozenClock, datetime_to_us, format_us
from evenstore.errors import TransformError
from tests.demo.labels.builds import LabelBuild, instant_us
from tests.demo.labels.oracle import churn_rows
from tests.demo.labels.shop_lines import INSTANTS, lines_around
from tests.demo.lines import line, write_lines
from tests.support.scale import scaled

FIRST = line("1", "2010-12-01T08:26", customer=9)
NIGHT = datetime(2011, 3, 7, 4, tzinfo=UTC)
# The end of the data at which the first night, and no other, has its 60 days over.
ONE_NIGHT = "2011-05-06T04:00"

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "online_retail.parquet"


@pytest.fixture
def churn(tmp_path: Path) -> LabelBuild[ChurnReport]:
    return LabelBuild(tmp_path, build_churn_rows)


def _labels(rows: list[dict[str, Any]], night: datetime = NIGHT) -> dict[int, bool]:
    chosen = [row for row in rows if row["event_timestamp"] == night]
    return {row["customer_id"]: row["buys_within_60d"] for row in chosen}


@pytest.mark.parametrize(
    ("first_line", "night"),
    [
        ("2010-12-01T08:26", "2011-03-07T04:00:00Z"),
        ("2010-12-07T00:00", "2011-03-07T04:00:00Z"),  # 90 whole days before a Monday's midnight
        ("2010-12-07T00:01", "2011-03-14T04:00:00Z"),
        ("2010-12-07T04:00", "2011-03-14T04:00:00Z"),  # the windows end at midnight, not at 04:00
        ("2010-12-06T23:59", "2011-03-07T04:00:00Z"),
    ],
)
def test_the_first_night_is_a_monday_with_whole_windows(first_line: str, night: str) -> None:
    assert format_us(first_night_us(instant_us(first_line))) == night


@given(st.integers(0, 4_000_000_000_000_000))
def test_no_monday_before_the_first_night_has_whole_windows(first_line_us: int) -> None:
    day_us = 86_400_000_000
    night_us = first_night_us(first_line_us)
    window_us = night_us - 4 * 3_600_000_000 - 90 * day_us
    assert first_line_us <= window_us < first_line_us + 7 * day_us
    assert (night_us // day_us + 3) % 7 == 0  # the epoch is a Thursday


def test_a_customer_is_one_row_each_monday_with_the_60_days_over(
    churn: LabelBuild[ChurnReport],
) -> None:
    lines = [FIRST, line("2", "2011-03-10T10:00", customer=2)]
    report, rows = churn.run(lines, "2011-05-13T04:00")
    assert rows[0] == {
        "customer_id": 9,
        "event_timestamp": NIGHT,
        "buys_within_60d": False,
        "label_timestamp": datetime(2011, 5, 6, 4, tzinfo=UTC),
    }
    keys = [(row["event_timestamp"].day, row["customer_id"]) for row in rows]
    assert keys == [(7, 9), (14, 2), (14, 9)]
    assert (report.n_rows, report.n_nights, report.n_positive, report.positive_rate) == (3, 2, 0, 0)
    # Eight more Mondays up to May 13, of two customers.
    assert report.n_censored == 16


@pytest.mark.parametrize(
    ("sale", "expected"),
    [
        ("2011-03-07T03:59", False),
        ("2011-03-07T04:00", False),
        ("2011-03-07T04:01", True),
        ("2011-05-06T04:00", True),  # exactly 60 days
        ("2011-05-06T04:01", False),
    ],
)
def test_the_label_counts_sales_after_the_night_up_to_60_days(
    churn: LabelBuild[ChurnReport], sale: str, *, expected: bool
) -> None:
    _, rows = churn.run([FIRST, line("2", sale, customer=9)])
    assert _labels(rows) == {9: expected}


@pytest.mark.parametrize(
    ("sale", "is_known"),
    [("2011-03-07T03:59", True), ("2011-03-07T04:00", False), ("2011-03-07T04:01", False)],
)
def test_a_customer_is_known_from_after_the_first_sale(
    churn: LabelBuild[ChurnReport], sale: str, *, is_known: bool
) -> None:
    _, rows = churn.run([FIRST, line("2", sale, customer=2)])
    assert (2 in _labels(rows)) is is_known


@pytest.mark.parametrize(
    "other",
    [
        line("C2", "2011-03-10T10:00", customer=9, quantity=-1),
        line("2", "2011-03-10T10:00", customer=2),
        line("2", "2011-03-10T10:00", customer=9, price=0.0),
        line("2", "2011-03-10T10:00", customer=9, code="POST"),
        line("2", "2011-03-10T10:00", customer=9, quantity=-5),
        line("2", "2011-03-10T10:00", customer=None),
    ],
)
def test_only_a_sale_to_the_customer_is_buying(
    churn: LabelBuild[ChurnReport], other: dict[str, Any]
) -> None:
    _, rows = churn.run([FIRST, other], ONE_NIGHT)
    assert _labels(rows) == {9: False}


def test_a_customer_who_only_ever_cancelled_has_no_row(churn: LabelBuild[ChurnReport]) -> None:
    _, rows = churn.run([FIRST, line("C2", "2011-01-10T10:00", customer=2, quantity=-1)])
    assert {row["customer_id"] for row in rows} == {9}


@pytest.mark.parametrize(
    ("data_end", "n_rows", "n_censored"),
    [(ONE_NIGHT, 1, 8), ("2011-05-13T03:59", 1, 9), ("2011-05-13T04:00", 2, 8)],
)
def test_rows_whose_60_days_are_not_over_are_censored_and_counted(
    churn: LabelBuild[ChurnReport], data_end: str, n_rows: int, n_censored: int
) -> None:
    report, rows = churn.run([FIRST], data_end)
    assert (report.n_rows, report.n_censored, len(rows)) == (n_rows, n_censored, n_rows)


def test_lines_after_the_end_of_the_data_are_not_looked_at(
    churn: LabelBuild[ChurnReport],
) -> None:
    late = line("2", "2011-05-06T04:01", customer=None)
    report, _ = churn.run([FIRST, late], ONE_NIGHT)
    assert (report.n_lines, report.n_lines_without_customer) == (1, 0)
    report, _ = churn.run([FIRST, late], "2011-05-06T04:01")
    assert (report.n_lines, report.share_without_customer) == (2, 0.5)


@pytest.mark.parametrize("data_end", ["2011-05-06T03:59", "2011-01-01T00:00"])
def test_a_result_without_rows_is_refused(churn: LabelBuild[ChurnReport], data_end: str) -> None:
    with pytest.raises(TransformError, match="from 2011-03-07T04:00:00Z on has its 60 days over"):
        churn.run([FIRST], data_end)
    assert not churn.out.exists()


def test_data_that_end_in_the_future_are_refused(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines.parquet", [FIRST])
    out, now_us = tmp_path / "rows.parquet", instant_us("2011-06-01")
    with pytest.raises(TransformError, match="still to come"):
        build_churn_rows(lines, out, data_end_us=now_us + 1, clock=FrozenClock(now_us))
    assert not out.exists()


def test_the_same_lines_give_the_same_bytes_in_the_schema(
    churn: LabelBuild[ChurnReport],
) -> None:
    lines = [line(str(i), f"2011-01-{i:02}T10:00", customer=i % 5) for i in range(1, 29)]
    churn.run(lines)
    first = churn.out.read_bytes()
    churn.run(list(reversed(lines)))
    assert churn.out.read_bytes() == first
    assert pq.read_schema(churn.out) == CHURN_SCHEMA


@pytest.mark.slow
def test_rows_equal_the_oracle_on_a_dirty_shop_and_the_report_adds_up(tmp_path: Path) -> None:
    path, out = tmp_path / "lines.parquet", tmp_path / "rows.parquet"
    end = datetime(2011, 12, 10, tzinfo=UTC)
    end_us = datetime_to_us(end)
    shop = generate_shop(path, end_us=end_us, n_customers=30, n_lines=2_000, seed=5)
    report = build_churn_rows(path, out, data_end_us=end_us, clock=FrozenClock(end_us))
    first = datetime.fromisoformat(format_us(first_night_us(shop.first_us))).replace(tzinfo=None)
    nights = [first + timedelta(days=7 * i) for i in range(60)]
    lines = pq.read_table(path).to_pylist()
    rows = pq.read_table(out).to_pylist()
    assert rows == churn_rows(lines, nights, end.replace(tzinfo=None))
    assert report.n_rows == len(rows) > 300
    assert report.n_positive == sum(row["buys_within_60d"] for row in rows)
    assert report.n_lines_without_customer == sum(row["CustomerID"] is None for row in lines)
    assert sum(month.n_rows for month in report.months) == report.n_rows
    assert sum(month.n_positive for month in report.months) == report.n_positive
    periods = [night.period for night in report.nights]
    assert periods == sorted({format_us(datetime_to_us(row["event_timestamp"])) for row in rows})


@pytest.mark.slow
@settings(max_examples=scaled(6, 300))
@given(
    lines=lines_around(),
    others=lines_around(),
    cut=st.sampled_from(INSTANTS),
)
def test_a_label_depends_on_the_lines_of_its_60_days_alone(
    churn: LabelBuild[ChurnReport],
    lines: list[dict[str, Any]],
    others: list[dict[str, Any]],
    cut: datetime,
) -> None:
    def spliced(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
        early = [row for row in before if row["InvoiceDate"] <= cut]
        return early + [row for row in after if row["InvoiceDate"] > cut]

    def labels(given_lines: list[dict[str, Any]]) -> dict[tuple[int, datetime], bool]:
        _, rows = churn.run(given_lines, "2011-09-01T00:00")
        return {
            (row["customer_id"], row["event_timestamp"]): row["buys_within_60d"] for row in rows
        }

    at = cut.replace(tzinfo=UTC)
    plain = labels(lines)
    other_past, other_future = labels(spliced(others, lines)), labels(spliced(lines, others))
    # Lines at or before the night decide who has a row, never what its label is.
    common = [key for key in plain.keys() & other_past.keys() if key[1] >= at]
    assert [key for key in common if plain[key] != other_past[key]] == []
    # Lines after the label timestamp change nothing at all.
    known = at - timedelta(days=60)
    assert {key: label for key, label in plain.items() if key[1] <= known} == {
        key: label for key, label in other_future.items() if key[1] <= known
    }


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason="the Online Retail file is not here")
def test_the_real_set_gives_the_known_counts(tmp_path: Path) -> None:
    end_us = instant_us("2011-12-09T12:50")
    out = tmp_path / "rows.parquet"
    report = build_churn_rows(REAL, out, data_end_us=end_us, clock=FrozenClock(end_us))
    assert (report.n_rows, report.n_censored, report.n_positive) == (90_400, 32_559, 39_231)
    assert (report.n_nights, report.n_lines_without_customer) == (32, 135_080)
    assert [round(month.positive_rate, 3) for month in report.months] == [
        0.462,
        0.447,
        0.435,
        0.396,
        0.386,
        0.426,
        0.467,
        0.481,
    ]
