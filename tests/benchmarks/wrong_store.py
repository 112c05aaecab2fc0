"""A contender of the online benchmark with a fault, for the harness to find; named by module."""

from __future__ import annotations

from typing import Any, Literal

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.online_response import OnlineResponse
from typing_extensions import override

from benchmarks.online.contenders import OnlineContender

__all__ = ["CONTENDER", "WrongOnlineStore", "WrongOnlineStoreConfig"]

_TYPE = "tests.benchmarks.wrong_store.WrongOnlineStore"

CONTENDER = OnlineContender(
    "tests.benchmarks.wrong_store",
    "stock Feast, one value off by one",
    {"type": _TYPE},
    {"offline_store": {"type": "duckdb"}, "batch_engine": {"type": "local"}},
    is_stock=True,
)


class WrongOnlineStoreConfig(RedisOnlineStoreConfig):
    """As stock's."""

    type: Literal["tests.benchmarks.wrong_store.WrongOnlineStore"] = (
        "tests.benchmarks.wrong_store.WrongOnlineStore"  # type: ignore[assignment]
    )


class WrongOnlineStore(RedisOnlineStore):
    """Stock's, but for the third entity's `view_0:int_2`."""

    @override
    def get_online_features(self, *args: Any, **options: Any) -> OnlineResponse:
        response = super().get_online_features(*args, **options)
        names = list(response.proto.metadata.feature_names.val)
        response.proto.results[names.index("view_0__int_2")].values[2].int64_val += 1
        return response
