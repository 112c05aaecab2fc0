"""Fingerprints: equal everywhere, different for every change that matters."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field, fold_name
from evenstore.semantics import ExpiredValues, TtlEnforcement
from tests.evenstore.schema.schemas import RATIO, REGISTRY, STATS

_CHANGES: list[dict[str, Any]] = [
    {"name": "other"},
    {"join_keys": (Field("driver", Dtype.INT64),)},
    {"join_keys": (Field("driver_id", Dtype.INT32),)},
    {"join_keys": ()},
    {"features": STATS.features[:1]},
    {"features": (*STATS.features, Field("more", Dtype.BOOL))},
    {"features": (Field("trips", Dtype.INT32), STATS.features[1])},
    {"features": (Field("trip", Dtype.INT64), STATS.features[1])},
    {"features": (Field("trips", Dtype("Set(Int64)")), STATS.features[1])},
    {"features": (Field("trips", Dtype('Struct({"a": Int64, "b": Int64})')), STATS.features[1])},
    {"ttl_us": None},
    {"ttl_us": STATS.ttl_us and STATS.ttl_us + 1},
    {"ttl_enforcement": TtlEnforcement.SHADOW},
    {"expired_values": ExpiredValues.RETURN},
]


@pytest.mark.parametrize("change", _CHANGES, ids=str)
def test_view_fingerprint_changes_with_each_part(change: dict[str, Any]) -> None:
    assert dataclasses.replace(STATS, **change).fingerprint != STATS.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"mode": "pandas"},
        {"is_singleton": True},
        {"inputs": (("stats", "trips"),)},
        {"request_fields": ()},
        {"features": (Field("y", Dtype.FLOAT32),)},
        {"udf_source": "def ratio(columns): return columns"},
    ],
    ids=str,
)
def test_on_demand_fingerprint_changes_with_each_part(change: dict[str, Any]) -> None:
    changed = dataclasses.replace(RATIO, **change)
    assert changed.fingerprint != RATIO.fingerprint
    registry = dataclasses.replace(REGISTRY, on_demand_views=(changed,))
    assert registry.fingerprint != REGISTRY.fingerprint


def test_bytes_of_an_equal_function_do_not_change_a_fingerprint() -> None:
    other = dataclasses.replace(RATIO, udf=b"pickled elsewhere")
    assert other.fingerprint == RATIO.fingerprint
    registry = dataclasses.replace(REGISTRY, on_demand_views=(other,))
    assert registry.fingerprint == REGISTRY.fingerprint


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_fingerprint_is_the_same_in_another_process(hash_seed: str) -> None:
    code = (
        "from tests.evenstore.schema.schemas import REGISTRY, STATS\n"
        "print(STATS.fingerprint, REGISTRY.fingerprint)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.split() == [STATS.fingerprint, REGISTRY.fingerprint]


def test_fingerprint_is_frozen() -> None:
    """Stored beside rows and models: a change here makes every one of them unreadable."""
    assert STATS.fingerprint == "a0e82e26b1fa35f3"


def test_order_and_types_of_a_struct_change_a_fingerprint() -> None:
    names = [
        'Struct({"a": Int64, "b": Bool})',
        'Struct({"b": Bool, "a": Int64})',
        'Struct({"a": Int64, "b": Int64})',
        'Struct({"a": Int64})',
    ]
    views = [dataclasses.replace(STATS, features=(Field("x", Dtype(name)),)) for name in names]
    assert len({view.fingerprint for view in views}) == len(names)


def test_ttl_counts_only_where_it_is_enforced() -> None:
    assert STATS.enforced_ttl_us == STATS.ttl_us
    for enforcement in (TtlEnforcement.SHADOW, TtlEnforcement.OFF):
        assert dataclasses.replace(STATS, ttl_enforcement=enforcement).enforced_ttl_us is None


def test_feature_is_found_by_its_exact_name() -> None:
    assert STATS.feature("trips") == Field("trips", Dtype.INT64)
    assert STATS.feature("Trips") is None
    assert STATS.feature("driver_id") is None


@pytest.mark.parametrize(("name", "folded"), [("aZ_1", "az_1"), ("ÉK", "Ék"), ("\u212a", "\u212a")])
def test_only_ascii_letters_lose_their_case(name: str, folded: str) -> None:
    assert fold_name(name) == folded
