"""Gives every differing cell of an audit its cause."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenstore.clock import datetime_to_us, format_us
from evenstore.schema.request import FeatureRequest, ViewRead
from parity.audit.history import entity_key_of, read_entity_histories
from parity.audit.pulled_rows import PulledView
from parity.audit.stock_causes import StoredView, find_stock_cause, is_nan_lost
from parity.audit.stranger import StrangerRepo
from parity.causes.finding import Cause, Evidence, Finding
from parity.causes.rows import SourceRow
from parity.compare import CellColumn
from parity.report import CheckedRows, Difference, FeatureComparison
from parity.strata import EntityKey
from parity.values import to_json

__all__ = ["AuditEvidence", "describe_stored_views", "explain_features"]


@dataclass(frozen=True, slots=True)
class AuditEvidence:
    """What the causes are decided by.

    Attributes:
        folder: Of the stranger's repo, for the commands.
        service: The feature service that was compared, None for views.
        request: What was compared.
        rows: The entity rows.
        pulled: The rows of each view, by its name.
        stored: What is known about each view in the online store, by its name.
        online: The online cells, in the order of the request.
    """

    folder: Path
    service: str | None
    request: FeatureRequest
    rows: CheckedRows
    pulled: Mapping[str, PulledView]
    stored: Mapping[str, StoredView]
    online: Sequence[CellColumn]


def describe_stored_views(
    repo: StrangerRepo, pulled: Mapping[str, PulledView]
) -> dict[str, StoredView]:
    """Collect what the registry and the settings say of each view in the online store."""
    stored = {name: _describe(repo, view) for name, view in pulled.items()}
    # All are read together, and Feast refuses the whole read for one of them.
    is_refusing = any(view.is_materializing for view in stored.values())
    return {
        name: dataclasses.replace(view, is_materializing=is_refusing)
        for name, view in stored.items()
    }


def _describe(repo: StrangerRepo, pulled: PulledView) -> StoredView:
    view = repo.store.get_feature_view(pulled.schema.name)
    state = getattr(view, "state", None)
    return StoredView(
        name=pulled.schema.name,
        ttl_us=pulled.schema.enforced_ttl_us,
        runs=tuple(
            (
                datetime_to_us(start, naive_is_utc=True),
                datetime_to_us(end, naive_is_utc=True),
            )
            for start, end in view.materialization_intervals
        ),
        is_materializing=getattr(state, "name", "") == "MATERIALIZING",
        takes_pushes=view.stream_source is not None,
        has_created=pulled.has_created,
        key_ttl_s=getattr(repo.store.config.online_store, "key_ttl_seconds", None),
    )


def explain_features(
    features: Iterable[FeatureComparison], evidence: AuditEvidence
) -> tuple[FeatureComparison, ...]:
    """Return the same comparisons, each difference with its finding and the causes counted."""
    compared = list(features)
    explained: dict[tuple[str, str], list[Difference]] = {}
    for read in evidence.request.reads:
        mine = [feature for feature in compared if feature.view_name == read.output_name]
        histories = _histories(read, mine, evidence)
        for feature in mine:
            explained[feature.view_name, feature.feature] = [
                _explain(difference, read, histories, evidence)
                for difference in feature.differences
            ]
    causes = {
        (difference.view_name, difference.feature, difference.row_idx): difference.finding
        for differences in explained.values()
        for difference in differences
    }
    return tuple(
        _with_findings(
            feature,
            explained.get((feature.view_name, feature.feature))
            or [_explain_computed(cell, causes, evidence) for cell in feature.differences],
        )
        for feature in compared
    )


def _histories(
    read: ViewRead, features: Sequence[FeatureComparison], evidence: AuditEvidence
) -> dict[EntityKey, list[SourceRow]]:
    differing = [feature for feature in features if feature.differences]
    keys = {
        entity_key_of(read, difference.entity_key)
        for feature in differing
        for difference in feature.differences
    }
    if not keys:
        return {}
    names = [feature.feature for feature in differing]
    return read_entity_histories(read, evidence.pulled[read.view.name], keys, names)


def _explain(
    difference: Difference,
    read: ViewRead,
    histories: Mapping[EntityKey, Sequence[SourceRow]],
    evidence: AuditEvidence,
) -> Difference:
    finding = find_stock_cause(
        difference,
        evidence.stored[read.view.name],
        histories[entity_key_of(read, difference.entity_key)],
        first_online_us=_first_online_us(difference, evidence),
        is_kept_type=difference.feature in evidence.pulled[read.view.name].kept_types,
        command=_command(difference, evidence),
    )
    return dataclasses.replace(difference, finding=finding)


def _first_online_us(difference: Difference, evidence: AuditEvidence) -> int | None:
    for column, cells in zip(evidence.request.columns, evidence.online, strict=True):
        if (column.view_name, column.field.name) == (difference.view_name, difference.feature):
            return min(
                (
                    event_us
                    for value, event_us in zip(cells.values, cells.event_us, strict=True)
                    if value is not None and event_us is not None
                ),
                default=None,
            )
    return None


def _explain_computed(
    difference: Difference,
    causes: Mapping[tuple[str, str, int], Finding | None],
    evidence: AuditEvidence,
) -> Difference:
    """Explain an on-demand output: by an input that differs, or by itself."""
    view = next(view for view in evidence.request.on_demand if view.name == difference.view_name)
    command = _command(difference, evidence)
    values = Evidence(offline_value=difference.offline.value, online_value=difference.online.value)
    for view_name, feature in view.inputs:
        found = causes.get((view_name, feature, difference.row_idx))
        if found is not None:
            because = f"its input {view_name}:{feature} differs: {found.because}"
            finding = Finding(found.cause, because, values, command)
            return dataclasses.replace(difference, finding=finding)
    cause = Cause.ON_DEMAND_DIVERGENCE
    because = "its inputs agree: the function gives something else online"
    if is_nan_lost(difference):
        cause, because = Cause.NAN_OR_NULL, "Feast's SDK makes null of a NaN that it computes"
    finding = Finding(cause, because, values, command)
    return dataclasses.replace(difference, finding=finding)


def _with_findings(
    feature: FeatureComparison, differences: Sequence[Difference]
) -> FeatureComparison:
    by_cause = Counter(
        difference.finding.cause for difference in differences if difference.finding is not None
    )
    return dataclasses.replace(
        feature,
        differences=tuple(differences),
        counts=dataclasses.replace(feature.counts, by_cause=by_cause),
    )


def _command(difference: Difference, evidence: AuditEvidence) -> str:
    key = difference.entity_key
    selection = ("--views", difference.view_name)
    if evidence.service is not None:
        # A service is asked for with all of its entities and request data.
        key = evidence.rows.key(difference.row_idx, evidence.rows.columns)
        selection = ("--feature-service", evidence.service)
    entity = {name: to_json(value) for name, value in key.items()}
    words = [
        *("evenstore-parity", "audit", "--repo", str(evidence.folder), *selection),
        *("--as-of", format_us(difference.as_of_us), "--entity", json.dumps(entity)),
    ]
    return shlex.join(words)
