"""The feature repo as Feast reads it, and the types of its views against the files."""

from __future__ import annotations

import json
import shutil
import warnings
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FileSource
from feast.repo_config import load_repo_config
from feast.repo_operations import parse_repo

from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_store
from evenstore.schema.model import RegistrySchema
from evenstore.schema.on_demand import OnDemandFunction
from tests.demo.lines import line, write_lines
from tests.evenstore.transform.runs import Table, shop_sql

REPO = Path(__file__).parents[2] / "feature_repo"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """The definitions, applied with stock stores; no feature file exists."""
    repo = tmp_path_factory.mktemp("shop") / "feature_repo"
    shutil.copytree(REPO, repo, ignore=shutil.ignore_patterns("__pycache__"))
    config = {
        "project": "shop",
        "provider": "local",
        "registry": {"path": str(repo.parent / "registry.db")},
        "offline_store": {"type": "duckdb"},
        "online_store": {"type": "sqlite", "path": str(repo.parent / "online.db")},
        "entity_key_serialization_version": 3,
    }
    # JSON is YAML too.
    (repo / "feature_store.yaml").write_text(json.dumps(config), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # Feast warns that on-demand views are experimental.
        warnings.simplefilter("ignore", RuntimeWarning)
        patch.chdir(repo)
        patch.syspath_prepend(str(repo))
        contents = parse_repo(repo)
        found = FeatureStore(repo_path=str(repo))
        found.apply(
            [
                *contents.entities,
                *contents.data_sources,
                *contents.feature_views,
                *contents.on_demand_feature_views,
                *contents.feature_services,
            ]
        )
    return found


@pytest.fixture(scope="module")
def registry(store: FeatureStore) -> RegistrySchema:
    return compile_store(store)


def test_apply_needs_no_feature_file_and_registers_everything(registry: RegistrySchema) -> None:
    assert [view.name for view in registry.feature_views] == ["customer_activity", "product_demand"]
    assert [view.name for view in registry.on_demand_views] == ["basket_comparison"]
    (service,) = registry.feature_services
    assert service.name == "checkout_v1"
    assert [projection.view for projection in service.projections] == [
        "customer_activity",
        "product_demand",
        "basket_comparison",
    ]


@pytest.mark.parametrize("name", ["customer_activity", "product_demand"])
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


def test_every_view_says_owner_tier_promise_ttl_and_the_sql_it_comes_from(
    store: FeatureStore,
) -> None:
    for view in store.list_feature_views():
        sql = shop_sql(view.name)
        assert view.owner
        assert view.description
        assert view.tags["tier"] in {"critical", "standard", "batch"}
        assert view.tags["promise"]
        assert view.tags["sql_fingerprint"] == sql.fingerprint
        assert view.tags["sql_version"] == str(sql.version)
        assert view.ttl == timedelta(days=2)
        assert view.online


def test_sources_are_folders_beside_the_repo(store: FeatureStore) -> None:
    for view in store.list_feature_views():
        source = view.batch_source
        assert isinstance(source, FileSource)
        assert source.path == f"../.evenstore/features/{view.name}"
        assert source.timestamp_field == "event_timestamp"
        assert source.created_timestamp_column == "created"


def test_the_basket_is_compared_with_the_usual_one_and_null_where_there_is_none(
    registry: RegistrySchema,
) -> None:
    function = OnDemandFunction(registry.on_demand_views[0])
    outputs = function.apply(
        {
            "basket_value": [30.0, 10.0, None, 10.0, 10.0, 10.0],
            "avg_basket_90d": [20.0, 20.0, 20.0, None, 0.0, float("nan")],
        },
        6,
    )
    assert outputs == {
        "basket_to_usual": [1.5, 0.5, None, None, None, None],
        "is_larger_than_usual": [True, False, None, None, None, None],
    }


def test_the_default_profile_names_the_three_plug_ins_and_the_embedded_redis() -> None:
    config = load_repo_config(REPO, REPO / "feature_store.yaml")
    assert config.project == "shop"
    assert config.offline_store.type == "evenstore.offline.store.DuckDBOfflineStore"
    assert config.batch_engine.type == "evenstore.compute.engine.DuckDBComputeEngine"
    assert config.online_store.type == "evenstore.online.store.RedisOnlineStore"
    assert config.online_store.connection_string == "embedded"
    assert config.registry.serve_features_while_materializing is True
    assert config.entity_key_serialization_version == 3
