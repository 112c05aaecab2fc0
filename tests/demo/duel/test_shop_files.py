from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.duel.entity_rows import write_entity_rows
from demo.duel.feature_files import TABLES, FeatureFiles
from demo.shop.schema import SHOP_SCHEMA

DAYS = tuple(date(2026, 3, day) for day in (1, 2, 3))
STAMP = pa.timestamp("us", tz="UTC")


@pytest.fixture
def files(tmp_path: Path) -> FeatureFiles:
    for table in TABLES:
        folder = tmp_path / "made" / table
        folder.mkdir(parents=True)
        for day in DAYS:
            instant = datetime(2026, 3, day.day, 2, tzinfo=UTC)
            rows = pa.table(
                {
                    "spend": pa.array([10.0, None]),
                    "event_timestamp": pa.array([instant, instant], STAMP),
                    "created": pa.array([instant, instant], STAMP),
                }
            )
            pq.write_table(rows, folder / f"{day}-0123456789abcdef.parquet")
    return FeatureFiles(tmp_path / "made", tmp_path / "published")


def published(files: FeatureFiles, table: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (
        pq.read_table(files.published / table).sort_by("event_timestamp").to_pylist()
    )
    return rows


def made(files: FeatureFiles, table: str, n_days: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = (
        pq.read_table(files.made / table).sort_by("event_timestamp").to_pylist()
    )
    return rows[: 2 * n_days]


def test_days_appear_when_they_are_published(files: FeatureFiles) -> None:
    files.publish_history(before=DAYS[1])
    assert published(files, "customer_profile") == made(files, "customer_profile", 1)
    files.publish_day(DAYS[1], tables=("customer_profile",))
    assert published(files, "customer_profile") == made(files, "customer_profile", 2)
    assert published(files, "customer_activity") == made(files, "customer_activity", 1)
    files.publish_day(DAYS[2])
    assert len(published(files, "customer_activity")) == 4


def test_late_day_differs_in_its_created_timestamp_alone(files: FeatureFiles) -> None:
    files.publish_history(before=DAYS[2])
    late = datetime(2026, 3, 9, tzinfo=UTC)
    files.publish_wrong(DAYS[2], table="customer_activity", columns=["spend"], factor=1.5)
    expected = made(files, "customer_activity", 3)
    assert [row["spend"] for row in published(files, "customer_activity")][-2:] == [15.0, None]
    assert files.publish_late(DAYS[2], table="customer_activity", created=late) == 2
    assert published(files, "customer_activity") == [
        *expected[:4],
        *(row | {"created": late} for row in expected[4:]),
    ]


def line(
    invoice: str, customer: int | None, code: str, day: int, **changes: object
) -> dict[str, object]:
    return {
        "InvoiceNo": invoice,
        "StockCode": code,
        "Description": None,
        "Quantity": 2,
        "InvoiceDate": datetime(2026, 3, day, tzinfo=UTC).replace(tzinfo=None),
        "UnitPrice": 2.5,
        "CustomerID": customer,
        "Country": "Iceland",
    } | changes


def test_each_customer_is_asked_for_with_the_newest_sale(tmp_path: Path) -> None:
    lines = [
        line("1", 7, "a", 1),
        line("2", 7, "b", 2),
        line("2", 7, "c", 2, UnitPrice=10.0),
        line("3", None, "a", 2),
        line("C4", 7, "a", 2, Quantity=-2),
        line("5", 8, "a", 2, UnitPrice=0.0),
        line("6", 8, "d", 3),
        line("7", 9, "e", 1),
    ]
    pq.write_table(pa.Table.from_pylist(lines, schema=SHOP_SCHEMA), tmp_path / "lines.parquet")
    rows = tmp_path / "rows.parquet"
    before = datetime(2026, 3, 3, tzinfo=UTC)
    assert write_entity_rows(tmp_path / "lines.parquet", rows, before=before) == 2
    asked = {"quantity": 2, "unit_price": 10.0, "basket_value": 25.0}
    assert pq.read_table(rows).to_pylist() == [
        {"customer_id": 7, "stock_code": "C"} | asked,
        {"customer_id": 9, "stock_code": "E"} | asked | {"unit_price": 2.5, "basket_value": 5.0},
    ]
