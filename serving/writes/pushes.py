"""Pushes and writes: from a request's body to rows in the stores."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
from feast import FeatureStore, FeatureView, OnDemandFeatureView

from evenstore.clock import SystemClock, clock_from_environment
from evenstore.dtypes import Dtype
from evenstore.errors import EvenstoreError, SchemaError
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US
from evenstore.schema.arrow import arrow_type
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.model import FeatureViewSchema
from serving.errors import InvalidRequestError
from serving.writes.catalogue import RegistryFollower, WriteTarget
from serving.writes.frame import Frame
from serving.writes.models import PushRequest, WriteRequest
from serving.writes.online import OnlineWriter
from serving.writes.requests import parse_body
from serving.writes.rows import PushedRows
from serving.writes.values import BadValueError, read_instants, read_values

__all__ = ["CheckedRows", "OnDemandRows", "Pushes"]


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """What a request asks to be written; all of it was checked.

    Attributes:
        online: Rows for the online store, by view.
        offline: Tables for the offline store.
        on_demand: Rows of an on-demand view, which Feast writes.
    """

    online: list[PushedRows]
    offline: list[tuple[WriteTarget, pa.Table]]
    on_demand: OnDemandRows | None = None


@dataclass(frozen=True, slots=True)
class OnDemandRows:
    """Rows of an on-demand view whose results are stored.

    Attributes:
        view: The view.
        frame: Its inputs, or its results where they are transformed already.
        is_transformed: Which of both.
    """

    view: OnDemandFeatureView
    frame: Frame
    is_transformed: bool


class Pushes:
    """Reads and writes rows for callers; for use from several threads.

    Args:
        registry: What can be written.
        repo_path: Folder of the Feast repo.
        max_rows: Rows of a request.
    """

    def __init__(self, registry: RegistryFollower, repo_path: Path, *, max_rows: int) -> None:
        self._registry = registry
        self._repo_path = repo_path
        self._max_rows = max_rows
        self._clock = clock_from_environment()
        self._online: OnlineWriter | None = None
        # Feast's own paths share one feature store, which is not made for threads.
        self._feast_lock = threading.Lock()

    def read_push(self, body: bytes) -> CheckedRows:
        """Check a push for all views of its source and for all stores.

        Raises:
            EvenstoreError: The request or its rows are not valid.
        """
        request = parse_body(PushRequest, body)
        frame = Frame.read(request.df, max_rows=self._max_rows)
        catalogue = self._registry.catalogue(is_fresh=not request.allow_registry_cache)
        targets = catalogue.of_push_source(request.push_source_name)
        return CheckedRows(
            online=self._online_rows(frame, targets) if request.to != "offline" else [],
            offline=_offline_tables(frame, targets) if request.to != "online" else [],
        )

    def read_write(self, body: bytes) -> CheckedRows:
        """Check rows of one view for the online store.

        Raises:
            EvenstoreError: The request or its rows are not valid.
        """
        request = parse_body(WriteRequest, body)
        frame = Frame.read(request.df, max_rows=self._max_rows)
        catalogue = self._registry.catalogue(is_fresh=not request.allow_registry_cache)
        target = catalogue.of_view(request.feature_view_name)
        if not isinstance(target, OnDemandFeatureView):
            return CheckedRows(self._online_rows(frame, [target]), [])
        known = _columns_of_on_demand(self._registry.store(), target)
        _check_known_columns(frame, known, target.name)
        is_transformed = not request.transform_on_write
        return CheckedRows([], [], OnDemandRows(target, frame, is_transformed))

    def write_online(self, rows: PushedRows) -> None:
        """Write rows of one view, each where it is greater than the stored one.

        Raises:
            EvenstoreError: A value cannot be stored, or Redis failed.
        """
        if self._online is None:
            self._online = OnlineWriter(self._registry.store(), self._repo_path)
        # The machine's clock, not one that may be frozen: the sequence orders arrivals.
        batch = rows.greatest().batch(SystemClock().now_us())
        encoded = self._online.encoder(rows.view).encode(batch)
        self._online.writer(rows.view).write(encoded)

    def write_with_feast(self, rows: CheckedRows) -> None:
        """Write what Feast itself writes: to the offline store, and on-demand views' results.

        Raises:
            EvenstoreError: A store failed, or an on-demand view's function.
        """
        with self._feast_lock:
            store = self._registry.store()
            provider = store._get_provider()  # noqa: SLF001 - Feast has no other way
            for target, table in rows.offline:
                provider.ingest_df_to_offline_store(target.table, table)
            if rows.on_demand is not None:
                _write_on_demand(store, rows.on_demand)

    def _online_rows(self, frame: Frame, targets: Sequence[WriteTarget]) -> list[PushedRows]:
        latest_us = self._clock.now_us() + DEFAULT_MAX_SKEW_US
        return [
            PushedRows.read(
                frame.renamed(target.feature_names), target.row_columns(), latest_us=latest_us
            )
            for target in targets
        ]


def _offline_tables(
    frame: Frame, targets: Sequence[WriteTarget]
) -> list[tuple[WriteTarget, pa.Table]]:
    return [
        (target, _to_table(frame, target, compile_feature_view(target.table, is_offline=True)))
        for target in targets
    ]


def _write_on_demand(store: FeatureStore, rows: OnDemandRows) -> None:
    data = pd.DataFrame(rows.frame.columns)
    try:
        store.write_to_online_store(
            rows.view.name, df=data, transform_on_write=not rows.is_transformed
        )
    except EvenstoreError:
        raise
    except Exception as exc:
        # The function is the repo's own; its error may hold the caller's values.
        msg = f"on-demand view `{rows.view.name}` failed on these rows: {type(exc).__name__}"
        raise InvalidRequestError(msg, hint="are all its inputs in `df`?") from exc


def _to_table(frame: Frame, target: WriteTarget, view: FeatureViewSchema) -> pa.Table:
    """Make the table that the offline store takes: declared types, then what pandas would infer."""
    source: Any = target.table.batch_source
    known = {field.name: field.dtype for field in (*view.join_keys, *view.features)}
    new_names = target.feature_names
    instants = {source.timestamp_field, source.created_timestamp_column}
    columns: dict[str, pa.Array] = {}
    for name, values in frame.columns.items():
        try:
            if name in instants:
                read = read_instants(values, is_nullable=name != source.timestamp_field)
                columns[name] = pa.array(read, pa.timestamp("us", tz="UTC"))
            elif (dtype := known.get(new_names.get(name, name))) is not None:
                columns[name] = pa.array(read_values(values, dtype), arrow_type(dtype))
            else:
                columns[name] = pa.array(values)
        except BadValueError as exc:
            raise _refusal(view.name, name, exc) from exc
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
            msg = f"{view.name}: `df.{name}` is no column: {exc}"
            raise InvalidRequestError(msg, hint="send values of one type") from exc
    missing = sorted({*known, source.timestamp_field} - {new_names.get(n, n) for n in columns})
    if missing:
        msg = f"{view.name}: `df` lacks {', '.join(f'`{name}`' for name in missing)}"
        raise InvalidRequestError(msg, hint="send every column of the view's source")
    return pa.table(columns)


def _columns_of_on_demand(store: FeatureStore, view: OnDemandFeatureView) -> dict[str, Dtype]:
    """Return the declared types of an on-demand view's join keys and inputs."""
    stored = compile_feature_view(view, is_offline=True)
    known = {key.name: key.dtype for key in stored.join_keys}
    for projection in view.source_feature_view_projections.values():
        table = store.registry.get_any_feature_view(
            projection.name, store.project, allow_cache=True
        )
        if isinstance(table, OnDemandFeatureView):
            msg = f"on-demand view `{view.name}` reads on-demand view `{table.name}`"
            raise SchemaError(msg, hint="Feast computes no chains: read its source views")
        declared = compile_feature_view(cast("FeatureView", table), is_offline=True)
        known |= {field.name: field.dtype for field in (*declared.join_keys, *declared.features)}
    return known


def _check_known_columns(frame: Frame, known: dict[str, Dtype], view_name: str) -> None:
    for name, values in frame.columns.items():
        if name in known:
            try:
                read_values(values, known[name])
            except BadValueError as exc:
                raise _refusal(view_name, name, exc) from exc


def _refusal(view_name: str, name: str, bad: BadValueError) -> InvalidRequestError:
    where = f"df.{name}[{bad.row_idx}]"
    msg = f"{view_name}: `{where}`: {bad.problem}"
    problem = {"where": where, "problem": bad.problem}
    return InvalidRequestError(msg, problems=[problem])
