"""Small repos to examine, and a way to name what was found."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import Entity, ValueType
from feast.types import Int64
from redis import Redis

from evenstore.doctor.finding import Finding
from tests.support.feast_repo import FeastRepo

__all__ = [
    "DRIVER",
    "SCHEMA",
    "Found",
    "fresh_rows",
    "healthy_repo",
    "redis_setting",
    "severities",
    "used_memory_bytes",
]

DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
SCHEMA = {"driver_id": Int64, "trips": Int64}

Found = list[tuple[str, str]]


def fresh_rows(n_drivers: int, *, age: timedelta = timedelta(minutes=5)) -> pa.Table:
    """Make a row for each of some drivers, written a moment ago."""
    instant = datetime.now(tz=UTC) - age
    stamps = pa.array([instant] * n_drivers, pa.timestamp("us", "UTC"))
    numbers = pa.array(range(n_drivers), pa.int64())
    columns = {"driver_id": numbers, "trips": numbers}
    return pa.table(columns | {"event_timestamp": stamps, "created": stamps})


def healthy_repo(path: Path, redis_url: str | None, **overrides: Any) -> FeastRepo:
    """Make a repo in which only what a test plants is wrong; nothing is applied yet."""
    registry = {
        "registry_type": "sql",
        "path": f"sqlite:///{path}/registry.sqlite",
        "serve_features_while_materializing": True,
    }
    repo = FeastRepo(path, redis_url=redis_url, overrides={"registry": registry} | overrides)
    repo.write_rows("stats", fresh_rows(30))
    return repo


def redis_setting(client: Redis, name: str) -> str:
    """Return one setting of a server."""
    found: Any = client.config_get(name)
    return str(found[name])


def used_memory_bytes(client: Redis) -> int:
    """Return what a server uses."""
    lines: Any = client.info("memory")
    return int(lines["used_memory"])


def severities(findings: Iterable[Finding], *checks: str) -> Found:
    """Name what was found by some checks, or by all: the check and its severity."""
    return [
        (found.check, found.severity.value)
        for found in findings
        if not checks or found.check in checks
    ]
