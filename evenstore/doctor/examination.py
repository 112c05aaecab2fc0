"""One examination of a feature repo: gathers the facts in order, and has them judged.

What cannot be looked at because of an earlier finding is left out, and never ends the examination.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from evenstore.clock import Clock, SystemClock, clock_from_environment
from evenstore.doctor.entity_count import count_entities
from evenstore.doctor.entity_sample import EntitySample, sample_entity_keys
from evenstore.doctor.feast_checks import check_feast, check_version
from evenstore.doctor.feast_facts import (
    OUR_BATCH_ENGINE,
    OUR_ONLINE_STORE,
    FeastFacts,
    RedisPlace,
    gather_feast_facts,
    installed_feast,
    locate_redis,
)
from evenstore.doctor.finding import Finding, Severity, fine
from evenstore.doctor.forecast import (
    ViewForecast,
    check_encoding,
    check_forecast,
    check_layout,
    forecast_views,
)
from evenstore.doctor.redis_checks import check_redis
from evenstore.doctor.redis_facts import RedisFacts, gather_redis_facts
from evenstore.doctor.view_checks import check_view
from evenstore.doctor.view_facts import ViewFacts, gather_view_facts
from evenstore.doctor.watermark_checks import check_recorded_end, check_watermark
from evenstore.doctor.watermark_facts import gather_watermark_facts
from evenstore.duckdb_session import SessionLimits
from evenstore.errors import ConfigurationError, EvenstoreError, OnlineStoreError
from evenstore.offline.limits import session_limits
from evenstore.online.connection import open_redis
from evenstore.redis_url import redact_url
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.repository import load_repository_config, open_repository

if TYPE_CHECKING:
    from feast import RepoConfig

__all__ = ["Examination", "examine"]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in one feature repo.

    Attributes:
        findings: In the order in which the checks ran.
        forecasts: What each online view takes in Redis, or will.
        headroom_bytes: What Redis may still take, None where it does not tell.
    """

    findings: tuple[Finding, ...]
    forecasts: tuple[ViewForecast, ...] = ()
    headroom_bytes: int | None = None


def examine(repo: Path, *, count_s: float = 10.0) -> Examination:
    """Examine a feature repo, its registry, its sources and its Redis; nothing is changed.

    Args:
        repo: The folder with feature_store.yaml.
        count_s: Longest time to count one view's entities offline.

    Complexity:
        One footer per source file; of Redis at most some 20,000 keys' names and 200 keys' values;
        the join keys of views that are not loaded yet.
    """
    findings = [check_version(installed_feast())]
    clock, found_clock = _clock()
    findings.append(found_clock)
    try:
        config = load_repository_config(repo)
        facts = gather_feast_facts(config)
    except EvenstoreError as exc:
        findings.append(_cannot("feast-config", exc, "nothing of the repo can be used"))
        return Examination(tuple(findings))
    findings += [fine("feast-config", f"project {config.project}"), *check_feast(facts)]
    views, found_registry = _views(repo)
    findings.append(found_registry)
    place = locate_redis(config, repo)
    redis_part = _examine_redis(_RedisCase(config, facts, views, place, clock, count_s))
    findings += redis_part.findings
    findings += [finding for view in views for finding in check_view(view)]
    return Examination(tuple(findings), redis_part.forecasts, redis_part.headroom_bytes)


def _clock() -> tuple[Clock, Finding]:
    try:
        clock = clock_from_environment()
    except ConfigurationError as exc:
        found = _cannot("frozen-clock", exc, "no command and no gateway starts")
        return SystemClock(), found
    if not clock.is_frozen:
        return clock, fine("frozen-clock", "the clock runs")
    return clock, Finding(
        "frozen-clock",
        Severity.WARNING,
        "`EVENSTORE_FROZEN_TIME` is set: the clock stands still",
        "ages, ttl and what counts as future are judged as of that instant",
        "unset it, except for examples on old data",
    )


def _views(repo: Path) -> tuple[tuple[ViewFacts, ...], Finding]:
    try:
        views = gather_view_facts(open_repository(repo), repo)
    except EvenstoreError as exc:
        return (), _cannot("feast-registry", exc, "no view can be materialized, joined or read")
    except Exception as exc:  # noqa: BLE001 - the driver of any registry may fail in its own way.
        unread = ConfigurationError(f"the registry cannot be read: {exc}", hint="is it up?")
        return (), _cannot("feast-registry", unread, "no view can be materialized, joined or read")
    if views:
        return views, fine("feast-registry", f"{len(views):,} views")
    return views, Finding(
        "feast-registry",
        Severity.WARNING,
        "the registry has no feature view",
        "there is nothing to serve",
        "run `feast apply` in the repo",
    )


