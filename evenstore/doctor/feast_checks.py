"""What a repo's settings mean in production: pure functions, one finding each."""

from __future__ import annotations

from collections.abc import Callable

from evenstore.doctor.feast_facts import (
    OUR_BATCH_ENGINE,
    OUR_OFFLINE_STORE,
    OUR_ONLINE_STORE,
    FeastFacts,
)
from evenstore.doctor.finding import Finding, Severity, fine
from evenstore.errors import ConfigurationError
from evenstore.feast_versions import check_feast_version

__all__ = ["check_feast", "check_version"]

_ENTITY_KEY_VERSION = 3


def check_version(installed: str) -> Finding:
    """Judge the installed Feast."""
    try:
        check_feast_version(installed)
    except ConfigurationError as exc:
        consequence = "evenstore's stores refuse to load: they use hooks that Feast may change"
        return Finding("feast-version", Severity.ERROR, exc.message, consequence, exc.hint or "")
    return fine("feast-version", f"Feast {installed}")


def check_feast(facts: FeastFacts) -> list[Finding]:
    """Judge a repo's settings."""
    return [check(facts) for check in _CHECKS]


def _check_registry_type(facts: FeastFacts) -> Finding:
    if facts.registry_type != "file":
        return fine("registry-type", facts.registry_type)
    return Finding(
        "registry-type",
        Severity.WARNING,
        "the registry is one file",
        "it is written as a whole and in place: of two that write at once (`feast apply`, runs of "
        "different views) one loses its changes, and a reader may meet half of it",
        "in production `registry: {registry_type: sql, path: <database URL>}`",
    )


def _check_serving(facts: FeastFacts) -> Finding:
    if facts.serves_while_materializing:
        return fine("serve-while-materializing", "on")
    consequence = (
        "the SDK refuses reads of a view for the moment between the start of a run and the "
        "engine's first act"
        if facts.batch_engine == OUR_BATCH_ENGINE
        else "the SDK refuses reads of a view while a run of it lasts, and after one was killed"
    )
    return Finding(
        "serve-while-materializing",
        Severity.WARNING,
        "`serve_features_while_materializing` is off",
        consequence,
        "`registry: {serve_features_while_materializing: true}`; it works on a file registry too, "
        "whatever Feast's warning says",
    )


def _check_versions(facts: FeastFacts) -> Finding:
    if not facts.allows_versions:
        return fine("view-versions", "references name no versions")
    if facts.reads_versions:
        return fine("view-versions", "on; Feast's SDK and evenstore's gateway read them")
    return Finding(
        "view-versions",
        Severity.WARNING,
        "`enable_online_feature_view_versioning` is on, which the online store does not support",
        "a reference such as `view@v2:feature` is refused online",
        "turn it off, or give the new version of the view a name of its own",
    )


def _check_entity_key_version(facts: FeastFacts) -> Finding:
    version = facts.entity_key_version
    if version == _ENTITY_KEY_VERSION:
        return fine("entity-key-version", str(version))
    return Finding(
        "entity-key-version",
        Severity.ERROR,
        f"`entity_key_serialization_version` is {version}",
        "evenstore writes and looks up keys of version 3: rows under other keys are not found",
        "`entity_key_serialization_version: 3`, then materialize again",
    )


def _check_offline_store(facts: FeastFacts) -> Finding:
    if facts.offline_store == OUR_OFFLINE_STORE:
        return fine("offline-store", "evenstore's")
    return Finding(
        "offline-store",
        Severity.WARNING,
        f"the offline store is {facts.offline_store}",
        "joins follow its own rules for ties, ttl and null, so training and serving may differ, "
        "and parity cannot prove that they agree",
        f"`offline_store: {{type: {OUR_OFFLINE_STORE}}}`",
    )


def _check_online_store(facts: FeastFacts) -> Finding:
    if facts.online_store == OUR_ONLINE_STORE:
        return fine("online-store", "evenstore's")
    blind = "; `skip_dedup` lets older rows overwrite newer ones" if facts.skips_newest_wins else ""
    return Finding(
        "online-store",
        Severity.WARNING,
        f"the online store is {facts.online_store}",
        "nothing is promised about which of two writers wins, about corrections at an equal event "
        f"timestamp, or about ttl{blind}",
        f"`online_store: {{type: {OUR_ONLINE_STORE}, connection_string: ...}}`; rows that stock "
        "Feast wrote to Redis are taken over in place",
    )


def _check_batch_engine(facts: FeastFacts) -> Finding:
    is_ours = facts.batch_engine == OUR_BATCH_ENGINE
    if is_ours and facts.online_store != OUR_ONLINE_STORE:
        return Finding(
            "batch-engine",
            Severity.ERROR,
            f"the batch engine is evenstore's, the online store {facts.online_store}",
            "no view can be materialized: the engine relies on the store's write rule",
            f"`online_store: {{type: {OUR_ONLINE_STORE}}}`",
        )
    if is_ours:
        return fine("batch-engine", "evenstore's")
    return Finding(
        "batch-engine",
        Severity.WARNING,
        f"the batch engine is {facts.batch_engine}",
        "a run is slow, holds a view in memory, misses late rows and does not notice that Redis "
        "was emptied",
        f"`batch_engine: {{type: {OUR_BATCH_ENGINE}}}`",
    )


_CHECKS: tuple[Callable[[FeastFacts], Finding], ...] = (
    _check_registry_type,
    _check_serving,
    _check_versions,
    _check_entity_key_version,
    _check_offline_store,
    _check_online_store,
    _check_batch_engine,
)
