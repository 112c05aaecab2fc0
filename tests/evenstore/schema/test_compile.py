"""Feast's definitions as plain data, through a real registry."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, PushSource, RequestSource
from feast import Field as FeastField
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Invalid,
    Json,
    Map,
    PdfBytes,
    Set,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
)
from feast.value_type import ValueType

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.compile import (
    compile_feature_view,
    compile_on_demand_view,
    compile_registry,
    compile_store,
)
from evenstore.schema.document import dump_registry_schema, load_registry_schema
from evenstore.schema.model import FeatureDefault, Field, Projection
from evenstore.schema.on_demand import OnDemandFunction
from evenstore.schema.request import resolve_service
from evenstore.semantics import ExpiredValues, OnUnavailable, TtlEnforcement
from tests.support.feast_repo import FeastRepo

TYPES: dict[str, Any] = {
    "a_bytes": Bytes,
    "a_text": String,
    "an_int32": Int32,
    "an_int64": Int64,
    "a_float32": Float32,
    "a_float64": Float64,
    "a_bool": Bool,
    "a_time": UnixTimestamp,
}
driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
city = Entity(name="city", join_keys=["city_code"], value_type=ValueType.STRING)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    repo = FeastRepo(tmp_path_factory.mktemp("compile"))
    keys = {"driver_id": Int64, "city_code": String}
    lists = {f"{name}_list": Array(dtype) for name, dtype in TYPES.items()}
    everything = repo.view(
        "everything",
        [driver, city],
        {**keys, **TYPES, **lists},
        ttl=timedelta(days=1, microseconds=1),
        tags={"ttl_enforcement": "shadow", "expired_values": "return", "owner": "me"},
    )
    forever = repo.view("forever", [], {"load": Float64}, ttl=timedelta(0))
    pushed = repo.view(
        "pushed",
        [driver],
        {"driver_id": Int64, "trips": Int64},
        source=PushSource(name="trips_push", batch_source=repo.source("pushed")),
    )
    till = RequestSource(name="till", schema=[FeastField(name="amount", dtype=Float64)])

    def spend(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["amount"], inputs["trips"], strict=True)
        return {"per_trip": [amount / trips if trips else None for amount, trips in pairs]}

    spend_view = on_demand_feature_view(
        sources=[pushed[["trips"]], till],
        schema=[FeastField(name="per_trip", dtype=Float64)],
        mode="python",
    )(spend)
    service = FeatureService(
        name="svc",
        features=[
            everything[["a_bool", "an_int64"]]
            .with_name("away")
            .with_join_key_map({"driver_id": "other_driver"}),
            forever,
            spend_view,
        ],
    )
    return repo.apply(driver, city, everything, forever, pushed, spend_view, service)


def test_views_come_sorted_with_their_types_and_keys(store: FeatureStore) -> None:
    registry = compile_store(store)
    assert [view.name for view in registry.feature_views] == ["everything", "forever", "pushed"]
    everything = registry.feature_views[0]
    assert everything.join_keys == (
        Field("driver_id", Dtype.INT64),
        Field("city_code", Dtype.STRING),
    )
    declared = {field.name: field.dtype for field in everything.features}
    assert set(declared.values()) == set(Dtype)
    assert declared["an_int64"] is Dtype.INT64
    assert declared["a_time_list"] is Dtype.UNIX_TIMESTAMP_LIST


def test_ttl_and_tags_are_read_and_zero_is_forever(store: FeatureStore) -> None:
    everything, forever, pushed = compile_store(store).feature_views
    assert everything.ttl_us == 86_400_000_001
    assert everything.ttl_enforcement is TtlEnforcement.SHADOW
    assert everything.expired_values is ExpiredValues.RETURN
    assert (forever.ttl_us, pushed.ttl_us) == (None, None)
    assert forever.ttl_enforcement is TtlEnforcement.ENFORCE
    assert forever.expired_values is ExpiredValues.WITHHOLD


def test_entityless_view_has_no_join_keys(store: FeatureStore) -> None:
    assert compile_store(store).feature_views[1].join_keys == ()


def test_on_demand_view_keeps_inputs_outputs_and_a_function_that_runs(store: FeatureStore) -> None:
    (spend,) = compile_store(store).on_demand_views
    assert spend.inputs == (("pushed", "trips"),)
    assert spend.request_fields == (Field("amount", Dtype.FLOAT64),)
    assert spend.features == (Field("per_trip", Dtype.FLOAT64),)
    assert (spend.mode, spend.is_singleton) == ("python", False)
    assert "def spend" in spend.udf_source
    inputs: dict[str, list[Any]] = {"amount": [6.0, 1.0], "trips": [3, None]}
    assert OnDemandFunction(spend).apply(inputs, 2) == {"per_trip": [2.0, None]}


def test_inputs_do_not_depend_on_the_order_in_which_protobuf_gives_its_maps(
    tmp_path: Path,
) -> None:
    repo = FeastRepo(tmp_path)
    views = [repo.view(name, [], {"load": Float64}) for name in ("b", "a", "c")]
    tills = [
        RequestSource(name=name, schema=[FeastField(name=f"of_{name}", dtype=Float64)])
        for name in ("till", "app")
    ]
    view = on_demand_feature_view(
        sources=[*views, *tills],
        schema=[FeastField(name="total", dtype=Float64)],
        mode="python",
    )(lambda inputs: {"total": inputs["of_till"]})
    before = compile_on_demand_view(view)
    for name in ("source_feature_view_projections", "source_request_sources"):
        setattr(view, name, dict(reversed(getattr(view, name).items())))
    after = compile_on_demand_view(view)
    assert [name for name, _ in after.inputs] == ["a", "b", "c"]
    assert (after.inputs, after.request_fields) == (before.inputs, before.request_fields)


def test_service_keeps_aliases_renamed_keys_and_chosen_features(store: FeatureStore) -> None:
    (service,) = compile_store(store).feature_services
    assert service.projections == (
        Projection("everything", "away", ("a_bool", "an_int64"), (("driver_id", "other_driver"),)),
        Projection("forever", "forever", ("load",)),
        Projection("spend", "spend", ("per_trip",)),
    )


def test_two_compilations_are_equal_and_other_projects_are_empty(store: FeatureStore) -> None:
    registry = compile_store(store)
    assert compile_store(FeatureStore(repo_path=str(store.repo_path))) == registry
    elsewhere = compile_registry(store.registry, "elsewhere")
    assert (elsewhere.feature_views, elsewhere.feature_services) == ((), ())


def view_with(tmp_path: Path, **options: Any) -> FeatureView:
    schema = options.pop("schema", {"driver_id": Int64, "trips": Int64})
    view = FeastRepo(tmp_path).view("stats", [driver], schema, **options)
    names = [FeastField(name=name, dtype=dtype) for name, dtype in schema.items()]
    view.entity_columns, view.features = names[:1], names[1:]
    return view


NESTED = Array(Struct({'a, "b"': Set(Uuid), "deep": Struct({"m": Map})}))
FURTHER: dict[str, Any] = {
    "Json": Json,
    "Array(Map)": Array(Map),
    "Array(Array(Int64))": Array(Array(Int64)),
    'Array(Struct({"a, \\"b\\"": Set(Uuid), "deep": Struct({"m": Map})}))': NESTED,
}


@pytest.mark.parametrize("declared", [Array(PdfBytes), Array(ImageBytes), Set(Json), Set(PdfBytes)])
def test_online_view_with_a_type_without_online_value_is_refused_by_its_feature(
    tmp_path: Path, declared: Any
) -> None:
    view = view_with(tmp_path, schema={"driver_id": Int64, "extra": Int64})
    view.features[0].dtype = declared
    with pytest.raises(UnsupportedDtypeError) as caught:
        compile_feature_view(view)
    assert caught.value.message == f"stats:extra: type `{declared}` is kept offline only"
    assert "online=False" in (caught.value.hint or "")
    assert compile_feature_view(view, is_offline=True).features[0].dtype.value == str(declared)


@pytest.mark.parametrize("name", FURTHER)
def test_further_type_is_compiled_online_and_offline(tmp_path: Path, name: str) -> None:
    schema = {"driver_id": Int64, "extra": FURTHER[name]}
    expected = (Field("extra", Dtype(name)),)
    online_view = view_with(tmp_path, schema=schema)
    assert compile_feature_view(online_view).features == expected
    assert compile_feature_view(online_view, is_offline=True).features == expected
    offline_view = view_with(tmp_path, schema=schema, online=False)
    assert compile_feature_view(offline_view).features == expected


def test_registry_is_compiled_with_further_types(
    tmp_path: Path,
) -> None:
    repo = FeastRepo(tmp_path)
    schema = {"driver_id": Int64, **{f"f{i}": dtype for i, dtype in enumerate(FURTHER.values())}}
    rich, plain = repo.view("rich", [driver], schema), repo.view("plain", [], {"load": Float64})
    registry = compile_store(repo.apply(driver, rich, plain))
    assert [view.name for view in registry.feature_views] == ["plain", "rich"]
    declared = [field.dtype for field in registry.feature_views[1].features]
    assert declared == [Dtype(name) for name in FURTHER]


def test_type_that_feast_did_not_infer_is_named(tmp_path: Path) -> None:
    view = view_with(tmp_path, schema={"driver_id": Int64, "extra": Invalid})
    with pytest.raises(UnsupportedDtypeError, match="stats:extra: type `Invalid` is not supported"):
        compile_feature_view(view)


def test_fields_of_a_struct_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    twins = Set(Array(Array(Struct({"a": Int64, "A": Int64}))))
    view = view_with(tmp_path, schema={"driver_id": Int64, "extra": twins}, online=False)
    with pytest.raises(SchemaError, match="stats:extra: fields `a` and `A` of the struct differ"):
        compile_feature_view(view)


@pytest.mark.parametrize("dtype", [Float64, Bool, Array(Int64)], ids=str)
def test_join_key_of_a_type_without_bytes_is_named(tmp_path: Path, dtype: Any) -> None:
    view = view_with(tmp_path)
    view.entity_columns = [FeastField(name="driver_id", dtype=dtype)]
    with pytest.raises(UnsupportedDtypeError, match="stats: join key `driver_id` has type"):
        compile_feature_view(view)


@pytest.mark.parametrize("tag", ["ttl_enforcement", "expired_values"])
def test_tag_that_means_nothing_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(SchemaError, match=f"stats: tag `{tag}` is 'sometimes'") as caught:
        compile_feature_view(view_with(tmp_path, tags={tag: "sometimes"}))
    assert str(caught.value.hint).startswith("use one of ")


def test_negative_ttl_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="stats: the ttl is negative"):
        compile_feature_view(view_with(tmp_path, ttl=timedelta(seconds=-1)))


def test_no_ttl_is_forever(tmp_path: Path) -> None:
    assert compile_feature_view(view_with(tmp_path, ttl=None)).ttl_us is None


def test_a_services_tags_are_compiled(tmp_path: Path) -> None:
    repo = FeastRepo(tmp_path)
    stats = repo.view("stats", [driver], {"driver_id": Int64, "trips": Int64, "rate": Float32})
    request = RequestSource(name="till", schema=[FeastField(name="amount", dtype=Float64)])

    def twice(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double": [2 * amount for amount in inputs["amount"]]}

    double = on_demand_feature_view(
        sources=[request], schema=[FeastField(name="double", dtype=Float64)], mode="python"
    )(twice)
    tags = {
        "evenstore.default.mine:trips": "7",
        "evenstore.defaults": '{"twice:double": 0}',
        "evenstore.on_unavailable": "open",
        "evenstore.max_stale": "2h",
        "team": "risk",
    }
    service = FeatureService(
        name="svc",
        features=[stats.with_name("mine"), double],
        tags=tags,
        description="What risk asks.",
        owner="risk@example.com",
    )
    plain = FeatureService(name="plain", features=[stats])
    compiled = compile_store(repo.apply(driver, stats, double, service, plain))
    declared, without = sorted(compiled.feature_services, key=lambda each: each.name, reverse=True)
    assert declared.defaults == (
        FeatureDefault("mine", "trips", "7"),
        FeatureDefault("twice", "double", "0.0"),
    )
    assert declared.on_unavailable is OnUnavailable.OPEN
    assert declared.max_stale_us == 7_200_000_000
    assert (declared.description, declared.owner) == ("What risk asks.", "risk@example.com")
    assert (without.defaults, without.on_unavailable, without.max_stale_us) == (
        (),
        OnUnavailable.CLOSED,
        0,
    )
    assert load_registry_schema(dump_registry_schema(compiled)) == compiled

    wrong = FeatureService(name="svc", features=[stats], tags={"evenstore.default.stats:trip": "7"})
    compiled = compile_store(repo.apply(driver, stats, wrong))
    with pytest.raises(SchemaError, match=r"`svc`: tag `evenstore.default.stats:trip`") as raised:
        resolve_service(compiled, "svc")
    assert raised.value.hint == "did you mean `stats:trips`?"
    assert resolve_service(compiled, "plain").columns, "the other services are served"
    assert load_registry_schema(dump_registry_schema(compiled)) == compiled
