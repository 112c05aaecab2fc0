"""Faults planted in real Redis and real Parquet: each must be given its cause.

Everything is read as `evenstore-parity cell` reads it, by the code that joins and gateways use.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.feast_value import value_encoder
from evenstore.dtypes import Dtype
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.store import RedisOnlineStore
from evenstore.schema.model import Field, Layout
from evenstore.schema.version import resolve_request
from evenstore.semantics import Origin, Status
from parity.causes.cell_command import open_cell_command
from parity.causes.find import CauseContext, find_causes
from parity.causes.finding import Cause
from parity.causes.store_evidence import ReadingLimits, StoreEvidence
from parity.compare import Cell, Outcome
from parity.report import Difference
from tests.parity.causes.planting import ACTIVITY, NOW_US, PlantedShop
from tests.parity.shop import FIRST_CUSTOMER, NOW, PROJECT, SERVICE, TIED, TTL, add_late_row
from tests.support.scale import full_only, scaled

# One process sets the shop up for both modules.
pytestmark = pytest.mark.xdist_group("parity-causes")

CUSTOMER = FIRST_CUSTOMER + 10
HOUR_US = 3_600_000_000
EVENT_US = NOW_US - HOUR_US

in_both_layouts = pytest.mark.parametrize("shop", [*Layout], indirect=True, ids=str)

Plant = Callable[[PlantedShop], None]


def causes(shop: PlantedShop, key: object = CUSTOMER, **asked: Any) -> dict[str, Cause]:
    """The cause of each differing feature of an entity."""
    found = {}
    for feature in shop.compare(key, **asked).differences:
        assert feature.finding is not None
        assert feature.finding.command.startswith("evenstore-parity cell --repo ")
        found[feature.column.field.name] = feature.finding.cause
    return found


@in_both_layouts
def test_loaded_shop_differs_nowhere(shop: PlantedShop) -> None:
    # Hot, cold, expired, with nulls, with NaN and infinity, tied.
    for customer in range(FIRST_CUSTOMER + scaled(3, 0), FIRST_CUSTOMER + 6):
        assert causes(shop, customer) == {}


def plant_value(**values: Any) -> Plant:
    return lambda shop: shop.plant(CUSTOMER, values)


def append_row(**changes: Any) -> Plant:
    """Publish a row of the customer in the file that was read."""

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        newest = max(
            (row for row in rows if row["customer_id"] == CUSTOMER),
            key=lambda row: row["event_timestamp"],
        )
        return [*rows, newest | changes]

    return lambda shop: shop.rewrite(change)


def remove_rows(keep: Callable[[dict[str, Any]], bool]) -> Plant:
    return lambda shop: shop.rewrite(lambda rows: [row for row in rows if keep(row)])


def is_other_customer(row: dict[str, Any]) -> bool:
    return bool(row["customer_id"] != CUSTOMER)


VALUE_FAULTS = [
    ("spend", plant_value(spend=99.5), Cause.UNKNOWN),
    ("spend", plant_value(spend=0.10000000149011612), Cause.DTYPE_PRECISION),
    ("spend", plant_value(spend=math.nan), Cause.UNKNOWN),
    ("orders", plant_value(orders=2**53), Cause.DTYPE_PRECISION),
    ("first_order", plant_value(first_order=1291191961 + 7200), Cause.TIMEZONE),
    # Of the row before: the newest timestamp beside an old value.
    ("recent", plant_value(recent=("P2", "\u00e9")), Cause.WRITE_ORDER),
    (
        "orders",
        lambda shop: shop.plant(CUSTOMER, {"orders": 2**53}, origin=Origin.PUSH),
        Cause.SDK_CONVERSION,
    ),
    (
        "spend",
        lambda shop: shop.plant(CUSTOMER, {"spend": 5.5}, origin=Origin.PUSH),
        Cause.PUSHED_ONLINE_ONLY,
    ),
]


@pytest.mark.parametrize(("feature", "plant", "cause"), VALUE_FAULTS)
def test_fault_in_one_value_is_given_its_cause(
    shop: PlantedShop, feature: str, plant: Plant, cause: Cause
) -> None:
    plant(shop)
    assert causes(shop, features=(feature,)) == {feature: cause}


ROW_FAULTS: list[tuple[str, Plant, Cause]] = [
    ("late row", lambda shop: add_late_row(shop.folder, CUSTOMER), Cause.LATE_ARRIVAL),
    ("key removed", lambda shop: shop.remove_key(CUSTOMER), Cause.KEY_EXPIRED),
    (
        "older row",
        lambda shop: shop.plant(
            CUSTOMER, event_us=EVENT_US - HOUR_US, created_us=EVENT_US - HOUR_US // 2
        ),
        Cause.WRITE_ORDER,
    ),
    (
        "older version of the row",
        lambda shop: shop.plant(CUSTOMER, {"spend": 4.5}, created_us=EVENT_US),
        Cause.DROPPED_CORRECTION,
    ),
    (
        "event moved by a zone",
        lambda shop: shop.plant(CUSTOMER, event_us=EVENT_US - 5 * HOUR_US),
        Cause.TIMEZONE,
    ),
    (
        "newer row pushed",
        lambda shop: shop.plant(
            CUSTOMER, {"spend": 4.5}, event_us=EVENT_US + 60_000_000, origin=Origin.PUSH
        ),
        Cause.PUSHED_ONLINE_ONLY,
    ),
    (
        "newest row removed from the source",
        remove_rows(lambda row: is_other_customer(row) or row["event_timestamp"] < NOW - TTL / 84),
        Cause.DELETED_ROW,
    ),
    ("entity removed from the source", remove_rows(is_other_customer), Cause.DELETED_ROW),
]


@pytest.mark.parametrize(
    ("plant", "cause"), [fault[1:] for fault in ROW_FAULTS], ids=[fault[0] for fault in ROW_FAULTS]
)
def test_fault_in_a_row_is_given_its_cause(shop: PlantedShop, plant: Plant, cause: Cause) -> None:
    plant(shop)
    found = causes(shop)
    assert set(found.values()) == {cause}
    assert "spend" in found


@full_only
@pytest.mark.parametrize("shop", [Layout.FEAST], indirect=True)
@pytest.mark.parametrize("plant", [fault[1:] for fault in ROW_FAULTS])
def test_fault_in_a_row_of_the_other_layout(shop: PlantedShop, plant: tuple[Plant, Cause]) -> None:
    plant[0](shop)
    assert set(causes(shop).values()) == {plant[1]}


def test_record_of_other_files_says_nothing_of_these(shop: PlantedShop) -> None:
    # As after a compaction, or where a run has read a copy.
    marks = b"evenstore:watermarks:" + PROJECT.encode()
    text = shop.client.execute_command("HGET", marks, ACTIVITY)
    other = text.replace(b"activity.parquet", b"other.parquet")
    assert other != text
    shop.client.execute_command("HSET", marks, ACTIVITY, other)
    shop.remove_key(CUSTOMER)
    assert causes(shop, features=("spend",)) == {"spend": Cause.KEY_EXPIRED}


def test_row_after_the_watermark_is_not_materialized(shop: PlantedShop) -> None:
    append_row(spend=8.5, event_timestamp=NOW + timedelta(minutes=30))(shop)
    found = causes(shop, as_of_us=NOW_US + HOUR_US, features=("spend",))
    assert found == {"spend": Cause.NOT_MATERIALIZED}


def test_entity_without_a_run_is_not_materialized(shop: PlantedShop) -> None:
    shop.client.flushall()
    assert causes(shop, features=("spend",)) == {"spend": Cause.NOT_MATERIALIZED}


def test_other_row_of_a_tie_is_ambiguous(shop: PlantedShop) -> None:
    # The two rows differ in orders and recent.
    (won,) = shop.compare(TIED, features=("orders",)).features
    other = 7 if won.offline.value != 7 else 2**53 + 1
    shop.plant(TIED, {"orders": other})
    assert causes(shop, TIED, features=("orders",)) == {"orders": Cause.AMBIGUOUS_TIE}


@in_both_layouts
def test_feature_that_was_never_backfilled(shop: PlantedShop) -> None:
    if shop.layout is Layout.PACKED:
        shop.plant(CUSTOMER, stored_as=shop.without("spend"))
    else:
        field = FeastRowLayout(shop.views[ACTIVITY]).feature_fields["spend"]
        shop.client.execute_command("HDEL", redis_key(shop), field)
    assert causes(shop) == {"spend": Cause.NEW_FEATURE_NOT_BACKFILLED}


@in_both_layouts
def test_feature_of_another_type_then(shop: PlantedShop) -> None:
    if shop.layout is Layout.PACKED:
        other = replace(
            shop.without("spend"),
            features=(*shop.without("spend").features, Field("spend", Dtype.STRING)),
        )
        shop.plant(CUSTOMER, {"spend": "0.1"}, stored_as=other)
        assert causes(shop) == {"spend": Cause.SCHEMA_DRIFT}
    else:
        field = FeastRowLayout(shop.views[ACTIVITY]).feature_fields["spend"]
        data = value_encoder(Dtype.STRING)("0.1")
        shop.client.execute_command("HSET", redis_key(shop), field, data)
        # The row is refused as a whole: no feature of it has an answer.
        assert set(causes(shop).values()) == {Cause.SCHEMA_DRIFT}
        assert len(causes(shop)) == len(shop.views[ACTIVITY].features)


@in_both_layouts
def test_row_under_a_key_of_another_type(shop: PlantedShop) -> None:
    view = shop.views[ACTIVITY]
    shop.plant(CUSTOMER, stored_as=replace(view, join_keys=(Field("customer_id", Dtype.INT32),)))
    found = shop.compare(CUSTOMER, features=("spend",)).differences
    assert [feature.finding and feature.finding.cause for feature in found] == [Cause.KEY_ENCODING]
    assert found[0].finding is not None
    assert found[0].finding.evidence.facts["twin_key"] == "customer_id as Int32"


def test_key_in_another_unicode_form(shop: PlantedShop) -> None:
    # The shop has the product in both forms: take one away offline, the other online.
    shop.rewrite(
        lambda rows: [row for row in rows if row["product"] != "e\u0301"], "demand.parquet"
    )
    assert causes(shop, "e\u0301", view="product_demand") == {"sold": Cause.KEY_ENCODING}
    shop.remove_key("\u00e9", "product_demand")
    assert causes(shop, "\u00e9", view="product_demand") == {"sold": Cause.KEY_ENCODING}


@in_both_layouts
def test_deleted_entity_leaves_a_tombstone(shop: PlantedShop) -> None:
    table = shop.store.get_feature_view(ACTIVITY)
    RedisOnlineStore().delete_entity(shop.store.config, table, [{"customer_id": CUSTOMER}])
    assert set(causes(shop).values()) == {Cause.DELETED_ROW}


def test_row_pushed_through_feast_is_named(shop: PlantedShop) -> None:
    # A float column, as pandas makes of integers beside a null.
    frame = pd.DataFrame(
        {
            "customer_id": [CUSTOMER],
            "orders": [float(2**53 + 2)],
            "spend": [6.5],
            "share": [0.5],
            "first_order": [NOW],
            "recent": [["P9"]],
            "token": [b"9"],
            "event_timestamp": [NOW - timedelta(minutes=5)],
            "created": [NOW],
        }
    )
    shop.store.write_to_online_store(ACTIVITY, df=frame)
    compared = shop.compare(CUSTOMER, features=("spend",))
    (feature,) = compared.differences
    assert feature.finding is not None
    assert feature.finding.cause is Cause.PUSHED_ONLINE_ONLY
    assert feature.finding.evidence.facts["origin"] == "push"
    assert feature.finding.evidence.online_order is not None
    assert feature.finding.evidence.online_order.event_us == NOW_US - HOUR_US // 12


@in_both_layouts
def test_bytes_that_nobody_wrote_are_of_unknown_cause(shop: PlantedShop) -> None:
    if shop.layout is Layout.PACKED:
        key = redis_key(shop)
        shop.client.set(key, shop.client.get(key)[:-3])  # type: ignore[index]
    else:
        field = FeastRowLayout(shop.views[ACTIVITY]).timestamp_field
        shop.client.execute_command("HSET", redis_key(shop), field, b"\xff\xff")
    compared = shop.compare(CUSTOMER, features=("spend",))
    assert compared.refusal is not None
    assert causes(shop, features=("spend",)) == {"spend": Cause.UNKNOWN}


def test_on_demand_output_has_the_cause_of_its_input(shop: PlantedShop) -> None:
    add_late_row(shop.folder, CUSTOMER)
    compared = shop.compare(
        CUSTOMER,
        view="compare_basket",
        feature_service=SERVICE,
        keys={"customer_id": str(CUSTOMER), "amount": "10.5"},
    )
    (feature,) = compared.differences
    assert feature.finding is not None
    assert feature.finding.cause is Cause.LATE_ARRIVAL
    assert "customer_activity:spend" in feature.finding.because
    assert feature.finding.evidence.offline_value == feature.offline.value


def difference(
    offline: Cell, online: Cell, *, customer: int = CUSTOMER, **others: Any
) -> Difference:
    """A difference in spend as a comparison through a gateway would have it."""
    given: dict[str, Any] = {
        "outcome": Outcome.MISMATCH,
        "view_name": ACTIVITY,
        "feature": "spend",
        "dtype": Dtype.FLOAT64,
        "row_idx": 0,
        "entity_key": {"customer_id": customer},
        "as_of_us": NOW_US,
        "offline": offline,
        "online": online,
    }
    return Difference(**(given | others))


def context(shop: PlantedShop, **limits: int) -> CauseContext:
    request = resolve_request(shop.store, SERVICE)
    reader = StoreEvidence(shop.store, limits=ReadingLimits(**limits))
    command = open_cell_command(shop.repo, feature_service=SERVICE)
    return CauseContext(request, reader, command)


def test_equal_inputs_leave_the_function_at_fault(shop: PlantedShop) -> None:
    edited = difference(
        Cell(10.4, Status.PRESENT, None),
        Cell(20.4, Status.PRESENT, None),
        view_name="compare_basket",
        feature="above_usual",
        entity_key={"customer_id": CUSTOMER, "amount": 10.5},
    )
    (finding,) = find_causes([edited], context(shop))
    assert finding.cause is Cause.ON_DEMAND_DIVERGENCE


def test_ttl_that_one_side_takes_a_microsecond_shorter(shop: PlantedShop) -> None:
    as_of_us = EVENT_US + TTL // timedelta(microseconds=1)
    kept, dropped = (
        Cell(0.1, Status.PRESENT, EVENT_US),
        Cell(None, Status.OUTSIDE_MAX_AGE, EVENT_US),
    )
    found = find_causes(
        [
            difference(kept, dropped, as_of_us=as_of_us),
            difference(dropped, kept, as_of_us=as_of_us + 1),
        ],
        context(shop),
    )
    assert [finding.cause for finding in found] == [Cause.TTL_BOUNDARY] * 2
    assert "0 us within" in found[0].because
    assert "1 us over" in found[1].because


def test_command_of_a_cell_is_complete(shop: PlantedShop) -> None:
    cells = Cell(0.1, Status.PRESENT, EVENT_US), Cell(9.9, Status.PRESENT, EVENT_US)
    (finding,) = find_causes([difference(*cells)], context(shop))
    assert finding.command == (
        f"evenstore-parity cell --repo {shop.repo} --feature-service {SERVICE}"
        f" --view {ACTIVITY} --feature spend --key customer_id={CUSTOMER}"
        " --as-of 2011-12-10T00:00:00Z"
    )


def test_many_cells_are_read_in_batches_and_no_faster_than_asked(shop: PlantedShop) -> None:
    missing = [
        difference(
            Cell(0.1, Status.PRESENT, EVENT_US),
            Cell(None, Status.NOT_FOUND, None),
            customer=FIRST_CUSTOMER + i,
            row_idx=i,
        )
        for i in range(10, 50)
    ]
    for i in range(10, 50):
        shop.remove_key(FIRST_CUSTOMER + i)
    started_s = time.monotonic()
    found = find_causes(
        missing, context(shop, entities_per_batch=7, max_keys_per_s=200, n_twins_looked_for=0)
    )
    assert time.monotonic() - started_s >= len(missing) / 200 - 0.01
    assert {finding.cause for finding in found} == {Cause.KEY_EXPIRED}
    files = {finding.evidence.source_file for finding in found}
    assert files == {str(shop.folder / "activity.parquet")}


def redis_key(shop: PlantedShop, customer: int = CUSTOMER) -> bytes:
    return open_key_encoder(shop.views[ACTIVITY], PROJECT, shop.layout).encode((customer,))
