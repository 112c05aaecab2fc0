"""One check of a running gateway against the offline store, from entity rows to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evenstore.client.answers import Readiness
from evenstore.client.http import FeatureClient
from evenstore.client.served_schema import refuse_other_schema
from evenstore.progress import open_progress
from evenstore.schema.request import FeatureRequest, resolve_service
from evenstore.semantics import Knowledge
from parity.compare import CellColumn
from parity.golden import GoldenSet, draw_golden_set
from parity.key_columns import key_columns_by_view
from parity.live.explanation import explain_differences
from parity.live.pace import Pace
from parity.live.schema_skew import describe_schema_skew
from parity.live.watermarks import event_columns, read_watermarks, seen_until
from parity.offline import OfflineSide
from parity.online import OnlineAnswers, OnlineSide
from parity.report import CheckedRows, FeatureComparison, Mode, ParityReport, compare_feature
from parity.settings import CheckSettings
from parity.statistics.instants import measure_instants
from parity.view_facts import ViewFacts

__all__ = ["run_check"]


@dataclass(frozen=True, slots=True)
class _OnlineReading:
    """What the gateway said, and the entity rows it was asked for."""

    readiness: Readiness
    golden: GoldenSet
    watermarks: Mapping[str, int | None]
    answers: OnlineAnswers

    @property
    def rows(self) -> CheckedRows:
        return CheckedRows(self.golden.columns, self.answers.as_of_us)


def run_check(settings: CheckSettings) -> ParityReport:
    """Compare what the gateway serves with what a point-in-time join gives at the same instants.

    Reads both stores and writes to neither.

    Raises:
        ConfigurationError: The folder is no Feast repo.
        UnknownFeatureServiceError: The registry has no such service.
        GatewayError: The gateway is down, not ready or fails.
        SchemaDriftError: The gateway serves another schema than the registry's.
        ParityError: The sides' answers cannot be compared.
        OfflineStoreError: The sources cannot be read.
    """
    with FeatureClient(settings.gateway) as client:
        # First, because it is quick to fail: opening the registry takes seconds.
        readiness = client.readiness()
        offline_side = OfflineSide(settings.repo)
        request = resolve_service(offline_side.registry, settings.feature_service)
        refuse_other_schema(readiness, offline_side.registry)
        online = _read_online(settings, client, readiness, offline_side, request)
    with open_progress("point-in-time join", total=online.golden.n_rows) as progress:
        until_us = _seen_until(settings, request, online)
        offline = offline_side.read_cells(request, online.rows, seen_until_us=until_us)
        progress.advance(online.golden.n_rows)
    n_leaked: Mapping[str, int] = {}
    if settings.counts_leaks:
        n_leaked = _count_leaks(offline_side, request, online.rows)
    features = _compare(request, online, offline)
    facts = _view_facts(offline_side, request, online, offline, n_leaked)
    report = _report(settings, online, features, facts)
    if not settings.finds_causes:
        return report
    return explain_differences(
        report, request, offline_side.store, settings.repo, until_us=until_us
    )


def _read_online(
    settings: CheckSettings,
    client: FeatureClient,
    readiness: Readiness,
    offline_side: OfflineSide,
    request: FeatureRequest,
) -> _OnlineReading:
    with open_progress("entities", total=len(request.reads), unit="views") as progress:
        views = offline_side.read_entities(
            request.reads, as_of_us=readiness.as_of_us, progress=progress
        )
    golden = draw_golden_set(request, views, n_rows=settings.n_entity_rows, seed=settings.seed)
    # Before the lookups: what a run loads meanwhile shows as later than the watermark.
    watermarks = read_watermarks(client, request)
    pace = Pace(settings.max_rows_per_s)
    side = OnlineSide(
        client, request, batch_rows=settings.batch_rows, gateway=settings.gateway, pace=pace
    )
    with open_progress("online lookups", total=golden.n_rows) as progress:
        answers = side.read_cells(
            golden.columns, golden.n_rows, started_us=readiness.as_of_us, progress=progress
        )
    return _OnlineReading(readiness, golden, watermarks, answers)


def _seen_until(
    settings: CheckSettings, request: FeatureRequest, online: _OnlineReading
) -> dict[str, list[int]]:
    if not settings.until_watermark:
        return {}
    served_us = event_columns(request, online.answers.columns)
    return seen_until(online.watermarks, served_us, n_rows=online.golden.n_rows)


def _count_leaks(
    offline_side: OfflineSide, request: FeatureRequest, rows: CheckedRows
) -> dict[str, int]:
    """Count, per view, entity rows whose newest row was not known yet at their instant."""
    latest, known = (
        event_columns(request, offline_side.read_cells(request, rows, knowledge=knowledge))
        for knowledge in (Knowledge.LATEST_TRUTH, Knowledge.AS_KNOWN)
    )
    return {
        name: sum(
            latest_us != known_us
            for latest_us, known_us in zip(latest[name], known[name], strict=True)
        )
        for name in latest
    }


def _compare(
    request: FeatureRequest, online: _OnlineReading, offline: list[CellColumn]
) -> tuple[FeatureComparison, ...]:
    key_columns = key_columns_by_view(request)
    rows, golden = online.rows, online.golden
    never = [False] * golden.n_rows
    return tuple(
        compare_feature(
            column,
            rows,
            key_columns=key_columns[column.view_name],
            offline=offline_cells,
            online=online_cells,
            ambiguous=golden.ambiguous.get(column.view_name, never),
        )
        for column, offline_cells, online_cells in zip(
            request.columns, offline, online.answers.columns, strict=True
        )
    )


def _view_facts(
    offline_side: OfflineSide,
    request: FeatureRequest,
    online: _OnlineReading,
    offline: Sequence[CellColumn],
    n_leaked: Mapping[str, int],
) -> tuple[ViewFacts, ...]:
    offline_us = event_columns(request, offline)
    online_us = event_columns(request, online.answers.columns)
    as_of_us = online.answers.as_of_us
    facts = []
    for read in request.reads:
        name = read.output_name
        promise_us = offline_side.promise_us(read.view.name)
        watermark_us = online.watermarks[name]
        facts.append(
            ViewFacts(
                view_name=name,
                instants=measure_instants(
                    offline_us[name], online_us[name], as_of_us, promise_us=promise_us
                )
                if name in online_us
                else None,
                ttl_us=read.view.ttl_us,
                watermark_us=watermark_us,
                lag_us=None if watermark_us is None else max(as_of_us) - watermark_us,
                promise_us=promise_us,
                n_entities_beyond_watermark=None
                if watermark_us is None
                else offline_side.count_newer(read.view.name, watermark_us),
                n_leaked=n_leaked.get(name),
                schema_skew=describe_schema_skew(offline_side.store, read.view),
            )
        )
    return tuple(facts)


def _report(
    settings: CheckSettings,
    online: _OnlineReading,
    features: tuple[FeatureComparison, ...],
    facts: tuple[ViewFacts, ...],
) -> ParityReport:
    readiness, golden, answers = online.readiness, online.golden, online.answers
    return ParityReport(
        project=readiness.project,
        mode=Mode.LIVE,
        subject=settings.feature_service,
        gateway=settings.gateway,
        schema_fingerprint=readiness.schema_fingerprint,
        is_clock_frozen=readiness.is_clock_frozen or answers.is_clock_frozen,
        seed=settings.seed,
        n_rows_asked=settings.n_entity_rows,
        n_rows=golden.n_rows,
        first_as_of_us=min(answers.as_of_us),
        last_as_of_us=max(answers.as_of_us),
        min_coverage=settings.min_coverage,
        features=features,
        strata=golden.strata,
        refusals=answers.refusals,
        view_facts=facts,
    )
