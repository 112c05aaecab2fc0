"""Causes of cells whose offline rows were looked at up to an instant before the one asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parity.causes.finding import Cause
from parity.causes.rules import decide_cause
from tests.parity.causes.cases import EVENT_US, HOUR_US, LOADED, cell, facts, source
from tests.parity.causes.planting import ACTIVITY, NOW_US, PlantedShop
from tests.parity.shop import FIRST_CUSTOMER, SERVICE, add_late_row

pytestmark = pytest.mark.xdist_group("parity-causes")

CUSTOMER = FIRST_CUSTOMER + 10
NEWER_US = EVENT_US + HOUR_US // 2


@pytest.mark.parametrize(
    ("until_us", "cause"),
    [
        (None, Cause.NOT_MATERIALIZED),
        (NEWER_US + 1, Cause.NOT_MATERIALIZED),
        (NEWER_US, Cause.NOT_MATERIALIZED),
        (NEWER_US - 1, Cause.UNKNOWN),
    ],
)
def test_newer_row_counts_up_to_the_instant_looked_at(until_us: int | None, cause: Cause) -> None:
    loads = replace(LOADED, intervals=((NEWER_US + 1, EVENT_US + HOUR_US),))
    newer = source(2.5, hours=0.5)
    given = facts(history=(newer, source()), loads=loads, n_source_rows=2, until_us=until_us)
    assert decide_cause(given)[0] is cause
    # After the instant itself nothing is known, however far the source was looked at.
    early = replace(given, as_of_us=EVENT_US, offline=cell(1.5))
    assert decide_cause(early)[0] is Cause.UNKNOWN


def test_input_of_an_on_demand_view_counts_up_to_the_instant_looked_at(shop: PlantedShop) -> None:
    shop.plant(CUSTOMER, {"spend": 99.5})
    add_late_row(shop.folder, CUSTOMER)
    compared = shop.compare(
        CUSTOMER,
        view="compare_basket",
        feature_service=SERVICE,
        keys={"customer_id": str(CUSTOMER), "amount": "10.5"},
        until_us={ACTIVITY: NOW_US - HOUR_US // 30},
    )
    (feature,) = compared.differences
    assert feature.finding is not None
    assert feature.finding.cause is Cause.UNKNOWN
    assert f"{ACTIVITY}:spend" in feature.finding.because
