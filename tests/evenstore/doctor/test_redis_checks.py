"""Each check of Redis both ways: on planted facts, and on a real server that is set so."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from redis import ConnectionPool, Redis

from evenstore.clock import FrozenClock, SystemClock
from evenstore.doctor.finding import Finding, Severity
from evenstore.doctor.redis_checks import check_redis, show_bytes
from evenstore.doctor.redis_facts import HashLimits, RedisFacts, gather_redis_facts
from evenstore.errors import OnlineStoreUnavailableError
from evenstore.online.connection import open_redis
from tests.evenstore.doctor.look import redis_setting, severities

_HEALTHY = {
    "redis_version": "7.0.15",
    "redis_mode": "standalone",
    "role": "master",
    "connected_slaves": "1",
    "aof_enabled": "1",
    "maxmemory": "1000000000",
    "maxmemory_policy": "noeviction",
    "used_memory": "400000000",
    "total_system_memory": "8000000000",
    "evicted_keys": "0",
    "cluster_enabled": "0",
}
_FACTS = RedisFacts("redis://db", _HEALTHY, HashLimits(64, 512), skew_us=20, round_trip_us=300)


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with open_redis(redis_url) as opened:
        yield opened


@contextlib.contextmanager
def _settings(client: Redis, changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: redis_setting(client, name) for name in changes}
    for name, value in changes.items():
        client.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.config_set(name, value)


def _check(client: Redis) -> list[Finding]:
    return check_redis(gather_redis_facts(client, "redis://db", SystemClock()))


def _planted(**lines: str) -> list[Finding]:
    return check_redis(replace(_FACTS, info=_HEALTHY | lines))


def test_healthy_redis_has_nothing_to_mend() -> None:
    assert {found.severity for found in check_redis(_FACTS)} == {Severity.OK}


@pytest.mark.parametrize(
    ("lines", "check", "severity"),
    [
        ({"redis_version": "6.0.16"}, "redis-version", "error"),
        ({"redis_version": "6.2.0"}, "redis-version", "ok"),
        ({"redis_version": "10.0.1"}, "redis-version", "ok"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, "redis-version", "ok"),
        ({"redis_version": "unstable"}, "redis-version", "warning"),
        ({"redis_mode": "cluster"}, "redis-topology", "error"),
        ({"cluster_enabled": "1"}, "redis-topology", "error"),
        ({"redis_mode": "sentinel"}, "redis-topology", "error"),
        ({"role": "slave", "master_host": "db1"}, "redis-topology", "error"),
        ({"aof_enabled": "0"}, "redis-persistence", "info"),
        ({"aof_last_write_status": "err"}, "redis-persistence", "error"),
        ({"aof_enabled": "0", "rdb_last_bgsave_status": "err"}, "redis-persistence", "error"),
        ({"maxmemory": "0"}, "redis-maxmemory", "warning"),
        ({"maxmemory_policy": "allkeys-lru"}, "redis-eviction", "error"),
        ({"maxmemory_policy": "allkeys-lfu", "maxmemory": "0"}, "redis-eviction", "warning"),
        ({"maxmemory_policy": "volatile-ttl"}, "redis-eviction", "warning"),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": "0"}, "redis-eviction", "info"),
        ({"evicted_keys": "7"}, "redis-eviction", "warning"),
        ({"used_memory": "850000000"}, "redis-headroom", "warning"),
        ({"used_memory": "990000000"}, "redis-headroom", "error"),
        ({"maxmemory": "0", "used_memory": "7000000000"}, "redis-headroom", "warning"),
        ({"maxmemory": "0", "total_system_memory": "0"}, "redis-headroom", "warning"),
    ],
)
def test_planted_fault_is_found(lines: dict[str, str], check: str, severity: str) -> None:
    findings = _planted(**lines)
    assert severities(findings, check) == [(check, severity)]
    for found in findings:
        assert found.severity is Severity.OK or (found.consequence and found.remedy)


def test_valkey_is_named() -> None:
    names = [
        found.what
        for found in _planted(redis_version="7.2.4", valkey_version="8.1.0")
        if found.check == "redis-version"
    ]
    assert names == ["Valkey 8.1.0"]


@pytest.mark.parametrize(
    ("skew_us", "round_trip_us", "severity"),
    [
        (900_000, 0, "ok"),
        (-2_000_000, 0, "warning"),
        (2_000_000, 3_000_000, "ok"),
        (61_000_000, 0, "error"),
        (-61_000_000, 0, "error"),
        (None, 0, "info"),
    ],
)
def test_skew_beyond_what_the_round_trip_explains_is_found(
    skew_us: int | None, round_trip_us: int, severity: str
) -> None:
    facts = replace(_FACTS, skew_us=skew_us, round_trip_us=round_trip_us)
    assert severities(check_redis(facts), "clock-skew") == [("clock-skew", severity)]


def test_real_server_is_read(client: Redis) -> None:
    facts = gather_redis_facts(client, "redis://db", SystemClock())
    assert facts.refusals == {}
    assert facts.hash_limits == HashLimits(64, 512)
    assert facts.memory_limit_bytes == facts.number("total_system_memory")
    expected = {"redis-maxmemory": "warning"}
    for check, severity in severities(check_redis(facts)):
        assert severity == expected.get(check, "ok"), check


def test_real_servers_settings_are_found(client: Redis) -> None:
    planted = {
        "maxmemory": "500mb",
        "maxmemory-policy": "allkeys-lru",
        "hash-max-ziplist-value": "100",
    }
    with _settings(client, planted):
        facts = gather_redis_facts(client, "redis://db", SystemClock())
    assert facts.hash_limits == HashLimits(100, 512)
    assert facts.memory_limit_bytes == 500 * 1024**2
    assert facts.headroom_bytes == 500 * 1024**2 - int(facts.info["used_memory"])
    found = severities(check_redis(facts), "redis-maxmemory", "redis-eviction")
    assert found == [("redis-maxmemory", "ok"), ("redis-eviction", "error")]


def test_real_replica_is_found(client: Redis) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        found = [finding for finding in _check(client) if finding.check == "redis-topology"]
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")
    assert found[0].severity is Severity.ERROR
    assert "127.0.0.1:1" in found[0].what


def test_clock_of_another_time_is_found(client: Redis) -> None:
    clock = FrozenClock(SystemClock().now_us() - 3_600_000_000)
    facts = gather_redis_facts(client, "redis://db", clock)
    (found,) = [finding for finding in check_redis(facts) if finding.check == "clock-skew"]
    assert found.severity is Severity.ERROR
    assert "ahead of" in found.what


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (("+@all", "-config"), {"redis-access": "info", "redis-maxmemory": "warning"}),
        (
            ("+@all", "-info"),
            {"redis-access": "warning", "redis-version": None, "redis-eviction": None},
        ),
        (
            ("+@all", "-time"),
            {"redis-access": "warning", "clock-skew": "info", "redis-maxmemory": "warning"},
        ),
        (("+@all", "-eval"), {"redis-scripts": "error", "redis-maxmemory": "warning"}),
        (("+@all", "-script"), {"redis-scripts": "error", "redis-maxmemory": "warning"}),
        (("+@all", "-evalsha"), {"redis-scripts": "error", "redis-maxmemory": "warning"}),
        # PING too may be refused.
        (("+hgetall",), {"redis-access": "warning", "redis-scripts": "error"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_user_with_few_rights_is_told_what_to_allow(
    client: Redis, rules: tuple[str, ...], expected: dict[str, str | None]
) -> None:
    with _narrow_client(client, *rules) as narrow:
        findings = _check(narrow)
    found = dict(severities(findings))
    for check, severity in expected.items():
        assert found.get(check) == severity, check
    for finding in findings:
        if finding.check in {"redis-access", "redis-scripts"} and finding.consequence:
            assert "ACL SETUSER" in finding.remedy


def test_server_that_is_not_there_is_an_error_of_its_own() -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as away,
        pytest.raises(OnlineStoreUnavailableError),
    ):
        gather_redis_facts(away, "unix:///nowhere/redis.sock", SystemClock())


@contextlib.contextmanager
def _narrow_client(client: Redis, *rules: str) -> Iterator[Redis]:
    client.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", *rules)
    pool = client.connection_pool
    settings = pool.connection_kwargs | {"username": "narrow", "password": "secret"}
    narrow = Redis(
        connection_pool=ConnectionPool(connection_class=pool.connection_class, **settings)
    )
    try:
        yield narrow
    finally:
        narrow.connection_pool.disconnect()
        client.execute_command("ACL", "DELUSER", "narrow")


def test_amounts_are_shown_for_people() -> None:
    assert [show_bytes(n) for n in (12, 1_500, 2_000_000, 3.25e9)] == [
        "12 bytes",
        "1.5 kB",
        "2.0 MB",
        "3.2 GB",
    ]
