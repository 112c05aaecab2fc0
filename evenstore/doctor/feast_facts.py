"""What a repo's feature_store.yaml says, as plain data, and which Redis it names.

Works on a repo without evenstore's stores too: who adopts them asks the doctor first.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from feast import RepoConfig

from evenstore.errors import ConfigurationError, EvenstoreError
from evenstore.redis_server import resolve_connection
from evenstore.redis_url import parse_connection
from evenstore.schema.model import Layout
from evenstore.schema.repository import keeps_versions

__all__ = [
    "OUR_BATCH_ENGINE",
    "OUR_OFFLINE_STORE",
    "OUR_ONLINE_STORE",
    "FeastFacts",
    "RedisPlace",
    "gather_feast_facts",
    "installed_feast",
    "locate_redis",
]

OUR_OFFLINE_STORE = "evenstore.offline.store.DuckDBOfflineStore"
OUR_ONLINE_STORE = "evenstore.online.store.RedisOnlineStore"
OUR_BATCH_ENGINE = "evenstore.compute.engine.DuckDBComputeEngine"

_STOCK_REDIS = "redis"
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class FeastFacts:
    """What feature_store.yaml says.

    Attributes:
        registry_type: `file`, `sql` and so on.
        serves_while_materializing: Whether reads go on while a run marks its view.
        allows_versions: Whether references may name a version of a view.
        reads_versions: Whether that is so and the online store can read such a reference.
        entity_key_version: Of the bytes of entity keys.
        offline_store: Its type, as for the two below.
        online_store: Its type.
        batch_engine: Its type.
        layout: In which the online store keeps rows.
        skips_newest_wins: Whether stock's store is told to overwrite without looking.
    """

    registry_type: str
    serves_while_materializing: bool
    allows_versions: bool
    reads_versions: bool
    entity_key_version: int
    offline_store: str
    online_store: str
    batch_engine: str
    layout: Layout = Layout.FEAST
    skips_newest_wins: bool = False


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where the online store's Redis is.

    Attributes:
        url: None where the repo names no Redis, or none that can be asked.
        timeout_s: Longest wait for a reply.
        problem: Why there is no URL although the online store is a Redis.
    """

    url: str | None
    timeout_s: float = _TIMEOUT_S
    problem: EvenstoreError | None = None


def installed_feast() -> str:
    """Return the version of Feast that is installed."""
    return metadata.version("feast")


def gather_feast_facts(config: RepoConfig) -> FeastFacts:
    """Read a repo's configuration; nothing is connected to."""
    registry: Any = config.registry
    online: Any = config.online_store
    allows_versions = keeps_versions(config)
    return FeastFacts(
        registry_type=registry.registry_type,
        serves_while_materializing=bool(
            getattr(registry, "serve_features_while_materializing", False)
        ),
        allows_versions=allows_versions,
        # To ask, Feast imports every store that it knows.
        reads_versions=allows_versions and _reads_versions(online),
        entity_key_version=config.entity_key_serialization_version,
        offline_store=_type_name(config.offline_config),
        online_store=_type_name(config.online_config),
        batch_engine=_type_name(config.batch_engine_config),
        layout=Layout(getattr(online, "layout", Layout.FEAST.value)),
        skips_newest_wins=bool(getattr(online, "skip_dedup", False)),
    )


def locate_redis(config: RepoConfig, repo: Path) -> RedisPlace:
    """Find the Redis that evenstore's or stock Feast's online store is configured with."""
    kind = _type_name(config.online_config)
    settings: Any = config.online_store
    try:
        if kind == OUR_ONLINE_STORE:
            url = resolve_connection(settings.connection_string, repo)
            return RedisPlace(url, settings.timeout_s)
        if kind == _STOCK_REDIS:
            return RedisPlace(_stock_url(settings))
    except EvenstoreError as exc:
        return RedisPlace(None, problem=exc)
    return RedisPlace(None)


def _stock_url(settings: Any) -> str:
    redis_type = str(getattr(settings.redis_type, "value", settings.redis_type))
    if redis_type != "redis":
        msg = f"the online store's `redis_type` is {redis_type}"
        hint = "only one standalone server is supported yet: name the primary in connection_string"
        raise ConfigurationError(msg, hint=hint)
    text: str = settings.connection_string
    options = dict(part.strip().partition("=")[::2] for part in text.split(",") if "=" in part)
    socket_path = options.get("unix_socket_path")
    if socket_path is None:
        return parse_connection(text, where="connection_string")
    return f"unix://{quote(socket_path)}?db={options.get('db', '0')}"


def _type_name(section: Any) -> str:
    """Name what a section of feature_store.yaml chooses: Feast takes a name or a mapping."""
    if isinstance(section, dict):
        return str(section.get("type", "none"))
    return str(section or "none")


def _reads_versions(online_config: Any) -> bool:
    from feast.infra.online_stores.helpers import get_online_store_from_config

    if online_config is None:
        return False
    store = get_online_store_from_config(online_config)
    says = getattr(store, "_versioned_read_supported", None)
    if says is None:
        # Feast asks the class where the store does not say.
        says = getattr(store, "_is_versioned_read_supported", bool)()
    return bool(says)
