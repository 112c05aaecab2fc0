"""Feast's own remote online store (`type: remote`) with the gateway behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore

from tests.serving.differential.servers import Servers
from tests.support.feast_repo import FeastRepo

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.xdist_group("differential")]

# JSON has no bytes and no timestamps: the remote store gives what it was sent, by any server.
_PLAIN = ["n_int32", "n_int64", "n_float32", "n_float64", "is_active", "city"]
_REFS = [
    *(f"profile:{name}" for name in _PLAIN),
    *(f"lists:{name}" for name in ("counts", "weights", "tags")),
    "scores:score",
    "scores:rank",
]
_ROWS = [{"customer_id": number} for number in (1, 3, 5, 7, 404)]


@pytest.fixture
def remote(servers: Servers, tmp_path: Path) -> FeatureStore:
    """Another repo on the same registry, which knows the gateway's URL and no Redis."""
    repo = FeastRepo(
        tmp_path / "remote",
        project="ours",
        overrides={
            "registry": {"path": str(servers.our_repo.path / "registry.db")},
            "online_store": {"type": "remote", "path": servers.our_url},
        },
    )
    return repo.store()


def test_lookups_through_the_gateway_are_as_those_without(
    servers: Servers, remote: FeatureStore
) -> None:
    local = servers.our_repo.store()

    assert _ask(remote, _REFS, _ROWS) == _ask(local, _REFS, _ROWS)


def test_feature_service_is_found_by_name(servers: Servers, remote: FeatureStore) -> None:
    local = servers.our_repo.store()
    rows = [{"customer_id": 1, "store": "store-1"}, {"customer_id": 2, "store": "a b"}]

    answers = [_ask(store, store.get_feature_service("mixed"), rows) for store in (remote, local)]

    assert answers[0] == answers[1]


def _ask(store: FeatureStore, features: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return values and statuses by column."""
    response = store.get_online_features(features=features, entity_rows=rows)
    values = response.to_dict()
    names = response.proto.metadata.feature_names.val
    return {
        name: list(zip(values[name], vector.statuses, strict=True))
        for name, vector in zip(names, response.proto.results, strict=True)
    }
