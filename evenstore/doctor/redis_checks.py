"""What the facts of one Redis mean for an online store: pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable

from evenstore.doctor.finding import Finding, Severity, fine
from evenstore.doctor.redis_facts import RedisFacts
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US

__all__ = ["check_redis", "show_bytes"]

_LOWEST = (6, 2)
_WARN_SKEW_US = 1_000_000
_US_PER_S = 1_000_000
_TIGHT = 0.8
_FULL = 0.95
_EVICTING = "allkeys-"
_SCRIPTS = ("EVAL", "SCRIPT LOAD", "EVALSHA")


def check_redis(facts: RedisFacts) -> list[Finding]:
    """Judge one Redis that answers.

    Checks that need INFO are left out where it is refused; `redis-access` says so then.
    """
    found = [fine("redis-reachable", facts.url), _check_access(facts)]
    if facts.info:
        found += [check(facts) for check in _INFO_CHECKS]
    return [*found, _check_scripts(facts), _check_skew(facts)]


def _check_access(facts: RedisFacts) -> Finding:
    refused = [name for name in facts.refusals if name in _LOST]
    if not refused:
        return fine("redis-access", "INFO, CONFIG GET and TIME are allowed")
    only_config = refused == ["CONFIG GET"]
    grants = " ".join(_GRANTS[name] for name in refused)
    return Finding(
        "redis-access",
        # Managed services refuse CONFIG to everybody, and little depends on it.
        Severity.INFO if only_config else Severity.WARNING,
        f"the Redis user may not use {', '.join(refused)}",
        "could not look at " + "; ".join(_LOST[name] for name in refused),
        f"allow it to the user that runs the doctor (`ACL SETUSER <user> {grants}`), "
        "or look at the service's console",
    )


_LOST = {
    "INFO": "version, memory, eviction policy, persistence and topology",
    "CONFIG GET": "the limits of compact hashes",
    "TIME": "the skew of the clocks",
}
_GRANTS = {"INFO": "+info", "CONFIG GET": "+config|get", "TIME": "+time"}


def _check_version(facts: RedisFacts) -> Finding:
    text = facts.info.get("redis_version", "")
    number = re.match(r"(\d+)\.(\d+)", text)
    valkey = facts.info.get("valkey_version")
    name = f"Valkey {valkey}" if valkey else f"Redis {text or 'of an unknown version'}"
    if number is None:
        consequence = "whether the write scripts run there is not known"
        remedy = "use Redis 6.2 or later, or Valkey"
        return Finding("redis-version", Severity.WARNING, name, consequence, remedy)
    if (int(number[1]), int(number[2])) < _LOWEST:
        return Finding(
            "redis-version",
            Severity.ERROR,
            f"{name} is older than {_LOWEST[0]}.{_LOWEST[1]}",
            "scripts and commands that the store uses are missing or behave otherwise",
            "upgrade to Redis 6.2 or later, or to Valkey",
        )
    return fine("redis-version", name)


def _check_topology(facts: RedisFacts) -> Finding:
    mode = facts.info.get("redis_mode", "standalone")
    if mode == "cluster" or facts.info.get("cluster_enabled") == "1":
        return Finding(
            "redis-topology",
            Severity.ERROR,
            "this is a node of a Redis Cluster",
            "writes of a batch of entities are refused: a script may touch one slot only",
            "use a standalone Redis or a primary with replicas: clusters are not supported yet",
        )
    if mode == "sentinel":
        return Finding(
            "redis-topology",
            Severity.ERROR,
            "this is a Sentinel, which holds no data",
            "every read and write is refused",
            "name the primary that it watches: Sentinel is not supported yet",
        )
    if facts.info.get("role") == "slave":
        host, port = facts.info.get("master_host", "?"), facts.info.get("master_port", "?")
        return Finding(
            "redis-topology",
            Severity.ERROR,
            f"this is a replica of {host}:{port}",
            "every write is refused, and reads lag behind",
            "connect to the primary",
        )
    return fine(
        "redis-topology", f"standalone, with {facts.number('connected_slaves') or 0} replicas"
    )


def _check_persistence(facts: RedisFacts) -> Finding:
    info = facts.info
    failed = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(name, "ok") != "ok"
    ]
    if failed:
        return Finding(
            "redis-persistence",
            Severity.ERROR,
            f"Redis could not save its data: {', '.join(failed)}",
            "Redis may refuse writes (`stop-writes-on-bgsave-error`), and a restart loses rows",
            "look at its log: is the disk full, or memory too short for a fork?",
        )
    if info.get("aof_enabled") == "1":
        return fine("redis-persistence", "append-only file is on")
    n_unsaved = facts.number("rdb_changes_since_last_save") or 0
    return Finding(
        "redis-persistence",
        Severity.INFO,
        f"no append-only file; {n_unsaved:,} changes since the last snapshot",
        "a restart loses what was written since the last snapshot; rows and watermarks are lost "
        "together, so the next materialization repairs runs, but pushed rows are gone",
        "`appendonly yes` where pushed rows matter",
    )


def _check_maxmemory(facts: RedisFacts) -> Finding:
    limit = facts.number("maxmemory")
    if limit:
        return fine("redis-maxmemory", show_bytes(limit))
    return Finding(
        "redis-maxmemory",
        Severity.WARNING,
        "`maxmemory` is not set",
        "Redis grows until the operating system kills it, which stops all readers",
        "`CONFIG SET maxmemory` to about 70 % of its machine or container: then a write is "
        "refused with a clear error, and reads go on",
    )


def _check_eviction(facts: RedisFacts) -> Finding:
    policy = facts.info.get("maxmemory_policy", "unknown")
    n_evicted = facts.number("evicted_keys") or 0
    has_limit = bool(facts.number("maxmemory"))
    evicted = f"; {n_evicted:,} keys were evicted since it started" if n_evicted else ""
    remedy = "`CONFIG SET maxmemory-policy noeviction`, and give it the memory that rows need"
    if policy.startswith(_EVICTING):
        return Finding(
            "redis-eviction",
            Severity.ERROR if has_limit or n_evicted else Severity.WARNING,
            f"`maxmemory-policy` is {policy}{evicted}",
            "when memory is short rows vanish without an error and are served as NOT_FOUND, while "
            "their watermark stays and the next run does not load them again",
            remedy + ("" if has_limit else " before a limit is set"),
        )
    if policy.startswith("volatile-") or n_evicted:
        return Finding(
            "redis-eviction",
            Severity.WARNING if has_limit or n_evicted else Severity.INFO,
            f"`maxmemory-policy` is {policy}{evicted}",
            "when memory is short rows with a physical expiry vanish before their ttl has passed; "
            "rows without one stay",
            remedy,
        )
    return fine("redis-eviction", policy)


def _check_headroom(facts: RedisFacts) -> Finding:
    used, limit = facts.number("used_memory"), facts.memory_limit_bytes
    if used is None or limit is None:
        return Finding(
            "redis-headroom",
            Severity.WARNING,
            "Redis tells neither a limit nor the memory of its machine",
            "whether a full load fits is not known",
            "set `maxmemory`",
        )
    of = "`maxmemory`" if facts.number("maxmemory") else "the machine's memory"
    what = f"{show_bytes(used)} used of {show_bytes(limit)}, {of}"
    if used < _TIGHT * limit:
        return fine("redis-headroom", what)
    return Finding(
        "redis-headroom",
        Severity.ERROR if used >= _FULL * limit else Severity.WARNING,
        what,
        "writes are refused or rows evicted when it is full; a snapshot or a rewrite of the "
        "append-only file needs memory on top",
        "give Redis more memory, remove views that nobody reads, or shorten ttls with expiry",
    )


def _check_scripts(facts: RedisFacts) -> Finding:
    refused = [name for name in _SCRIPTS if name in facts.refusals]
    if not refused:
        return fine("redis-scripts", "EVAL, EVALSHA and SCRIPT LOAD are allowed")
    reasons = "; ".join(f"{name}: {facts.refusals[name]}" for name in refused)
    return Finding(
        "redis-scripts",
        Severity.ERROR,
        f"scripts are refused ({reasons})",
        "no row can be written: whether a row is newer than the stored one is decided by a script",
        "allow them: `ACL SETUSER <user> +eval +evalsha +script|load`; reading needs none",
    )


def _check_skew(facts: RedisFacts) -> Finding:
    if facts.skew_us is None:
        return Finding(
            "clock-skew",
            Severity.INFO,
            "the server's clock could not be read",
            "whether both clocks agree is not known",
            "allow it: `ACL SETUSER <user> +time`",
        )
    # What the round trip alone can explain is no skew.
    skew_us = max(0, abs(facts.skew_us) - facts.round_trip_us // 2)
    side = "ahead of" if facts.skew_us > 0 else "behind"
    what = f"Redis' clock is {skew_us / _US_PER_S:,.1f} s {side} this machine's"
    if skew_us <= _WARN_SKEW_US:
        return fine("clock-skew", "this machine's clock and Redis' agree within a second")
    is_refused = skew_us > DEFAULT_MAX_SKEW_US
    limit_s = DEFAULT_MAX_SKEW_US // _US_PER_S
    return Finding(
        "clock-skew",
        Severity.ERROR if is_refused else Severity.WARNING,
        what,
        "ages and ttl differ from machine to machine"
        + (
            f"; rows that one machine writes are refused on another as more than {limit_s} s in "
            "the future"
            if is_refused
            else ", and so do which late rows a run sees"
        ),
        "run a time service (NTP, chrony) on both machines",
    )


def show_bytes(n_bytes: float) -> str:
    """Say an amount of memory for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes:,.0f} bytes"


_INFO_CHECKS: tuple[Callable[[RedisFacts], Finding], ...] = (
    _check_version,
    _check_topology,
    _check_persistence,
    _check_maxmemory,
    _check_eviction,
    _check_headroom,
)
