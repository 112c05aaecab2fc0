"""Features lie before an entity row's instant, labels after it: both models, end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demo.labels.churn import build_churn_rows
from demo.labels.returns import build_returns_rows
from demo.shop.generator import generate_shop
from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.errors import TrainingError
from evenstore.semantics import Knowledge
from evenstore.transform.window import days_between
from tests.demo.leak_checks import check_labels_ignore_the_past
from tests.demo.lines import instant, line, write_lines
from tests.demo.shop_features import Lines, Shop
from training.dataset import TrainingDataset

pytestmark = pytest.mark.slow

END = datetime(2011, 7, 1, tzinfo=UTC)
NIGHT = datetime(2010, 12, 6, 4, tzinfo=UTC)
DAYS = days_between(date(2011, 3, 14), date(2011, 4, 5))

# The builder, the keys of a row, its label and the service of each model.
CHURN = (build_churn_rows, ("customer_id",), "buys_within_60d", "churn_v1")
RETURNS = (build_returns_rows, ("customer_id", "stock_code"), "returned_within_60d", "returns_v1")
MODELS = pytest.mark.parametrize("model", [CHURN, RETURNS], ids=["churn", "returns"])


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """The lines of a generated shop."""
    path = tmp_path_factory.mktemp("generated") / "lines.parquet"
    generate_shop(path, end_us=datetime_to_us(END), n_customers=100, n_lines=8_000, seed=11)
    rows: Lines = pq.read_table(path).to_pylist()
    return rows


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), DAYS)


def _entity_rows(build: Callable[..., object], folder: Path, lines: Lines) -> pa.Table:
    folder.mkdir(exist_ok=True)
    path, end_us = folder / "rows.parquet", datetime_to_us(END)
    build(
        write_lines(folder / "lines.parquet", lines),
        path,
        data_end_us=end_us,
        clock=FrozenClock(end_us),
    )
    return pq.read_table(path)


def _labels(
    model: Any, folder: Path, lines: Lines, *, asked_later: timedelta = timedelta(0)
) -> Mapping[tuple[Any, ...], list[bool]]:
    build, keys, label, _ = model
    labels: dict[tuple[Any, ...], list[bool]] = {}
    for row in _entity_rows(build, folder, lines).to_pylist():
        # A pair may be on two invoices of one minute.
        key = (*(row[name] for name in keys), row["event_timestamp"] + asked_later)
        labels[key] = sorted([*labels.get(key, []), row[label]])
    return labels


def _other_past(lines: Lines, now: datetime) -> Lines:
    """Take every second invoice of the past away, and sell the others twice."""
    past = [row for row in lines if instant(row["InvoiceDate"]) < now]
    # The first line stays: the first night is counted from it.
    invoices = sorted({row["InvoiceNo"] for row in past} - {past[0]["InvoiceNo"]})
    kept = {*invoices[::2], past[0]["InvoiceNo"]}
    sold = [
        {**row, "InvoiceNo": f"{row['InvoiceNo']}{i}"}
        for row in past
        if row["InvoiceNo"] in kept
        for i in range(2)
    ]
    return [*sold, *(row for row in lines if instant(row["InvoiceDate"]) >= now)]


@MODELS
def test_no_past_moves_a_label(tmp_path: Path, lines: Lines, model: Any) -> None:
    check_labels_ignore_the_past(
        partial(_labels, model, tmp_path), lines, _other_past(lines, NIGHT), NIGHT
    )


@MODELS
def test_a_label_that_looks_back_is_found(tmp_path: Path, lines: Lines, model: Any) -> None:
    # The rows are asked a month after what their labels begin with: the labels know the past.
    late = partial(_labels, model, tmp_path, asked_later=timedelta(days=30))
    with pytest.raises(AssertionError):
        check_labels_ignore_the_past(late, lines, _other_past(lines, NIGHT), NIGHT)


def test_what_a_customer_buys_at_the_instant_of_the_night_moves_no_label(
    tmp_path: Path, lines: Lines
) -> None:
    customers = {row["CustomerID"] for row in lines} - {None}
    now = [line(f"99{customer}", "2010-12-06T04:00", customer=customer) for customer in customers]
    check_labels_ignore_the_past(partial(_labels, CHURN, tmp_path), lines, [*lines, *now], NIGHT)


def test_what_others_buy_and_return_in_the_minute_of_a_checkout_moves_no_label(
    tmp_path: Path, lines: Lines
) -> None:
    label = partial(_labels, RETURNS, tmp_path)
    returned = [key for key, labels in label(lines).items() if any(labels) and key[-1] > NIGHT]
    for customer, code, at in returned[:3]:
        others = [
            line(number, at.isoformat()[:16], customer=buyer, code=product, quantity=quantity)
            for number, quantity in (("9901", 50), ("C9902", -50))
            for buyer, product in ((customer, "99999"), (99_999, code))
        ]
        check_labels_ignore_the_past(label, lines, [*lines, *others], at)


def _dataset(
    shop: Shop, lines: Lines, rows: pa.Table, model: Any, knowledge: Knowledge
) -> TrainingDataset:
    _, _, label, service = model
    return TrainingDataset.build(
        service,
        rows,
        repo=shop.features(lines).store,
        knowledge=knowledge,
        label=label,
        label_timestamp_column="label_timestamp",
    )


def _asked_rows(folder: Path, lines: Lines, model: Any) -> pa.Table:
    """Return the entity rows of the days that features are made for."""
    rows = _entity_rows(model[0], folder, lines)
    at = rows["event_timestamp"]
    first, last = (datetime(2011, 3, day, 12, tzinfo=UTC) for day in (29, 31))
    last += timedelta(days=5)
    chosen: pa.Table = rows.filter(pc.and_(pc.greater(at, first), pc.less(at, last)))
    assert chosen.num_rows > 10
    return chosen


@pytest.mark.parametrize("knowledge", Knowledge)
@MODELS
def test_a_dataset_has_its_features_before_and_its_labels_after_each_instant(
    tmp_path: Path, shop: Shop, lines: Lines, model: Any, knowledge: Knowledge
) -> None:
    rows = _asked_rows(tmp_path, lines, model)
    dataset = _dataset(shop, lines, rows, model, knowledge)
    seen_views = set()
    for row in dataset.table.to_pylist():
        at = row["event_timestamp"]
        assert row["label_timestamp"] == at + timedelta(days=60)
        for feature in dataset.features:
            seen_at = row[f"{feature.name}__event_timestamp"]
            if seen_at is not None:
                assert seen_at <= at
                seen_views.add(feature.name.partition("__")[0])
    stored = {feature.name.partition("__")[0] for feature in dataset.features} - {"checkout_line"}
    assert seen_views == stored


@MODELS
def test_a_label_that_was_known_at_the_instant_is_refused(
    tmp_path: Path, shop: Shop, lines: Lines, model: Any
) -> None:
    rows = _asked_rows(tmp_path, lines, model)
    column = rows.column_names.index("label_timestamp")
    early = rows.set_column(column, "label_timestamp", rows["event_timestamp"])
    with pytest.raises(TrainingError, match="leak: label"):
        _dataset(shop, lines, early, model, Knowledge.AS_KNOWN)
