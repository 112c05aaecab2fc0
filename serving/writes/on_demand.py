"""Rows of on-demand views whose results are stored: checked here, computed and written by Feast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import pandas as pd
from feast import FeatureStore, FeatureView, OnDemandFeatureView

from evenstore.dtypes import Dtype
from evenstore.errors import EvenstoreError, SchemaError
from evenstore.schema.compile import compile_feature_view, compile_on_demand_view
from evenstore.schema.model import FeatureViewSchema
from serving.errors import InvalidRequestError
from serving.writes.frame import Frame
from serving.writes.reading import FrameReading, refuse_future

__all__ = ["OnDemandRows", "read_on_demand", "write_on_demand"]

_EVENT_TIMESTAMP = "event_timestamp"
_INSTANT: Final = "datetime64[us, UTC]"
_PANDAS_DTYPES = {
    Dtype.FLOAT32: "float64",
    Dtype.FLOAT64: "float64",
    Dtype.UNIX_TIMESTAMP: _INSTANT,
}


@dataclass(frozen=True, slots=True)
class OnDemandRows:
    """Checked rows of an on-demand view, one per entity.

    Attributes:
        view: The view.
        data: Its inputs, or its results where they are transformed already.
        is_transformed: Which of both.
    """

    view: OnDemandFeatureView
    data: pd.DataFrame
    is_transformed: bool


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a view's rows are computed from: declared types, and columns of event timestamps."""

    dtypes: dict[str, Dtype]
    timestamps: frozenset[str]


def read_on_demand(
    frame: Frame,
    view: OnDemandFeatureView,
    store: FeatureStore,
    *,
    is_transformed: bool,
    latest_us: int,
) -> OnDemandRows:
    """Check a frame for an on-demand view; columns without a declared type are kept as sent.

    Of several rows of an entity the newest is kept; the last where they are of one instant, or the
    frame has no event timestamps.

    Raises:
        InvalidRequestError: A column is missing, or holds what it must not; each is named with its
            first bad row.
        FutureRowError: A row is later than accepted.
        SchemaError: The view reads another on-demand view.
    """
    stored = compile_feature_view(view, is_offline=True)
    inputs = _inputs_of(store, view)
    dtypes = dict(inputs.dtypes)
    if is_transformed:
        dtypes |= {field.name: field.dtype for field in stored.features}
    reading = FrameReading(frame)
    keys = [reading.values(key.name, key.dtype, is_key=True) for key in stored.join_keys]
    instants = {
        name: reading.instants(name, is_nullable=False)
        for name in sorted(inputs.timestamps & frame.columns.keys())
    }
    columns = {
        name: _series(reading.values(name, dtypes[name]), dtypes[name])
        for name in frame.columns
        if name in dtypes and name not in instants
    }
    if is_transformed:
        for field in stored.features:
            reading.column(field.name)
    reading.refuse(view.name)
    for name, event_us in instants.items():
        refuse_future(event_us, view.name, name, latest_us=latest_us)
        columns[name] = pd.Series(event_us, dtype="int64").astype(_INSTANT)
    data = pd.DataFrame({name: columns.get(name, sent) for name, sent in frame.columns.items()})
    order = next(iter(instants.values()), [0] * frame.n_rows)
    return OnDemandRows(view, _newest(data, keys, order), is_transformed)


def write_on_demand(store: FeatureStore, rows: OnDemandRows) -> None:
    """Compute rows and store them, through Feast.

    Raises:
        InvalidRequestError: The view's function failed on them.
        EvenstoreError: The online store refused them.
    """
    try:
        store.write_to_online_store(
            rows.view.name, df=rows.data, transform_on_write=not rows.is_transformed
        )
    except EvenstoreError:
        raise
    except Exception as exc:
        # The function is the repo's own; its error may hold the caller's values.
        msg = f"on-demand view `{rows.view.name}` failed on these rows: {type(exc).__name__}"
        raise InvalidRequestError(msg, hint="are all its inputs in `df`?") from exc


def _inputs_of(store: FeatureStore, view: OnDemandFeatureView) -> _Inputs:
    dtypes = _dtypes(compile_feature_view(view, is_offline=True), with_features=False)
    timestamps = {_EVENT_TIMESTAMP}
    for projection in view.source_feature_view_projections.values():
        table = store.registry.get_any_feature_view(
            projection.name, store.project, allow_cache=True
        )
        if isinstance(table, OnDemandFeatureView):
            msg = f"on-demand view `{view.name}` reads on-demand view `{table.name}`"
            raise SchemaError(msg, hint="Feast computes no chains: read its source views")
        source = cast("FeatureView", table)
        dtypes |= _dtypes(compile_feature_view(source, is_offline=True))
        if source.batch_source is not None and source.batch_source.timestamp_field:
            timestamps.add(source.batch_source.timestamp_field)
    if view.source_request_sources:
        asked = compile_on_demand_view(view).request_fields
        dtypes |= {field.name: field.dtype for field in asked}
    return _Inputs(dtypes, frozenset(timestamps - dtypes.keys()))


def _dtypes(view: FeatureViewSchema, *, with_features: bool = True) -> dict[str, Dtype]:
    features = view.features if with_features else ()
    return {field.name: field.dtype for field in (*view.join_keys, *features)}


def _series(values: list[Any], dtype: Dtype) -> pd.Series[Any]:
    # Whole numbers with gaps become floats, as they do in Feast: functions are written for that.
    return pd.Series(values, dtype=_PANDAS_DTYPES.get(dtype))


def _newest(data: pd.DataFrame, keys: list[list[Any]], order: list[Any]) -> pd.DataFrame:
    """Keep an entity's newest row, the last of several."""
    newest: dict[tuple[Any, ...], int] = {}
    for row_idx, entity in enumerate(zip(*keys, strict=True)):
        rival = newest.setdefault(entity, row_idx)
        if order[row_idx] >= order[rival]:
            newest[entity] = row_idx
    if not keys or len(newest) == len(data):
        return data
    return data.iloc[sorted(newest.values())].reset_index(drop=True)
