"""One audit of a stranger's Feast repo, from pulled rows to a report."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from feast import FeatureView

from evenstore.clock import Clock, datetime_to_us
from evenstore.errors import EntityRowsError
from evenstore.progress import open_progress
from evenstore.schema.request import FeatureRequest, resolve_references, resolve_service
from parity.audit.answers import SdkAnswers, SdkSide
from parity.audit.entity_rows import parse_entities, read_entity_rows, take_columns
from parity.audit.explanation import AuditEvidence, describe_stored_views, explain_features
from parity.audit.notes import describe_audit
from parity.audit.online_instant import open_online_store
from parity.audit.pulled_rows import PulledView, pull_view
from parity.audit.selection import Selection, select_views
from parity.audit.settings import AuditSettings
from parity.audit.settled import settle_statuses
from parity.audit.stranger import StrangerRepo, open_stranger, reading_only
from parity.audit.truth import keep_comparable, open_truth
from parity.compare import CellColumn
from parity.golden import GoldenSet, draw_golden_set
from parity.impact.impact import ModelImpact, measure_impact
from parity.impact.model import ImpactModel, load_models
from parity.offline import OfflineSide
from parity.report import CheckedRows, FeatureComparison, Mode, ParityReport, compare_feature

__all__ = ["run_audit"]

_LONG_AGO_US = datetime_to_us(datetime(1900, 1, 2, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides of the same entity rows."""

    request: FeatureRequest
    golden: GoldenSet
    rows: CheckedRows
    offline: list[CellColumn]
    online: list[CellColumn]


def run_audit(settings: AuditSettings, clock: Clock) -> ParityReport:
    """Compare what a stranger's online store serves with what its sources say.

    Reads through Feast's SDK and writes nothing to the repo: what Feast would write goes to a
    scratch folder outside.

    Args:
        settings: What to audit.
        clock: Tells the instant, where the settings do not.

    Raises:
        ConfigurationError: The folder is no Feast repo, or a model is not trusted.
        UnknownFeatureServiceError: The registry has no such service.
        SchemaError: A definition cannot be compiled.
        ParityError: The offline store does not give the rows, or a model cannot be used.
        EntityRowsError: The entity rows named lack something.
    """
    models = load_models(settings.models, is_trusted=settings.trusts_models)
    as_of_us = clock.now_us() if settings.as_of_us is None else settings.as_of_us
    with (
        tempfile.TemporaryDirectory(prefix="evenstore-audit-") as scratch,
        reading_only(settings.repo),
    ):
        return _audit(settings, models, Path(scratch), as_of_us, is_frozen=clock.is_frozen)


def _audit(
    settings: AuditSettings,
    models: Sequence[ImpactModel],
    scratch: Path,
    as_of_us: int,
    *,
    is_frozen: bool,
) -> ParityReport:
    repo = open_stranger(settings.repo, _folder(scratch, "stranger"))
    open_online_store(repo.store, as_of_us)
    service = settings.feature_service
    selection = select_views(repo.store, service=service, names=settings.views)
    pulled = _pull(repo, selection, settings, as_of_us)
    truth = open_truth(
        repo,
        pulled,
        service=service,
        on_demand=selection.on_demand,
        folder=_folder(scratch, "truth"),
    )
    request = keep_comparable(_request(truth, settings, pulled), pulled)
    golden = _golden(truth, request, settings, as_of_us)
    answers = _ask(repo, request, golden, settings)
    sides = _join(truth, request, golden, answers, as_of_us)
    stored = describe_stored_views(repo, pulled)
    evidence = AuditEvidence(
        settings.repo, service, request, sides.rows, pulled, stored, sides.online
    )
    features = explain_features(_compare(sides), evidence)
    thresholds = itertools.cycle(settings.thresholds)
    impacts = [
        _impact(model, sides, features, threshold)
        for model, threshold in zip(models, thresholds, strict=False)
    ]
    return ParityReport(
        project=repo.project,
        mode=Mode.AUDIT,
        subject=service or ", ".join(pulled),
        gateway=None,
        schema_fingerprint=truth.registry.fingerprint,
        is_clock_frozen=is_frozen,
        n_rows=golden.n_rows,
        first_as_of_us=as_of_us,
        last_as_of_us=as_of_us,
        min_coverage=settings.min_coverage,
        features=features,
        n_rows_asked=settings.n_entity_rows if golden.strata else None,
        seed=settings.seed if golden.strata else None,
        strata=golden.strata,
        refusals=answers.refusals,
        notes=describe_audit(request, pulled, selection, answers),
        sections={"impact": [impact.to_document() for impact in impacts]} if impacts else {},
    )


