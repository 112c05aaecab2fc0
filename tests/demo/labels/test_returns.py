from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.labels.returns import RETURNS_SCHEMA, ReturnsReport, build_returns_rows
from demo.shop.generator import generate_shop
from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.errors import TransformError
from tests.demo.labels.builds import LabelBuild, instant_us
from tests.demo.labels.oracle import returns_rows
from tests.demo.labels.shop_lines import INSTANTS, lines_around
from tests.demo.lines import line, write_lines
from tests.support.scale import scaled

SALE = line("1", "2011-01-04T10:00", quantity=5)
END = "2011-09-01T00:00"

REAL = Path(__file__).parents[3].parent / "shared" / "data" / "online_retail.parquet"


@pytest.fixture
def returns(tmp_path: Path) -> LabelBuild[ReturnsReport]:
    return LabelBuild(tmp_path, build_returns_rows)


def _back(when: str, quantity: int = -1, **changes: Any) -> dict[str, Any]:
    return line("C9", when, quantity=quantity, **changes)


def _labels(rows: list[dict[str, Any]]) -> list[bool]:
    return [row["returned_within_60d"] for row in rows]


def _keys(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = [name for name in RETURNS_SCHEMA.names if name != "returned_within_60d"]
    return sorted(tuple(row[name] for name in [*names, "returned_within_60d"]) for row in rows)


def test_lines_of_one_product_on_an_invoice_are_one_row(
    returns: LabelBuild[ReturnsReport],
) -> None:
    lines = [
        line("1", "2011-01-04T10:01", code="85123a", quantity=2, price=1.0),
        line("1", "2011-01-04T10:00", code="85123A", quantity=1, price=1.1),
        line("1", "2011-01-04T10:00", code="10001", quantity=6, price=2.55),
        line("1", "2011-01-04T10:00", code="POST", price=18.0),
        line("1", "2011-01-04T10:00", code="10003", price=0.0),
    ]
    report, rows = returns.run(lines)
    row = {
        "customer_id": 1,
        "event_timestamp": datetime(2011, 1, 4, 10, tzinfo=UTC),
        "basket_value": 18.4,
        "returned_within_60d": False,
        "label_timestamp": datetime(2011, 3, 5, 10, tzinfo=UTC),
    }
    assert rows == [
        {**row, "stock_code": "10001", "quantity": 6, "unit_price": 2.55},
        # 3.10 for three: 1.0333 as a price has four decimals.
        {**row, "stock_code": "85123A", "quantity": 3, "unit_price": 1.0333},
    ]
    assert (report.n_rows, report.n_censored, report.positive_rate) == (2, 0, 0.0)


@pytest.mark.parametrize(
    ("prices", "unit_price"),
    [
        ((0.0001, 0.0002), 0.0002),  # a half goes up
        ((0.001, 0.001), 0.001),
        ((2.1, 2.1), 2.1),
        ((649.5, 649.49), 649.495),
    ],
)
def test_the_unit_price_is_divided_as_a_decimal(
    returns: LabelBuild[ReturnsReport], prices: tuple[float, float], unit_price: float
) -> None:
    lines = [
        line("1", "2011-01-04T10:00", price=price, description=str(i))
        for i, price in enumerate(prices)
    ]
    _, rows = returns.run(lines)
    assert [row["unit_price"] for row in rows] == [unit_price]


def test_an_invoice_number_of_two_customers_is_two_baskets(
    returns: LabelBuild[ReturnsReport],
) -> None:
    lines = [SALE, line("1", "2011-01-04T10:00", customer=2, price=7.0)]
    _, rows = returns.run(lines)
    assert [row["basket_value"] for row in rows] == [12.5, 7.0]


@pytest.mark.parametrize(
    ("cancelled", "expected", "n_late", "n_same_minute", "n_unmatched"),
    [
        ("2011-01-04T09:59", False, 0, 0, 1),
        ("2011-01-04T10:00", False, 0, 1, 0),  # takes from the sale, but is no later return
        ("2011-01-04T10:01", True, 0, 0, 0),
        ("2011-03-05T10:00", True, 0, 0, 0),  # exactly 60 days
        ("2011-03-05T10:01", False, 1, 0, 0),
    ],
)
def test_the_label_counts_cancellations_after_the_row_up_to_60_days(
    returns: LabelBuild[ReturnsReport],
    cancelled: str,
    *,
    expected: bool,
    n_late: int,
    n_same_minute: int,
    n_unmatched: int,
) -> None:
    report, rows = returns.run([SALE, _back(cancelled)])
    assert _labels(rows) == [expected]
    assert (report.n_positive, report.n_late, report.n_returned_late) == (expected, n_late, n_late)
    assert (report.n_same_minute, report.n_unmatched) == (n_same_minute, n_unmatched)


@pytest.mark.parametrize(
    "other",
    [
        _back("2011-01-10T10:00", customer=2),
        _back("2011-01-10T10:00", customer=None),
        _back("2011-01-10T10:00", code="10002"),
        _back("2011-01-10T10:00", code="POST"),
        _back("2011-01-10T10:00", price=0.0),
        _back("2011-01-10T10:00", quantity=1),
        line("2", "2011-01-10T10:00", quantity=-1),
    ],
)
def test_only_a_cancellation_of_the_customer_and_product_is_a_return(
    returns: LabelBuild[ReturnsReport], other: dict[str, Any]
) -> None:
    _, rows = returns.run([SALE, other])
    assert _labels(rows) == [False]


def test_a_lower_case_code_is_the_same_product(returns: LabelBuild[ReturnsReport]) -> None:
    lines = [
        line("1", "2011-01-04T10:00", code="85123A"),
        _back("2011-01-05T10:00", code=" 85123a"),
    ]
    _, rows = returns.run(lines)
    assert _labels(rows) == [True]


@pytest.mark.parametrize(
    ("n_back", "labels", "n_partly", "n_units_unmatched"),
    [(2, [False, True], 0, 0), (3, [True, True], 0, 0), (8, [True, True], 1, 1)],
)
def test_a_cancellation_goes_from_the_nearest_sale_to_the_next(
    returns: LabelBuild[ReturnsReport],
    n_back: int,
    labels: list[bool],
    n_partly: int,
    n_units_unmatched: int,
) -> None:
    nearest = line("2", "2011-01-05T10:00", quantity=2)
    report, rows = returns.run([SALE, nearest, _back("2011-01-06T10:00", -n_back)])
    assert _labels(rows) == labels
    assert (report.n_ambiguous, report.n_partly_unmatched) == (1, n_partly)
    assert (report.n_cancellations, report.n_matched) == (1, 1 - n_partly)
    assert (report.n_units_cancelled, report.n_units_unmatched) == (n_back, n_units_unmatched)


def test_of_two_sales_at_one_minute_the_greater_number_is_the_nearer(
    returns: LabelBuild[ReturnsReport],
) -> None:
    lines = [
        line("10", "2011-01-04T10:00", quantity=3),
        line("9", "2011-01-04T10:00", quantity=7),
        _back("2011-01-05T10:00"),
    ]
    _, rows = returns.run(lines)
    assert [(row["quantity"], row["returned_within_60d"]) for row in rows] == [
        (7, False),
        (3, True),
    ]


def test_at_one_minute_a_sale_is_the_earlier_whatever_its_number(
    returns: LabelBuild[ReturnsReport],
) -> None:
    report, _ = returns.run([{**SALE, "InvoiceNo": "100"}, _back("2011-01-04T10:00")])
    assert (report.n_same_minute, report.n_unmatched) == (1, 0)


@pytest.mark.parametrize(("n_back_before", "n_ambiguous"), [(0, 1), (1, 1), (2, 0), (3, 0), (7, 0)])
def test_a_cancellation_is_ambiguous_while_several_sales_have_quantity_left(
    returns: LabelBuild[ReturnsReport], n_back_before: int, n_ambiguous: int
) -> None:
    lines = [SALE, line("2", "2011-01-05T10:00", quantity=2), _back("2011-01-07T10:00")]
    before, _ = returns.run([*lines[:2], _back("2011-01-06T10:00", -n_back_before)])
    report, _ = returns.run([*lines, _back("2011-01-06T10:00", -n_back_before)])
    assert report.n_ambiguous - before.n_ambiguous == n_ambiguous


def test_of_one_invoice_the_line_that_takes_most_back_comes_first(
    returns: LabelBuild[ReturnsReport],
) -> None:
    lines = [SALE, _back("2011-01-06T10:00", -1), _back("2011-01-06T10:00", -5)]
    report, _ = returns.run(lines)
    assert (report.n_matched, report.n_partly_unmatched, report.n_unmatched) == (1, 0, 1)
    # Of two invoices the lesser number comes first, and 10 is more than 9.
    lines = [SALE, _back("2011-01-06T10:00", -1), {**lines[2], "InvoiceNo": "C10"}]
    report, _ = returns.run(lines)
    assert (report.n_matched, report.n_partly_unmatched, report.n_unmatched) == (1, 1, 0)


def test_late_and_in_time_returns_of_one_row_are_a_positive_row(
    returns: LabelBuild[ReturnsReport],
) -> None:
    report, _ = returns.run([SALE, _back("2011-02-01T10:00"), _back("2011-06-01T10:00")])
    assert (report.n_positive, report.n_late, report.n_returned_late) == (1, 1, 0)


@pytest.mark.parametrize(
    ("data_end", "n_rows", "n_censored", "n_cancellations"),
    [
        ("2011-03-05T10:00", 1, 1, 0),
        ("2011-03-06T09:59", 1, 1, 0),
        ("2011-03-06T10:00", 2, 0, 1),
    ],
)
def test_a_row_whose_60_days_are_not_over_is_censored_and_counted(
    returns: LabelBuild[ReturnsReport],
    data_end: str,
    n_rows: int,
    n_censored: int,
    n_cancellations: int,
) -> None:
    lines = [
        SALE,
        line("2", "2011-01-05T10:00", customer=2),
        _back("2011-03-06T10:00", customer=2),
    ]
    report, rows = returns.run(lines, data_end)
    assert (report.n_rows, report.n_censored, len(rows)) == (n_rows, n_censored, n_rows)
    assert report.n_cancellations == n_cancellations


def test_a_result_without_rows_is_refused(returns: LabelBuild[ReturnsReport]) -> None:
    with pytest.raises(TransformError, match="none of 1 checkout lines has its 60 days over"):
        returns.run([SALE], "2011-03-05T09:59")
    with pytest.raises(TransformError, match="none of 0 checkout lines"):
        returns.run([_back("2011-01-04T10:00")])
    assert not returns.out.exists()


def test_data_that_end_in_the_future_are_refused(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines.parquet", [SALE])
    out, now_us = tmp_path / "rows.parquet", instant_us("2011-06-01")
    with pytest.raises(TransformError, match="still to come"):
        build_returns_rows(lines, out, data_end_us=now_us + 1, clock=FrozenClock(now_us))
    assert not out.exists()


def test_the_same_lines_give_the_same_bytes_in_the_schema(
    returns: LabelBuild[ReturnsReport],
) -> None:
    lines = [
        line(str(i), f"2011-01-{i // 3 + 1:02}T10:00", customer=i % 2, price=i / 10)
        for i in range(1, 29)
    ]
    lines += [_back(f"2011-01-{i:02}T10:00", customer=i % 2) for i in range(1, 29, 4)]
    returns.run(lines)
    first = returns.out.read_bytes()
    returns.run(list(reversed(lines)))
    assert returns.out.read_bytes() == first
    assert pq.read_schema(returns.out) == RETURNS_SCHEMA


@pytest.mark.slow
@settings(max_examples=scaled(20, 400))
@given(lines=lines_around())
def test_rows_equal_the_oracle(
    returns: LabelBuild[ReturnsReport], lines: list[dict[str, Any]]
) -> None:
    end = datetime.fromisoformat(END)
    expected = [
        row
        for row in returns_rows(lines, end)
        if row["label_timestamp"].replace(tzinfo=None) <= end
    ]
    report, rows = returns.run(lines, END)
    assert _keys(rows) == _keys(expected)
    assert report.n_positive == sum(row["returned_within_60d"] for row in expected)
    n_whole = report.n_matched + report.n_partly_unmatched + report.n_unmatched
    assert n_whole == report.n_cancellations


@pytest.mark.slow
def test_rows_equal_the_oracle_on_a_dirty_shop(tmp_path: Path) -> None:
    path, out = tmp_path / "lines.parquet", tmp_path / "rows.parquet"
    end = datetime(2011, 12, 10, tzinfo=UTC)
    end_us = datetime_to_us(end)
    generate_shop(path, end_us=end_us, n_customers=30, n_lines=2_500, seed=5)
    report = build_returns_rows(path, out, data_end_us=end_us, clock=FrozenClock(end_us))
    lines = pq.read_table(path).to_pylist()
    every = returns_rows(lines, end.replace(tzinfo=None))
    rows = pq.read_table(out).to_pylist()
    assert _keys(rows) == _keys([row for row in every if row["label_timestamp"] <= end])
    assert (report.n_rows, report.n_censored) == (len(rows), len(every) - len(rows))
    assert report.n_positive == sum(_labels(rows)) > 10
    order = [(row["event_timestamp"], row["customer_id"], row["stock_code"]) for row in rows]
    assert order == sorted(order)


@pytest.mark.slow
@settings(max_examples=scaled(8, 400))
@given(
    lines=lines_around(),
    others=lines_around(),
    cut=st.sampled_from(INSTANTS),
)
def test_a_label_depends_on_the_lines_of_its_60_days_alone(
    returns: LabelBuild[ReturnsReport],
    lines: list[dict[str, Any]],
    others: list[dict[str, Any]],
    cut: datetime,
) -> None:
    def is_pair_now(row: dict[str, Any]) -> bool:
        is_pair = row["CustomerID"] == 1 and row["StockCode"] == "10001"
        return bool(is_pair and row["InvoiceDate"] == cut)

    def is_past(row: dict[str, Any]) -> bool:
        return bool(row["InvoiceDate"] <= cut and not is_pair_now(row))

    def is_until(row: dict[str, Any]) -> bool:
        return bool(row["InvoiceDate"] <= cut)

    _, plain = returns.run(lines, END)

    # Lines at or before the row, sales and cancellations of its pair included, never change its
    # label; at its very minute the pair's own lines are the row itself.
    kept = [row for row in lines if not is_past(row)]
    _, other_past = returns.run(kept + [row for row in others if is_past(row)], END)
    at = cut.replace(tzinfo=UTC)
    for rows in (plain, other_past):
        rows.sort(key=lambda row: (row["event_timestamp"], row["customer_id"], row["stock_code"]))
    assert _after(plain, at) == _after(other_past, at)

    # Lines after the label timestamp never change anything of a row.
    kept = [row for row in lines if is_until(row)]
    _, other_future = returns.run(kept + [row for row in others if not is_until(row)], END)
    assert _keys(_known(plain, at)) == _keys(_known(other_future, at))


def _after(rows: list[dict[str, Any]], at: datetime) -> list[tuple[Any, ...]]:
    """Return labels of the rows after the cut, and of the kept pair at the cut."""
    names = ["event_timestamp", "customer_id", "stock_code", "quantity", "returned_within_60d"]
    labels = [tuple(row[name] for name in names) for row in rows]
    return [label for label in labels if label[0] > at or label[:3] == (at, 1, "10001")]


def _known(rows: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    return [row for row in rows if row["event_timestamp"] + timedelta(days=60) <= at]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason="the Online Retail file is not here")
def test_the_real_set_gives_the_known_counts(tmp_path: Path) -> None:
    end_us = instant_us("2011-12-09T12:50")
    report = build_returns_rows(
        REAL, tmp_path / "rows.parquet", data_end_us=end_us, clock=FrozenClock(end_us)
    )
    assert report == ReturnsReport(
        n_rows=273_870,
        n_censored=112_456,
        n_positive=5_174,
        n_returned_late=797,
        n_cancellations=8_506,
        n_matched=7_398,
        n_partly_unmatched=55,
        n_unmatched=1_053,
        n_ambiguous=2_674,
        n_late=815,
        n_same_minute=12,
        n_units_cancelled=267_711,
        n_units_unmatched=18_747,
        n_lines=541_909,
        n_lines_without_customer=135_080,
    )


def test_a_thinner_set_has_whole_invoices_with_the_labels_of_the_full_one(
    tmp_path: Path,
) -> None:
    lines = [
        line(str(number), f"2011-03-{number:02}T10:00", code=f"1000{code}")
        for number in range(1, 10)
        for code in range(2)
    ]
    lines.append(line("C99", "2011-03-20T10:00", code="10000", quantity=-1))
    path = write_lines(tmp_path / "lines.parquet", lines)
    end_us = datetime_to_us(datetime(2011, 9, 1, tzinfo=UTC))
    made = {}
    for one_in in (1, 3):
        out = tmp_path / f"{one_in}.parquet"
        clock = FrozenClock(end_us)
        report = build_returns_rows(
            path, out, data_end_us=end_us, clock=clock, one_invoice_in=one_in
        )
        made[one_in] = pq.read_table(out).to_pylist()
        assert report.n_rows == len(made[one_in])
        assert report.n_positive == 1
        assert report.n_cancellations == 1
    drawn = {3, 6, 9}
    assert made[3] == [row for row in made[1] if row["event_timestamp"].day in drawn]
