from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evenstore.schema.degradation import fails_open, fill_nulls, is_withheld, load_defaults
from evenstore.schema.model import FeatureDefault, RegistrySchema
from evenstore.schema.request import resolve_references, resolve_service
from evenstore.semantics import (
    ExpiredValues,
    OnUnavailable,
    Status,
    TtlEnforcement,
    decide_status,
    is_within_ttl,
)
from tests.evenstore.schema.schemas import REGISTRY, STATS

_VALUES = st.none() | st.integers(0, 2) | st.just(math.nan)


def degraded(registry: RegistrySchema = REGISTRY, **changes: Any) -> RegistrySchema:
    both, trip = registry.feature_services
    return dataclasses.replace(
        registry, feature_services=(dataclasses.replace(both, **changes), trip)
    )


@dataclass(frozen=True)
class Case:
    """One stored value, and what view and service declare."""

    value: Any
    age_us: int
    ttl_us: int | None
    max_stale_us: int
    default: Any
    returns_expired: bool


def oracle(case: Case) -> tuple[Any, Status]:
    """Say what a stored value is answered as, as plainly as possible."""
    value, status = case.value, Status.PRESENT if case.value is not None else Status.NULL_VALUE
    if case.ttl_us is not None and case.age_us > case.ttl_us:
        status = Status.OUTSIDE_MAX_AGE
        if case.age_us > case.ttl_us + case.max_stale_us and not case.returns_expired:
            value = None
    return case.default if value is None else value, status


@given(
    st.builds(
        Case,
        value=_VALUES,
        age_us=st.integers(-2, 9),
        ttl_us=st.none() | st.integers(1, 4),
        max_stale_us=st.integers(0, 4),
        default=st.none() | st.integers(7, 8),
        returns_expired=st.booleans(),
    )
)
def test_one_value_is_answered_as_the_oracle_says(case: Case) -> None:
    expired = ExpiredValues.RETURN if case.returns_expired else ExpiredValues.WITHHOLD
    view = dataclasses.replace(STATS, ttl_us=case.ttl_us, expired_values=expired)
    registry = dataclasses.replace(REGISTRY, feature_views=(REGISTRY.feature_views[0], view))
    request = resolve_service(degraded(registry, max_stale_us=case.max_stale_us), "both")
    read = next(read for read in request.reads if read.view.name == "stats")
    withheld = is_withheld(
        event_us=100 - case.age_us, as_of_us=100, value_age_limit_us=read.value_age_limit_us
    )
    (filled,) = fill_nulls([None if withheld else case.value], case.default)
    is_expired = not is_within_ttl(event_us=100 - case.age_us, as_of_us=100, ttl_us=case.ttl_us)
    status = decide_status(is_found=True, is_expired=is_expired, is_null=case.value is None)
    assert repr((filled, status)) == repr(oracle(case))


def test_ttl_that_is_not_enforced_withholds_nothing() -> None:
    for enforcement in (TtlEnforcement.OFF, TtlEnforcement.SHADOW):
        view = dataclasses.replace(STATS, ttl_enforcement=enforcement)
        registry = dataclasses.replace(REGISTRY, feature_views=(REGISTRY.feature_views[0], view))
        request = resolve_service(degraded(registry, max_stale_us=1), "both")
        assert {read.value_age_limit_us for read in request.reads} == {None}


def test_nan_is_a_value_and_columns_without_nulls_are_not_copied() -> None:
    column = [1.0, math.nan]
    assert fill_nulls(column, 0.0) is column
    assert fill_nulls([None], None) == [None]
    assert fill_nulls([1.0, None], 0.0) == [1.0, 0.0]


def test_defaults_are_loaded_in_the_order_of_the_columns() -> None:
    defaults = (FeatureDefault("stats", "trips", "3"), FeatureDefault("city", "load", '"Infinity"'))
    request = resolve_service(degraded(defaults=defaults), "both")
    assert load_defaults(request) == (math.inf, None, None, 3)
    assert load_defaults(resolve_service(degraded(), "both")) == (None,) * 4


def test_only_what_a_model_learns_is_in_the_requests_fingerprint() -> None:
    plain = resolve_service(REGISTRY, "both")
    prints = {
        resolve_service(degraded(**changes), "both").fingerprint
        for changes in (
            {},
            {"on_unavailable": OnUnavailable.OPEN},
            {"description": "for people", "owner": "risk"},
        )
    }
    assert prints == {plain.fingerprint}
    defaults = (FeatureDefault("stats", "trips", "3"),)
    learned = {
        resolve_service(degraded(**changes), "both").fingerprint
        for changes in ({"defaults": defaults}, {"max_stale_us": 1}, {})
    }
    assert len(learned) == 3


def test_a_service_that_declares_nothing_keeps_its_fingerprint() -> None:
    # As it was before services could declare anything: models in production name it.
    assert REGISTRY.fingerprint == "bef52b570ad30c71"
    assert REGISTRY.fingerprint == degraded(description="text").fingerprint
    assert REGISTRY.fingerprint != degraded(on_unavailable=OnUnavailable.OPEN).fingerprint


def test_references_fail_closed_without_defaults() -> None:
    defaults = (FeatureDefault("stats", "trips", "3"),)
    registry = degraded(on_unavailable=OnUnavailable.OPEN, defaults=defaults)
    assert fails_open(resolve_service(registry, "both"))
    request = resolve_references(registry, ("stats:trips",))
    assert not fails_open(request)
    assert load_defaults(request) == (None,)