def _impact(
    model: ImpactModel,
    sides: _Sides,
    features: tuple[FeatureComparison, ...],
    threshold: float,
) -> ModelImpact:
    return measure_impact(
        model,
        sides.request,
        sides.rows,
        offline=sides.offline,
        online=sides.online,
        features=features,
        threshold=threshold,
    )


def _folder(scratch: Path, name: str) -> Path:
    folder = scratch / name
    folder.mkdir()
    return folder


def _pull(
    repo: StrangerRepo, selection: Selection, settings: AuditSettings, as_of_us: int
) -> dict[str, PulledView]:
    pulled = {}
    with open_progress("rows", total=len(selection.views), unit="views") as progress:
        for view in selection.views:
            until_us = _until_us(view, as_of_us) if settings.is_materialized_only else as_of_us
            pulled[view.name] = pull_view(repo, view, until_us=until_us)
            progress.advance()
    return pulled


def _until_us(view: FeatureView, as_of_us: int) -> int:
    ends = [
        datetime_to_us(end, naive_is_utc=True) for _start, end in view.materialization_intervals
    ]
    return min(as_of_us, max(ends, default=_LONG_AGO_US))


def _request(
    truth: OfflineSide, settings: AuditSettings, pulled: Mapping[str, PulledView]
) -> FeatureRequest:
    if settings.feature_service is not None:
        return resolve_service(truth.registry, settings.feature_service)
    references = tuple(
        f"{name}:{field.name}" for name, view in pulled.items() for field in view.schema.features
    )
    return resolve_references(truth.registry, references)


def _golden(
    truth: OfflineSide, request: FeatureRequest, settings: AuditSettings, as_of_us: int
) -> GoldenSet:
    named: list[pa.Table] = []
    if settings.entity_rows is not None:
        named.append(read_entity_rows(settings.entity_rows))
    if settings.entities:
        named.append(parse_entities(settings.entities))
    if not named:
        with open_progress("entities", total=len(request.reads), unit="views") as progress:
            views = truth.read_entities(request.reads, as_of_us=as_of_us, progress=progress)
        return draw_golden_set(request, views, n_rows=settings.n_entity_rows, seed=settings.seed)
    tables = [take_columns(table, request) for table in named]
    columns = {name: [value for table in tables for value in table[name]] for name in tables[0]}
    n_rows = sum(table.num_rows for table in named)
    if not n_rows:
        msg = "there are no entity rows to compare"
        raise EntityRowsError(msg, hint="leave --entities out to draw them")
    return GoldenSet(columns=columns, n_rows=n_rows, strata=(), ambiguous={})


def _ask(
    repo: StrangerRepo, request: FeatureRequest, golden: GoldenSet, settings: AuditSettings
) -> SdkAnswers:
    side = SdkSide(repo, request, service=settings.feature_service, batch_rows=settings.batch_rows)
    with open_progress("online reads", total=golden.n_rows) as progress:
        return side.read_cells(golden.columns, golden.n_rows, progress=progress)


def _join(
    truth: OfflineSide,
    request: FeatureRequest,
    golden: GoldenSet,
    answers: SdkAnswers,
    as_of_us: int,
) -> _Sides:
    rows = CheckedRows(golden.columns, [as_of_us] * golden.n_rows)
    offline = truth.read_cells(request, rows)
    online = [
        settle_statuses(truth_cells, told, is_on_demand=column.is_on_demand)
        for column, truth_cells, told in zip(request.columns, offline, answers.columns, strict=True)
    ]
    return _Sides(request, golden, rows, offline, online)


def _compare(sides: _Sides) -> list[FeatureComparison]:
    key_columns = {read.output_name: read.key_columns for read in sides.request.reads}
    for view in sides.request.on_demand:
        inputs = dict.fromkeys(name for name, _feature in view.inputs)
        keys = dict.fromkeys(column for name in inputs for column in key_columns[name])
        key_columns[view.name] = (*keys, *(field.name for field in view.request_fields))
    never = [False] * sides.golden.n_rows
    return [
        compare_feature(
            column,
            sides.rows,
            key_columns=key_columns[column.view_name],
            offline=offline,
            online=online,
            ambiguous=sides.golden.ambiguous.get(column.view_name, never),
        )
        for column, offline, online in zip(
            sides.request.columns, sides.offline, sides.online, strict=True
        )
    ]
