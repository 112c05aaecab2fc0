"""One check of a running gateway against the offline store, from entity rows to a report."""

from __future__ import annotations

from evenstore.client.answers import Readiness
from evenstore.client.http import FeatureClient
from evenstore.client.served_schema import refuse_other_schema
from evenstore.progress import open_progress
from evenstore.schema.request import FeatureRequest, resolve_service
from parity.compare import CellColumn
from parity.golden import GoldenSet, draw_golden_set
from parity.offline import OfflineSide
from parity.online import OnlineAnswers, OnlineSide
from parity.report import CheckedRows, FeatureComparison, ParityReport, compare_feature
from parity.settings import CheckSettings

__all__ = ["run_check"]


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
        with open_progress("entities", total=len(request.reads), unit="views") as progress:
            views = offline_side.read_entities(
                request.reads, as_of_us=readiness.as_of_us, progress=progress
            )
        golden = draw_golden_set(request, views, n_rows=settings.n_entity_rows, seed=settings.seed)
        online_side = OnlineSide(client, request, batch_rows=settings.batch_rows)
        with open_progress("online lookups", total=golden.n_rows) as progress:
            online = online_side.read_cells(
                golden.columns, golden.n_rows, started_us=readiness.as_of_us, progress=progress
            )
    rows = CheckedRows(golden.columns, online.as_of_us)
    with open_progress("point-in-time join", total=golden.n_rows) as progress:
        offline = offline_side.read_cells(request, rows)
        progress.advance(golden.n_rows)
    features = _compare(request, golden, rows, offline, online)
    return _report(settings, readiness, golden, online, features)


def _compare(
    request: FeatureRequest,
    golden: GoldenSet,
    rows: CheckedRows,
    offline: list[CellColumn],
    online: OnlineAnswers,
) -> tuple[FeatureComparison, ...]:
    key_columns = _key_columns(request)
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
            request.columns, offline, online.columns, strict=True
        )
    )


def _key_columns(request: FeatureRequest) -> dict[str, tuple[str, ...]]:
    columns = {read.output_name: read.key_columns for read in request.reads}
    for view in request.on_demand:
        inputs = dict.fromkeys(name for name, _feature in view.inputs)
        keys = dict.fromkeys(column for name in inputs for column in columns[name])
        columns[view.name] = (*keys, *(field.name for field in view.request_fields))
    return columns


def _report(
    settings: CheckSettings,
    readiness: Readiness,
    golden: GoldenSet,
    online: OnlineAnswers,
    features: tuple[FeatureComparison, ...],
) -> ParityReport:
    return ParityReport(
        project=readiness.project,
        feature_service=settings.feature_service,
        gateway=settings.gateway,
        schema_fingerprint=readiness.schema_fingerprint,
        is_clock_frozen=readiness.is_clock_frozen or online.is_clock_frozen,
        seed=settings.seed,
        n_rows_asked=settings.n_entity_rows,
        n_rows=golden.n_rows,
        first_as_of_us=min(online.as_of_us),
        last_as_of_us=max(online.as_of_us),
        min_coverage=settings.min_coverage,
        features=features,
        strata=golden.strata,
        refusals=online.refusals,
    )
