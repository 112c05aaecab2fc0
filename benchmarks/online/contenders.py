"""Who takes part in the online benchmark: sections of feature_store.yaml, and nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.names import check_names
from benchmarks.online.cases import FEAST, FEAST_BATCHED, FEAST_LAYOUT, PACKED
from evenstore.errors import ConfigurationError

__all__ = ["ONLINE_CONTENDERS", "OnlineContender", "find_online_contenders"]

_STOCK_STORE = {"type": "redis", "redis_type": "redis"}
_OUR_STORE = {"type": "evenstore.online.store.RedisOnlineStore"}
_OUR_SECTIONS: Mapping[str, Any] = {
    "offline_store": {"type": "evenstore.offline.store.DuckDBOfflineStore"},
    "batch_engine": {"type": "evenstore.compute.engine.DuckDBComputeEngine"},
}
_STOCK_SECTIONS: Mapping[str, Any] = {
    "offline_store": {"type": "duckdb"},
    "batch_engine": {"type": "local"},
}


@dataclass(frozen=True, slots=True)
class OnlineContender:
    """One way of getting rows into Redis and values out of it.

    Attributes:
        name: What `--contenders` calls it.
        summary: One line for `--help` and the report.
        online_store: That section of feature_store.yaml, without the connection.
        sections: Other sections.
        is_stock: Whether its answers have stock Feast's known faults (benchmarks/README.md).
        row_bytes: Memory it takes per row of a view, for the check before it starts.
        max_entities: Most entities it is given: more would take minutes or all memory.
    """

    name: str
    summary: str
    online_store: Mapping[str, Any]
    sections: Mapping[str, Any] = field(default_factory=dict)
    is_stock: bool = False
    row_bytes: int = 100
    max_entities: int | None = None

    def config(self, port: int) -> dict[str, Any]:
        """Return the sections of feature_store.yaml for a Redis on a port of this machine."""
        store = {**self.online_store, "connection_string": f"127.0.0.1:{port}"}
        return {**self.sections, "online_store": store}


ONLINE_CONTENDERS: dict[str, OnlineContender] = {
    contender.name: contender
    for contender in (
        OnlineContender(
            FEAST,
            "stock Feast: Redis store, local engine, DuckDB store, its defaults",
            _STOCK_STORE,
            _STOCK_SECTIONS,
            is_stock=True,
            row_bytes=10_000,
            max_entities=200_000,
        ),
        OnlineContender(
            FEAST_BATCHED,
            "the same with online_write_batch_size 10000 and pull_latest_features",
            _STOCK_STORE,
            {
                **_STOCK_SECTIONS,
                "materialization": {
                    "online_write_batch_size": 10_000,
                    "pull_latest_features": True,
                },
            },
            is_stock=True,
            row_bytes=1_000,
        ),
        OnlineContender(
            PACKED, "ours, packed rows", {**_OUR_STORE, "layout": "packed"}, _OUR_SECTIONS
        ),
        OnlineContender(
            FEAST_LAYOUT, "ours, Feast's layout", {**_OUR_STORE, "layout": "feast"}, _OUR_SECTIONS
        ),
    )
}


def find_online_contenders(names: Iterable[str]) -> tuple[OnlineContender, ...]:
    """Look contenders up by name; a dotted name is a module with a `CONTENDER` of its own.

    Raises:
        ConfigurationError: There is no such contender.
    """
    return tuple(
        ONLINE_CONTENDERS.get(name) or _imported(name)
        for name in check_names(names, ONLINE_CONTENDERS, "contender", or_module=True)
    )


def _imported(name: str) -> OnlineContender:
    contender = importlib.import_module(name).CONTENDER
    if not isinstance(contender, OnlineContender):
        msg = f"`{name}.CONTENDER` is no OnlineContender"
        raise ConfigurationError(msg, hint="see benchmarks/online/contenders.py")
    return contender
