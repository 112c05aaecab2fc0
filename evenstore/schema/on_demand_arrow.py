"""Runs on-demand views over Arrow columns: what Feast's interface and offline reads hold.

The functions and their outputs are those of `evenstore.schema.on_demand`; a view of mode `pandas`
gets its frame from Arrow without Python values between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evenstore.errors import EntityRowsError, SchemaError, UnsupportedDtypeError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field, OnDemandViewSchema
from evenstore.schema.on_demand import OnDemandFunction, name_inputs
from evenstore.schema.on_demand_cast import cast_exactly, to_values
from evenstore.schema.request import FeatureRequest, split_reference
from evenstore.semantics import Status, worst_status

__all__ = [
    "ArrowFeature",
    "ArrowOnDemandStage",
    "compute_on_demand_columns",
    "read_request_data",
]


@dataclass(frozen=True, slots=True)
class ArrowFeature:
    """One feature for every entity row.

    Attributes:
        values: Of the declared Arrow type.
        statuses: int8, `Status`.
    """

    values: pa.Array
    statuses: pa.Array


class ArrowOnDemandStage:
    """All on-demand views of one request, over Arrow columns; see `OnDemandStage`."""

    def __init__(self, request: FeatureRequest) -> None:
        self._functions = [OnDemandFunction(view) for view in request.on_demand]

    def apply(
        self,
        features: Mapping[tuple[str, str], ArrowFeature],
        request_data: Mapping[str, pa.Array],
        n_rows: int,
    ) -> dict[tuple[str, str], ArrowFeature]:
        """Compute every output.

        Args:
            features: What was read, by (view, feature).
            request_data: The request's columns, by name, as `read_request_data` gives them.
            n_rows: Length of every column.

        Returns:
            The outputs by (on-demand view, feature), with the worst status of the view's inputs.

        Raises:
            SchemaError: A function failed, or an output is missing or has another length.
            UnsupportedDtypeError: A value has another type than declared.
        """
        outputs: dict[tuple[str, str], ArrowFeature] = {}
        for function in self._functions:
            view = function.view
            read = {name: features[name] for name in view.inputs}
            values = {name: column.values for name, column in read.items()}
            worst = np.full(n_rows, Status.PRESENT, dtype=np.int8)
            for column in read.values():
                worst = _WORSE[worst, _codes(column.statuses)]
            answered = _apply_to_arrow(function, name_inputs(view, values, request_data), n_rows)
            for name, array in answered.items():
                is_null = np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
                own = np.where(is_null, Status.NULL_VALUE, Status.PRESENT).astype(np.int8)
                outputs[view.name, name] = ArrowFeature(array, pa.array(_WORSE[worst, own]))
        return outputs


def compute_on_demand_columns(
    views: Sequence[OnDemandViewSchema],
    table: pa.Table,
    *,
    feature_refs: Sequence[str],
    full_feature_names: bool,
) -> list[tuple[str, pa.Array]]:
    """Compute on-demand features on a joined table, for Feast's retrieval job.

    Input features are looked up as `view__feature` first, then as `feature`, in their declared
    types. Naive timestamps in request data are UTC, as Feast's interface demands.

    Args:
        views: The on-demand views; each is named as the references name it.
        table: Entity rows (with the request data) and the features that the views read.
        feature_refs: `view:feature`, what was asked for; references to other views are passed
            over.
        full_feature_names: Name columns `view__feature`.

    Returns:
        `(column name, values)` of every on-demand feature asked for, in the order of
        `feature_refs`, in the declared types. They are to be appended to `table`.

    Raises:
        EntityRowsError: Request data is missing or of another type, or a column of `table` has the
            name of an output.
        SchemaError: An input is missing; a function failed, or gave no such output.
        UnsupportedDtypeError: A value has another type than declared.
    """
    wanted = dict.fromkeys(split_reference(reference) for reference in feature_refs)
    computed: dict[tuple[str, str], pa.Array] = {}
    for view in views:
        if not any((view.name, field.name) in wanted for field in view.features):
            continue
        inputs = name_inputs(
            view,
            {name: _input_column(table, view, *name) for name in view.inputs},
            read_request_data(table, view.request_fields, naive_is_utc=True),
        )
        answered = _apply_to_arrow(OnDemandFunction(view), inputs, table.num_rows)
        computed |= {(view.name, name): values for name, values in answered.items()}
    columns = [
        (f"{name[0]}__{name[1]}" if full_feature_names else name[1], computed[name])
        for name in wanted
        if name in computed
    ]
    for column, _ in columns:
        if column in table.column_names:
            msg = f"entity rows: column `{column}` has the name of a feature asked for"
            raise EntityRowsError(msg, hint="rename it, or pass full_feature_names=True")
    return columns


def read_request_data(
    table: pa.Table, fields: Sequence[Field], *, naive_is_utc: bool = False
) -> dict[str, pa.Array]:
    """Read the columns that on-demand views take from the request, in their declared types.

    Args:
        table: The entity rows.
        fields: The request's fields.
        naive_is_utc: Read timestamps without a zone as UTC; only where Feast's interface demands
            it.

    Raises:
        EntityRowsError: A column is missing, or a value is not of the declared type.
    """
    columns = {}
    for field in fields:
        if field.name not in table.column_names:
            msg = f"entity rows: no column `{field.name}`"
            hint = f"an on-demand view takes it from the request: {field.dtype.value}"
            raise EntityRowsError(msg, hint=hint)
        try:
            columns[field.name] = cast_exactly(
                table[field.name].combine_chunks(),
                field.dtype,
                where=f"entity rows: request data `{field.name}`",
                naive_is_utc=naive_is_utc,
            )
        except UnsupportedDtypeError as exc:
            raise EntityRowsError(exc.message, hint=f"convert it to {field.dtype.value}") from exc
    return columns


def _input_column(
    table: pa.Table, view: OnDemandViewSchema, view_name: str, feature: str
) -> pa.Array:
    full_name = f"{view_name}__{feature}"
    if full_name in table.column_names:
        return table[full_name].combine_chunks()
    is_shared = sum(other == feature for _, other in view.inputs) > 1
    if is_shared or feature not in table.column_names:
        msg = f"on-demand view `{view.name}`: the joined features have no column `{full_name}`"
        raise SchemaError(msg, hint="pass full_feature_names=True")
    return table[feature].combine_chunks()


def _apply_to_arrow(
    function: OnDemandFunction, inputs: Mapping[str, pa.Array], n_rows: int
) -> dict[str, pa.Array]:
    view = function.view
    if not n_rows:
        return {field.name: pa.array([], arrow_type(field.dtype)) for field in view.features}
    if function.frames is not None:
        answered: dict[str, pa.Array] = function.frames.apply(inputs, n_rows)
        return answered
    # A column has up to two names; it is made plain once.
    plain = {id(array): to_values(array) for array in inputs.values()}
    columns = {name: plain[id(array)] for name, array in inputs.items()}
    outputs = function.apply(columns, n_rows)
    return {
        field.name: pa.array(outputs[field.name], arrow_type(field.dtype))
        for field in view.features
    }


def _worse_of_codes() -> np.ndarray:
    size = max(Status) + 1
    worse = np.zeros((size, size), dtype=np.int8)
    for one in Status:
        for other in Status:
            worse[one, other] = worst_status((one, other))
    return worse


_WORSE = _worse_of_codes()


def _codes(statuses: pa.Array) -> np.ndarray:
    return np.asarray(statuses.to_numpy(zero_copy_only=False), dtype=np.int8)