@dataclass(frozen=True, slots=True)
class _RedisCase:
    """All that the part on Redis needs."""

    config: RepoConfig
    facts: FeastFacts
    views: tuple[ViewFacts, ...]
    place: RedisPlace
    clock: Clock
    count_s: float

    @property
    def online_views(self) -> list[ViewFacts]:
        return [view for view in self.views if view.is_online and view.schema is not None]

    @property
    def schemas(self) -> list[FeatureViewSchema]:
        return [view.schema for view in self.online_views if view.schema is not None]


def _examine_redis(case: _RedisCase) -> Examination:
    place = case.place
    if place.problem is not None and case.facts.online_store == OUR_ONLINE_STORE:
        return Examination((_unreachable(place.problem),))
    if place.problem is not None:
        unsupported = Finding(
            "redis-topology",
            Severity.WARNING,
            place.problem.message,
            "Redis was not looked at, and evenstore's online store cannot take it over",
            place.problem.hint or "name one standalone server",
        )
        return Examination((unsupported,))
    if place.url is None:
        nothing = Finding(
            "redis-reachable",
            Severity.INFO,
            f"the online store is {case.facts.online_store}, which names no Redis",
            "Redis was not looked at",
            "choose evenstore's online store first",
        )
        return Examination((nothing,))
    with open_redis(place.url, timeout_s=place.timeout_s) as client:
        try:
            facts = gather_redis_facts(client, redact_url(place.url), SystemClock())
        except EvenstoreError as exc:
            return Examination((_unreachable(exc),))
        return _examine_stored(case, client, facts)


def _examine_stored(case: _RedisCase, client: redis.Redis, facts: RedisFacts) -> Examination:
    findings = check_redis(facts)
    sample = None
    try:
        project, layout = case.config.project, case.facts.layout
        sample = sample_entity_keys(client, project, case.schemas, layout)
    except EvenstoreError as exc:
        findings.append(_unsampled(exc))
    forecasts: Sequence[ViewForecast] = ()
    if sample is not None:
        forecasts = _forecasts(case, facts, sample)
        findings.append(check_layout(sample, case.facts.layout))
        if case.facts.layout is Layout.FEAST:
            findings.append(check_encoding(sample, case.schemas, facts.hash_limits))
        findings += check_forecast(forecasts, facts.headroom_bytes)
    findings += [_watermark(case, client, view, sample) for view in case.online_views]
    return Examination(tuple(findings), tuple(forecasts), facts.headroom_bytes)


def _forecasts(case: _RedisCase, facts: RedisFacts, sample: EntitySample) -> list[ViewForecast]:
    limits = session_limits(case.config)
    n_offline = {
        view.name: _count_offline(view, case, limits)
        for view in case.online_views
        if not sample.of_view(view.name)
    }
    return forecast_views(
        case.schemas,
        case.config.project,
        case.facts.layout,
        sample,
        n_offline=n_offline,
        limits=facts.hash_limits,
    )


def _count_offline(view: ViewFacts, case: _RedisCase, limits: SessionLimits) -> int | None:
    source = view.source
    if source is None:
        return 0  # By push only: no run loads it.
    if source.files is None or view.schema is None:
        return None
    now_us = case.clock.now_us()
    return count_entities(
        source.files, view.schema, now_us=now_us, limits=limits, limit_s=case.count_s
    )


def _watermark(
    case: _RedisCase, client: redis.Redis, view: ViewFacts, sample: EntitySample | None
) -> Finding:
    if case.facts.batch_engine != OUR_BATCH_ENGINE or view.schema is None:
        return check_recorded_end(view.name, view.recorded_end_us)
    has_rows = None
    if sample is not None:
        is_seen = bool(sample.of_view(view.schema.name))
        # A part of the entities tells only that rows are there.
        has_rows = is_seen if is_seen or sample.shows_absence else None
    facts = gather_watermark_facts(
        client,
        case.config.project,
        view.schema,
        None if view.source is None else view.source.files,
        case.facts.layout,
        has_rows=has_rows,
        recorded_end_us=view.recorded_end_us,
    )
    return check_watermark(facts, now_us=case.clock.now_us())


def _unreachable(problem: EvenstoreError) -> Finding:
    return _cannot("redis-reachable", problem, "no feature can be read, written or materialized")


def _unsampled(problem: EvenstoreError) -> Finding:
    allow = (
        "allow it: `ACL SETUSER <user> +scan +dbsize +type +get +hgetall +memory|usage "
        "+object|encoding`"
    )
    return Finding(
        "memory-forecast",
        Severity.INFO,
        f"stored rows cannot be looked at: {problem.message}",
        "what views take in Redis, and whether a load fits, is not known",
        allow if type(problem) is OnlineStoreError else problem.hint or allow,
    )


def _cannot(check: str, problem: EvenstoreError, consequence: str) -> Finding:
    hint = problem.hint or "mend it, and run the doctor again"
    return Finding(check, Severity.ERROR, problem.message, consequence, hint)
