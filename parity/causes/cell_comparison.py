"""One entity row of one view, read from both stores by the code that joins and gateways use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureStore

from evenstore.client.values import PlainValue, to_arrow
from evenstore.dtypes import Dtype
from evenstore.errors import CodecError, EvenstoreError, FutureRowError, ParityError
from evenstore.offline.history import read_history
from evenstore.online.column_lookup import ColumnLookup
from evenstore.online.lookup import look_up
from evenstore.online.store import RedisOnlineStore
from evenstore.schema.compile import compile_store
from evenstore.schema.json_form import load_value
from evenstore.schema.model import Field, Layout
from evenstore.schema.repository import open_repository
from evenstore.schema.request import Column, FeatureRequest, ViewRead
from evenstore.schema.version import add_versions, resolve_request
from evenstore.semantics import Knowledge, Status
from parity.causes.cell_command import open_cell_command
from parity.causes.evidence import AskedEntity, EntityEvidence
from parity.causes.find import CauseContext, find_causes
from parity.causes.finding import Finding
from parity.causes.store_evidence import StoreEvidence
from parity.causes.stored_entities import to_plain
from parity.compare import Cell, Outcome, compare_cells
from parity.report import Difference
from parity.values import decode_offline

__all__ = ["AskedCell", "ComparedCell", "ComparedFeature", "ViewRows", "compare_cell"]

_AS_OF_COLUMN = "_parity_as_of"


@dataclass(frozen=True, slots=True)
class AskedCell:
    """What the command was asked.

    Attributes:
        repo: The Feast repo.
        view: The view, by the name that the service gives it.
        keys: Join keys and request data as texts, by column.
        as_of_us: The instant.
        features: Which features; all of the view where empty.
        feature_service: The service that the view is read as part of.
        is_as_known: Whether the offline side knows only rows created by the instant.
        until_us: By view, the event timestamp that offline rows are looked at up to.
    """

    repo: Path
    view: str
    keys: Mapping[str, str]
    as_of_us: int
    features: tuple[str, ...] = ()
    feature_service: str | None = None
    is_as_known: bool = False
    until_us: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComparedFeature:
    """One feature on both sides; the finding is None where they agree."""

    column: Column
    outcome: Outcome
    offline: Cell
    online: Cell
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class ViewRows:
    """The rows of one view that was read, on both sides."""

    read: ViewRead
    evidence: EntityEvidence


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """The whole answer.

    Attributes:
        project: The Feast project.
        asked: What was asked.
        features: One per feature.
        rows: One per view that was read: several for an on-demand view.
        refusal: Why the online side gives no answer; None where it does.
    """

    project: str
    asked: AskedCell
    features: tuple[ComparedFeature, ...]
    rows: tuple[ViewRows, ...]
    refusal: EvenstoreError | None = None

    @property
    def differences(self) -> list[ComparedFeature]:
        """The features that differ."""
        return [feature for feature in self.features if not feature.outcome.is_agreement]


def compare_cell(asked: AskedCell) -> ComparedCell:
    """Read one entity row from both stores, compare it, and find the causes.

    Raises:
        ConfigurationError: The folder is no Feast repo, or its online store is not evenstore's.
        UnknownFeatureError: The view or a feature is not registered.
        ParityError: A key is missing or not of its declared type.
        OfflineStoreError: The source cannot be read.
        OnlineStoreError: Redis refused or cannot be reached.
    """
    store = open_repository(asked.repo)
    evidence = StoreEvidence(store)
    request = _narrow(_resolve(store, asked), asked)
    row = {
        field.name: _read_value(field, asked.keys)
        for field in (*request.entity_columns, *request.request_fields)
    }
    knowledge = Knowledge.AS_KNOWN if asked.is_as_known else Knowledge.LATEST_TRUTH
    _refuse_other_views(request, asked)
    offline = _read_offline(store, request, row, asked, knowledge)
    online, refusal = _read_online(store, _as_stored(request, evidence), row, asked.as_of_us)
    rows = _read_rows(request, evidence, row, asked)
    context = CauseContext(
        request,
        _RowsRead(rows),
        open_cell_command(
            asked.repo,
            feature_service=asked.feature_service,
            knowledge=knowledge,
            seen_until=lambda _difference: asked.until_us,
        ),
        knowledge,
        seen_until=lambda _difference: asked.until_us,
    )
    compared = [
        ComparedFeature(column, compare_cells(one, other), one, other)
        for column, one, other in zip(request.columns, offline, online, strict=True)
    ]
    return ComparedCell(
        project=store.project,
        asked=asked,
        features=_explain(compared, context, row, asked),
        rows=rows,
        refusal=refusal,
    )


def _resolve(store: FeatureStore, asked: AskedCell) -> FeatureRequest:
    if asked.feature_service is not None:
        return resolve_request(store, asked.feature_service)
    features: Sequence[str] = asked.features
    if not features:
        registry = compile_store(store)
        if "@" in asked.view:
            registry = add_versions(store, registry, [asked.view])
        declared = {view.name: view.features for view in registry.feature_views}
        declared |= {view.name: view.features for view in registry.on_demand_views}
        # Of an unknown view something is asked for, too: the error names the views that there are.
        features = [field.name for field in declared.get(asked.view, ())] or [" "]
    return resolve_request(store, [f"{asked.view}:{feature}" for feature in features])


def _narrow(request: FeatureRequest, asked: AskedCell) -> FeatureRequest:
    """Keep of a service what is asked for, so that no other view's key is needed."""
    columns = tuple(
        column
        for column in request.columns
        if column.view_name == asked.view
        and (not asked.features or column.field.name in asked.features)
    )
    if not columns:
        msg = f"`{request.name}` has no such feature of `{asked.view}`"
        raise ParityError(msg, hint="`--view` is the name that the service gives the view")
    on_demand = tuple(view for view in request.on_demand if view.name == asked.view)
    names = {name for view in on_demand for name, _ in view.inputs} or {asked.view}
    reads = tuple(read for read in request.reads if read.output_name in names)
    keys = {column for read in reads for column in read.key_columns}
    wanted = {field.name for view in on_demand for field in view.request_fields}
    return replace(
        request,
        columns=columns,
        reads=reads,
        on_demand=on_demand,
        entity_columns=tuple(field for field in request.entity_columns if field.name in keys),
        request_fields=tuple(field for field in request.request_fields if field.name in wanted),
    )


