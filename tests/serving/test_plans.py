from __future__ import annotations

import dataclasses
import itertools
import traceback
from typing import Any

import pytest

from evenstore.errors import (
    EvenstoreError,
    SchemaError,
    UnknownFeatureError,
    UnknownFeatureServiceError,
)
from evenstore.schema.document import read_document
from evenstore.schema.model import FeatureServiceSchema, RegistrySchema
from serving.plans import Plans
from tests.serving.stack import Stack


@pytest.fixture
def schema(stack: Stack) -> RegistrySchema:
    return read_document(stack.schema_path)


def test_a_request_is_prepared_once(schema: RegistrySchema) -> None:
    plans = Plans(schema)
    assert plans.for_service("all_types") is plans.for_service("all_types")
    references = ("numbers:f_int32", "profile:f_string")
    plan = plans.for_references(references)
    assert plans.for_references(references) is plan
    assert plans.for_references(references[::-1]) is not plan, "order is part of a request"


def test_only_the_references_used_last_stay_prepared(schema: RegistrySchema) -> None:
    plans = Plans(schema)
    names = [field.name for field in schema.feature_views[0].features]
    view = schema.feature_views[0].name
    kept, dropped = (f"{view}:{names[0]}",), (f"{view}:{names[1]}",)
    kept_plan, dropped_plan = plans.for_references(kept), plans.for_references(dropped)
    for other in itertools.islice(itertools.permutations(names, 3), 300):
        plans.for_references(tuple(f"{view}:{name}" for name in other))
        assert plans.for_references(kept) is kept_plan
    assert plans.for_references(dropped) is not dropped_plan


def test_service_without_features_is_its_own_problem(schema: RegistrySchema) -> None:
    empty = FeatureServiceSchema("empty", ())
    plans = Plans(dataclasses.replace(schema, feature_services=(*schema.feature_services, empty)))
    assert plans.for_service("all_types").request.columns
    with pytest.raises(SchemaError, match="`empty` has no features"):
        plans.for_service("empty")


def test_unknown_names_are_refused(schema: RegistrySchema) -> None:
    plans = Plans(schema)
    with pytest.raises(UnknownFeatureServiceError):
        plans.for_service("nope")
    with pytest.raises(UnknownFeatureError):
        plans.for_references(("numbers:nope",))


@pytest.mark.parametrize("wrong", [{"mode": "substrait"}, {"udf": b"no pickle"}], ids=repr)
def test_a_service_that_cannot_be_served_leaves_the_others(
    schema: RegistrySchema, wrong: dict[str, Any]
) -> None:
    broken = tuple(dataclasses.replace(view, **wrong) for view in schema.on_demand_views)
    plans = Plans(dataclasses.replace(schema, on_demand_views=broken))
    with pytest.raises(SchemaError) as raised:
        plans.for_service("checkout")
    assert raised.value.hint
    assert plans.for_service("all_types").request.columns


def _refusal(plans: Plans, *references: str) -> EvenstoreError:
    with pytest.raises(EvenstoreError) as raised:
        plans.for_references(references)
    return raised.value


def test_why_references_cannot_be_prepared_is_found_out_once(schema: RegistrySchema) -> None:
    plans = Plans(schema)
    first = _refusal(plans, "numbers:nope")
    assert _refusal(plans, "numbers:nope") is first
    assert plans.prepared(("numbers:nope",)) is None
    for number in range(300):
        _refusal(plans, f"numbers:nope{number}")
    assert _refusal(plans, "numbers:nope") is not first, "only the last ones are remembered"
    assert _refusal(Plans(schema), "numbers:nope") is not first


def test_an_error_told_again_and_again_does_not_grow(schema: RegistrySchema) -> None:
    empty = FeatureServiceSchema("empty", ())
    plans = Plans(dataclasses.replace(schema, feature_services=(empty,)))
    for ask in (
        lambda: plans.for_service("empty"),
        lambda: plans.for_references(("numbers:nope",)),
    ):
        depths = []
        for _ in range(5):
            with pytest.raises(EvenstoreError) as raised:
                ask()
            depths.append(len(list(traceback.walk_tb(raised.value.__traceback__))))
        assert depths[-1] == depths[1]
