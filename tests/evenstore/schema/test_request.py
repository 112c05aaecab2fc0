"""What a caller asks for, resolved: order, renaming, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from feast.utils import _parse_feature_ref

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnknownFeatureError, UnknownFeatureServiceError
from evenstore.schema.model import FeatureServiceSchema, Field, Projection, RegistrySchema
from evenstore.schema.request import resolve_references, resolve_service, split_reference
from tests.evenstore.schema.schemas import CITY, RATIO, REGISTRY, STATS


def names_of(request: Any) -> list[str]:
    return [column.output_name(full_feature_names=True) for column in request.columns]


def with_service(*projections: Projection) -> RegistrySchema:
    return dataclasses.replace(
        REGISTRY, feature_services=(FeatureServiceSchema("svc", projections),)
    )


def test_references_keep_their_order_and_views_are_read_once() -> None:
    request = resolve_references(REGISTRY, ("stats:rate", "city:load", "stats:trips"))
    assert names_of(request) == ["stats__rate", "city__load", "stats__trips"]
    assert request.name == "stats:rate,city:load,stats:trips"
    assert [(read.output_name, [f.name for f in read.features]) for read in request.reads] == [
        ("stats", ["rate", "trips"]),
        ("city", ["load"]),
    ]
    assert request.entity_columns == (
        Field("driver_id", Dtype.INT64),
        Field("city_id", Dtype.STRING),
    )
    assert request.columns[0].output_name(full_feature_names=False) == "rate"


def test_service_keeps_the_order_of_its_projections() -> None:
    request = resolve_service(REGISTRY, "both")
    assert names_of(request) == ["city__load", "ratio__y", "stats__rate", "stats__trips"]
    assert request.on_demand == (RATIO,)
    assert request.request_fields == (Field("amount", Dtype.FLOAT64),)


def test_inputs_of_an_on_demand_view_are_read_but_not_answered() -> None:
    request = resolve_references(REGISTRY, ("ratio:y",))
    assert names_of(request) == ["ratio__y"]
    assert [(read.output_name, [f.name for f in read.features]) for read in request.reads] == [
        ("stats", ["rate"])
    ]


def test_one_view_under_two_names_is_read_twice_with_the_callers_columns() -> None:
    request = resolve_service(REGISTRY, "trip")
    assert names_of(request) == ["origin__load", "destination__load"]
    assert [read.key_columns for read in request.reads] == [("from",), ("to",)]
    assert [field.name for field in request.entity_columns] == ["from", "to"]


def test_unknown_service_is_named_with_near_ones() -> None:
    with pytest.raises(UnknownFeatureServiceError, match="`boht`") as caught:
        resolve_service(REGISTRY, "boht")
    assert caught.value.available == ["both", "trip"]
    assert caught.value.hint == "did you mean `both`?"


@pytest.mark.parametrize(
    ("reference", "hint"),
    [("stats:tripz", "`stats:trips`"), ("stat:trips", "`stats:trips`"), ("ratio:z", "`ratio:y`")],
)
def test_unknown_feature_is_named_with_near_ones(reference: str, hint: str) -> None:
    with pytest.raises(UnknownFeatureError, match=f"`{reference}`") as caught:
        resolve_references(REGISTRY, ("city:load", reference))
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("reference", ["stats", "stats:", ":trips", "", "stats__trips"])
def test_text_that_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(SchemaError, match=f"not a feature reference: '{reference}'") as caught:
        resolve_references(REGISTRY, (reference,))
    assert caught.value.hint == "write `view:feature`"


def test_no_references_and_pinned_versions_are_refused() -> None:
    with pytest.raises(SchemaError, match="no features were asked for"):
        resolve_references(REGISTRY, ())
    with pytest.raises(SchemaError, match=r"`stats@v2` pins is not served"):
        resolve_references(REGISTRY, ("stats@v2:trips",))
    pinned = with_service(Projection("stats", "stats@v2", ("trips",)))
    with pytest.raises(SchemaError, match=r"`stats@v2` pins is not served"):
        resolve_service(pinned, "svc")


@pytest.mark.parametrize(
    ("reference", "split"),
    [
        ("stats:trips", ("stats", "trips")),
        ("stats@latest:trips", ("stats", "trips")),
        ("stats@:trips", ("stats", "trips")),
        ("stats@V2:trips", ("stats@v2", "trips")),
        ("stats@v2:trips", ("stats@v2", "trips")),
        ("stats@v002:trips", ("stats@v2", "trips")),
        ("stats@V00:trips", ("stats@v0", "trips")),
        ("stats@V2a:trips", ("stats@V2a", "trips")),
        ("stats@b@v2:trips", ("stats@b@v2", "trips")),
    ],
)
def test_reference_is_read_as_feast_reads_it(reference: str, split: tuple[str, str]) -> None:
    assert split_reference(reference) == split
    view, version, feature = _parse_feature_ref(reference)
    assert (view if version is None else f"{view}@v{version}", feature) == split


def test_pinned_version_that_the_schema_holds_is_read_beside_the_promoted_one() -> None:
    older = dataclasses.replace(STATS, name="stats@v2", features=(Field("trips", Dtype.INT32),))
    registry = dataclasses.replace(REGISTRY, feature_views=(CITY, STATS, older))
    request = resolve_references(registry, ("stats@V2:trips", "stats:trips"))
    assert names_of(request) == ["stats@v2__trips", "stats__trips"]
    assert [(read.output_name, read.view) for read in request.reads] == [
        ("stats@v2", older),
        ("stats", STATS),
    ]
    aliased = Projection("stats", "mine@v2", ("trips",), (("driver_id", "who"),))
    service = FeatureServiceSchema("svc", (aliased,))
    request = resolve_service(dataclasses.replace(registry, feature_services=(service,)), "svc")
    assert names_of(request) == ["mine@v2__trips"]
    assert [(read.view, read.key_columns) for read in request.reads] == [(older, ("who",))]
    with pytest.raises(UnknownFeatureError, match="`stats@v2:rate`"):
        resolve_references(registry, ("stats@v2:rate",))


def test_pinned_on_demand_view_that_the_schema_holds_is_computed_under_its_name() -> None:
    older = dataclasses.replace(RATIO, name="ratio@v1", udf=b"older")
    registry = dataclasses.replace(REGISTRY, on_demand_views=(RATIO, older))
    request = resolve_references(registry, ("ratio:y", "ratio@v1:y"))
    assert names_of(request) == ["ratio__y", "ratio@v1__y"]
    assert request.on_demand == (RATIO, older)


def test_on_demand_view_of_an_on_demand_view_is_refused() -> None:
    chain = dataclasses.replace(RATIO, name="chain", inputs=(("ratio", "y"),))
    registry = dataclasses.replace(REGISTRY, on_demand_views=(RATIO, chain))
    with pytest.raises(SchemaError, match="`chain` reads on-demand view `ratio`"):
        resolve_references(registry, ("chain:y",))


def test_feature_asked_for_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match="asked for twice: `stats__trips`"):
        resolve_references(REGISTRY, ("stats:trips", "stats:rate", "stats:trips"))


@pytest.mark.parametrize(
    "second",
    [
        Projection("stats", "city", ("trips",)),
        Projection("city", "city", ("load",), (("city_id", "to"),)),
    ],
)
def test_two_different_reads_of_one_name_are_refused(second: Projection) -> None:
    """Otherwise the second would silently be answered from the first."""
    registry = with_service(Projection("city", "city", ("load",)), second)
    with pytest.raises(SchemaError, match="two different reads are both called `city`"):
        resolve_service(registry, "svc")


def test_alias_that_hides_an_input_of_an_on_demand_view_is_refused() -> None:
    registry = with_service(
        Projection("city", "stats", ("load",)), Projection("ratio", "ratio", ("y",))
    )
    with pytest.raises(SchemaError, match="both called `stats`"):
        resolve_service(registry, "svc")


def test_one_key_column_of_two_types_is_refused() -> None:
    registry = with_service(
        Projection("stats", "stats", ("trips",)),
        Projection("city", "city", ("load",), (("city_id", "driver_id"),)),
    )
    with pytest.raises(SchemaError, match="`driver_id` has two types: Int64 and String, in `city`"):
        resolve_service(registry, "svc")


def test_one_request_field_of_two_types_is_refused() -> None:
    other = dataclasses.replace(RATIO, name="other", request_fields=(Field("amount", Dtype.INT64),))
    registry = dataclasses.replace(REGISTRY, on_demand_views=(RATIO, other))
    with pytest.raises(SchemaError, match="`amount` has two types: Float64 and Int64, in `other`"):
        resolve_references(registry, ("ratio:y", "other:y"))


@pytest.mark.parametrize(
    "views",
    [
        (CITY, dataclasses.replace(STATS, ttl_us=1)),
        (
            CITY,
            dataclasses.replace(
                STATS, features=(Field("trips", Dtype.INT32), Field("rate", Dtype.FLOAT64))
            ),
        ),
        (CITY, dataclasses.replace(STATS, join_keys=(Field("driver_id", Dtype.STRING),))),
    ],
)
def test_fingerprint_of_a_request_follows_what_it_reads(views: Any) -> None:
    asked = ("stats:trips", "city:load")
    before = resolve_references(REGISTRY, asked).fingerprint
    changed = dataclasses.replace(REGISTRY, feature_views=views)
    assert resolve_references(changed, asked).fingerprint != before
    assert resolve_references(REGISTRY, asked[::-1]).fingerprint != before
    assert resolve_references(REGISTRY, asked).fingerprint == before
    assert (
        resolve_references(changed, ("city:load",)).fingerprint
        == resolve_references(REGISTRY, ("city:load",)).fingerprint
    )
