"""The feature repo as Feast reads it, and the types of its views against the files."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FileSource
from feast.repo_config import load_repo_config

from evenstore.dtypes import Dtype
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_store
from evenstore.schema.model import RegistrySchema
from evenstore.schema.on_demand import OnDemandFunction
from evenstore.schema.request import resolve_service
from tests.demo.lines import line, write_lines
from tests.demo.shop_repo import REPO, ShopRepo
from tests.evenstore.transform.runs import Table, shop_sql

# Each view with its ttl. The two that get rows every day bear one missed run, and no more.
TTLS = {
    "customer_activity": timedelta(days=2),
    "customer_profile": timedelta(0),
    "product_demand": timedelta(days=2),
    "customer_product": timedelta(days=365),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return ShopRepo(tmp_path_factory.mktemp("shop")).store


@pytest.fixture(scope="module")
def registry(store: FeatureStore) -> RegistrySchema:
    return compile_store(store)


def test_apply_needs_no_feature_file_and_registers_everything(registry: RegistrySchema) -> None:
    assert {view.name for view in registry.feature_views} == set(TTLS)
    assert [view.name for view in registry.on_demand_views] == ["checkout_line"]
    services = {
        service.name: [projection.view for projection in service.projections]
        for service in registry.feature_services
    }
    assert services == {
        "churn_v1": ["customer_activity", "customer_profile"],
        "returns_v1": [*TTLS, "checkout_line"],
    }


def test_the_features_are_of_every_kind_that_a_shop_has(registry: RegistrySchema) -> None:
    stored = [feature for view in registry.feature_views for feature in view.features]
    assert len(stored) >= 25
    assert {feature.dtype for feature in stored} == {
        Dtype.INT64,
        Dtype.FLOAT64,
        Dtype.FLOAT32,
        Dtype.STRING,
        Dtype.BOOL,
        Dtype.UNIX_TIMESTAMP,
        Dtype.STRING_LIST,
    }


def test_services_ask_for_the_keys_and_request_data_of_their_scenario(
    registry: RegistrySchema,
) -> None:
    churn, returns = (resolve_service(registry, name) for name in ("churn_v1", "returns_v1"))
    assert [field.name for field in churn.entity_columns] == ["customer_id"]
    assert churn.request_fields == ()
    assert {field.name for field in returns.entity_columns} == {"customer_id", "stock_code"}
    request = [(field.name, field.dtype) for field in returns.request_fields]
    assert request == [
        ("quantity", Dtype.INT64),
        ("unit_price", Dtype.FLOAT64),
        ("basket_value", Dtype.FLOAT64),
    ]


@pytest.mark.parametrize("name", TTLS)
def test_declared_columns_are_those_of_the_files_in_name_order_and_type(
    tmp_path: Path, registry: RegistrySchema, name: str
) -> None:
    lines = write_lines(tmp_path / "lines.parquet", [line("1", "2011-03-07T10:00")])
    table = Table(tmp_path, shop_sql(name), lines)
    table.run("2011-03-07", "2011-03-07")
    (path,) = table.folder.iterdir()
    view = next(view for view in registry.feature_views if view.name == name)
    declared = {field.name: arrow_type(field.dtype) for field in (*view.join_keys, *view.features)}
    schema = pq.read_schema(path)
    stamps = {"event_timestamp", "created"}
    written = {field.name: field.type for field in schema if field.name not in stamps}
    assert written == declared
    assert list(written) == list(declared)
    assert tuple(key.name for key in view.join_keys) == table.sql.join_keys
    assert pq.read_table(path).num_rows >= 1


@pytest.mark.parametrize("name", TTLS)
def test_every_view_says_owner_tier_promise_ttl_and_the_sql_it_comes_from(
    store: FeatureStore, name: str
) -> None:
    view, sql = store.get_feature_view(name), shop_sql(name)
    assert view.owner
    assert view.description
    assert view.online
    assert view.ttl == TTLS[name]
    assert view.tags["tier"] in {"critical", "standard", "batch"}
    # The promise is read by people, the delay by the transform: they must say the same.
    assert f"-- publication delay: {view.tags['promise']}\n" in sql.text
    assert view.tags["sql_fingerprint"] == sql.fingerprint
    assert view.tags["sql_version"] == str(sql.version)
    join_keys = {column.name for column in view.entity_columns}
    assert all(feature.description for feature in view.schema if feature.name not in join_keys)


def test_the_other_declarations_have_owners_too(store: FeatureStore) -> None:
    (checkout_line,) = store.list_on_demand_feature_views()
    assert checkout_line.owner
    assert checkout_line.description
    assert checkout_line.tags["tier"] == "critical"
    for service in store.list_feature_services():
        assert service.owner
        assert service.description
        assert service.tags["tier"] in {"critical", "batch"}
    for entity in store.list_entities():
        assert entity.description


def test_sources_are_folders_beside_the_repo(store: FeatureStore) -> None:
    for view in store.list_feature_views():
        source = view.batch_source
        assert isinstance(source, FileSource)
        assert source.path == f"../.evenstore/features/{view.name}"
        assert source.timestamp_field == "event_timestamp"
        assert source.created_timestamp_column == "created"


# One line at the till: (quantity, unit price, basket, usual basket, usual price), and what the view
# makes of it: (quantity, value, share of basket, basket to usual, price to usual, is larger).
CHECKOUT_LINES: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
    ((2, 3.0, 12.0, 8.0, 4.0), (2, 6.0, 0.5, 1.5, 0.75, True)),
    ((2, 3.0, 12.0, 24.0, 3.0), (2, 6.0, 0.5, 0.5, 1.0, False)),
    ((1, 8.0, 8.0, 8.0, 8.0), (1, 8.0, 1.0, 1.0, 1.0, False)),
    # Nothing is usual for a new customer and a new product.
    ((2, 3.0, 12.0, None, None), (2, 6.0, 0.5, None, None, None)),
    ((2, 3.0, 12.0, 0.0, 0.0), (2, 6.0, 0.5, None, None, None)),
    ((2, 3.0, 12.0, math.nan, math.nan), (2, 6.0, 0.5, None, None, None)),
    # What the till did not send.
    ((None, 3.0, 12.0, 8.0, 4.0), (None, None, None, 1.5, 0.75, True)),
    ((2, None, 12.0, 8.0, 4.0), (2, None, None, 1.5, None, True)),
    ((2, 3.0, None, 8.0, 4.0), (2, 6.0, None, None, 0.75, None)),
    # A gift.
    ((2, 0.0, 0.0, 8.0, 4.0), (2, 0.0, None, 0.0, 0.0, False)),
    ((0, 3.0, 12.0, 8.0, 4.0), (0, 0.0, 0.0, 1.5, 0.75, True)),
]


def test_the_checkout_line_is_compared_with_what_is_usual_and_null_where_nothing_is(
    registry: RegistrySchema,
) -> None:
    (view,) = registry.on_demand_views
    names = ["quantity", "unit_price", "basket_value", "avg_basket_90d", "avg_unit_price_30d"]
    columns = zip(*(inputs for inputs, _ in CHECKOUT_LINES), strict=True)
    inputs = dict(zip(names, map(list, columns), strict=True))
    outputs = OnDemandFunction(view).apply(inputs, len(CHECKOUT_LINES))
    assert list(outputs) == [field.name for field in view.features]
    assert list(zip(*outputs.values(), strict=True)) == [made for _, made in CHECKOUT_LINES]


def test_the_default_profile_names_the_three_plug_ins_and_the_embedded_redis() -> None:
    config = load_repo_config(REPO, REPO / "feature_store.yaml")
    assert config.project == "shop"
    assert config.offline_store.type == "evenstore.offline.store.DuckDBOfflineStore"
    assert config.batch_engine.type == "evenstore.compute.engine.DuckDBComputeEngine"
    assert config.online_store.type == "evenstore.online.store.RedisOnlineStore"
    assert config.online_store.connection_string == "embedded"
    assert config.registry.serve_features_while_materializing is True
    assert config.entity_key_serialization_version == 3