def _refuse_other_views(request: FeatureRequest, asked: AskedCell) -> None:
    names = {read.output_name for read in request.reads}
    others = [name for name in asked.until_us if name not in names]
    if others:
        msg = f"`--until` names `{others[0]}`, which is not read"
        raise ParityError(msg, hint=f"this reads {', '.join(sorted(names))}")


def _read_value(field: Field, keys: Mapping[str, str]) -> Any:
    """Read a key, or a field of the request, from its text: the value that a codec would take."""
    text = keys.get(field.name)
    if text is None:
        msg = f"`{field.name}` is missing"
        raise ParityError(msg, hint=f"add `--key {field.name}=...`, {field.dtype.value}")
    is_text = field.dtype in {Dtype.STRING, Dtype.BYTES}
    try:
        return load_value(json.dumps(text) if is_text else text, field.dtype, where=field.name)
    except (ValueError, TypeError, EvenstoreError) as exc:
        msg = f"`{field.name}` is {text!r}, not {field.dtype.value}"
        raise ParityError(msg, hint="text as it is, bytes in base64, all else as in JSON") from exc


def _read_offline(
    store: FeatureStore,
    request: FeatureRequest,
    row: Mapping[str, Any],
    asked: AskedCell,
    knowledge: Knowledge,
) -> list[Cell]:
    sent = (*request.entity_columns, *request.request_fields)
    columns: dict[str, Any] = {
        field.name: to_arrow(field.dtype, [to_plain(row[field.name], field.dtype)])
        for field in sent
    }
    columns[_AS_OF_COLUMN] = pa.array([asked.as_of_us], pa.timestamp("us", tz="UTC"))
    table = read_history(
        store,
        request,
        pa.table(columns),
        knowledge=knowledge,
        event_timestamp_column=_AS_OF_COLUMN,
        seen_until_us={
            read.output_name: pa.array([asked.until_us[read.output_name]], pa.int64())
            for read in request.reads
            if read.output_name in asked.until_us
        },
    )
    cells = []
    for column in request.columns:
        name = column.output_name(full_feature_names=True)
        status = Status(table[f"{name}__status"][0].as_py())
        (event_us,) = table[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
        (value,) = decode_offline(column.field.dtype, table[name], [status], where=name)
        cells.append(Cell(value, status, event_us))
    return cells


def _as_stored(request: FeatureRequest, evidence: StoreEvidence) -> FeatureRequest:
    reads = [replace(read, view=evidence.stored_as(read.view)) for read in request.reads]
    return replace(request, reads=tuple(reads))


def _read_online(
    store: FeatureStore, request: FeatureRequest, row: Mapping[str, Any], as_of_us: int
) -> tuple[list[Cell], EvenstoreError | None]:
    client = RedisOnlineStore().client(store.config)
    lookup = ColumnLookup(store.project, request, Layout(store.config.online_store.layout))
    sent = {name: [value] for name, value in row.items()}
    try:
        columns = look_up(client, lookup, sent, as_of_us=as_of_us)
    except (CodecError, FutureRowError) as exc:
        return [Cell(None, None, None) for _ in request.columns], exc
    return [
        Cell(
            to_plain(column.values[0], column.column.field.dtype),
            column.statuses[0],
            column.event_us[0],
        )
        for column in columns
    ], None


def _plain_row(request: FeatureRequest, row: Mapping[str, Any]) -> dict[str, PlainValue]:
    plain: dict[str, PlainValue] = {}
    for field in (*request.entity_columns, *request.request_fields):
        value = to_plain(row[field.name], field.dtype)
        if value is not None:
            plain[field.name] = value
    return plain


def _explain(
    compared: Sequence[ComparedFeature],
    context: CauseContext,
    row: Mapping[str, Any],
    asked: AskedCell,
) -> tuple[ComparedFeature, ...]:
    key = _plain_row(context.request, row)
    differing = [feature for feature in compared if not feature.outcome.is_agreement]
    differences = [
        Difference(
            outcome=feature.outcome,
            view_name=feature.column.view_name,
            feature=feature.column.field.name,
            dtype=feature.column.field.dtype,
            row_idx=0,
            entity_key=key,
            as_of_us=asked.as_of_us,
            offline=feature.offline,
            online=feature.online,
        )
        for feature in differing
    ]
    findings = dict(
        zip(
            (feature.column.field.name for feature in differing),
            find_causes(differences, context),
            strict=True,
        )
    )
    return tuple(
        replace(feature, finding=findings.get(feature.column.field.name)) for feature in compared
    )


def _read_rows(
    request: FeatureRequest, evidence: StoreEvidence, row: Mapping[str, Any], asked: AskedCell
) -> tuple[ViewRows, ...]:
    fields = {field.name: field for field in request.entity_columns}
    rows = []
    for read in request.reads:
        key = tuple(to_plain(row[name], fields[name].dtype) for name in read.key_columns)
        until_us = asked.until_us.get(read.output_name)
        entity = AskedEntity(key, asked.as_of_us, until_us=until_us)
        (found,) = evidence.read(read, [entity])
        rows.append(ViewRows(read, found))
    return tuple(rows)


class _RowsRead:
    """Gives the causes the very rows that are shown."""

    def __init__(self, rows: Sequence[ViewRows]) -> None:
        self._by_name = {view.read.output_name: view.evidence for view in rows}

    def read(self, read: ViewRead, asked: Sequence[AskedEntity]) -> list[EntityEvidence]:
        return [self._by_name[read.output_name] for _ in asked]
