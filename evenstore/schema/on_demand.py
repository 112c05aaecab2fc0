"""Runs on-demand views: the same code at the gateway and in a training dataset.

Functions of mode `python` see plain Python values: int, float, str, bytes, bool, aware datetimes
for timestamps, lists, and None for null. Functions of mode `pandas` see one frame
(`evenstore.schema.on_demand_pandas`). Outputs have the declared type whatever rows are in the
batch; a value that has another type is an error that names the view and the feature.

`evenstore.schema.on_demand_arrow` does the same over Arrow columns.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError
from evenstore.schema.model import Field, OnDemandViewSchema
from evenstore.schema.on_demand_values import coerce_value, coerce_values, to_plain
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status, on_demand_status, worst_status

__all__ = [
    "FeatureValues",
    "NoteRowError",
    "OnDemandFunction",
    "OnDemandStage",
    "coerce_value",
    "coerce_values",
    "name_inputs",
]

_Column = TypeVar("_Column")

NoteRowError = Callable[[int, SchemaError], None]
"""Takes note of a row that a function failed on, and of why."""
_PYTHON, _PANDAS = "python", "pandas"


@dataclass(frozen=True, slots=True)
class FeatureValues:
    """One feature for every entity row of a batch: values and statuses, equally long."""

    values: Sequence[Any]
    statuses: Sequence[Status]


class OnDemandFunction:
    """One on-demand view, loaded and ready to run.

    Build once per schema; `apply` is called per batch. Loading runs code that whoever applied the
    registry wrote, as Feast does. Only a view of mode `pandas` imports pandas.

    Args:
        view: The view.
        input_dtypes: Declared types of its inputs, by the names that the function knows; only a
            view of mode `pandas` needs them, for `apply`.

    Attributes:
        view: The view.
        frames: The runner of a view of mode `pandas`
            (`evenstore.schema.on_demand_pandas.PandasFunction`), else None.

    Raises:
        SchemaError: The view's mode is neither `python` nor `pandas`, or it has no function.
    """

    def __init__(
        self, view: OnDemandViewSchema, input_dtypes: Mapping[str, Dtype] | None = None
    ) -> None:
        _check_mode(view)
        self.view = view
        self._input_dtypes = input_dtypes or {}
        self._function: Callable[[Any], Any] = importlib.import_module("dill").loads(view.udf)
        self.frames: Any = None
        if view.mode == _PANDAS:
            # Not a plain import: the gateway's workers must not load pandas for nothing.
            module = importlib.import_module("evenstore.schema.on_demand_pandas")
            self.frames = module.PandasFunction(view, self._function)

    def apply(self, inputs: Mapping[str, Sequence[Any]], n_rows: int) -> dict[str, list[Any]]:
        """Compute the outputs for a batch.

        Args:
            inputs: One column per input feature (by its name and as `view__feature`) and per
                request field.
            n_rows: Length of every column.

        Returns:
            One column of length `n_rows` per declared output.

        Raises:
            SchemaError: An output is missing, or has another length; the function failed.
            UnsupportedDtypeError: A value has another type than declared.
        """
        if not n_rows:
            return {field.name: [] for field in self.view.features}
        if self.frames is not None:
            answered: dict[str, list[Any]] = self.frames.apply_values(
                inputs, self._input_dtypes, n_rows
            )
            return answered
        columns = {name: list(values) for name, values in inputs.items()}
        if self.view.is_singleton:
            produced = [
                self._call({name: values[i] for name, values in columns.items()})
                for i in range(n_rows)
            ]
            return {
                field.name: self._singleton_output(field, produced) for field in self.view.features
            }
        answer = self._call(columns)
        return {field.name: self._output(field, answer, n_rows) for field in self.view.features}

    def _call(self, columns: dict[str, Any]) -> Mapping[str, Any]:
        try:
            answer: object = self._function(columns)
        except Exception as exc:
            msg = f"on-demand view `{self.view.name}`: the function raised {type(exc).__name__}"
            hint = "inputs may be None: not found, too old, or null"
            raise SchemaError(msg, hint=hint) from exc
        if not isinstance(answer, Mapping):
            msg = f"on-demand view `{self.view.name}`: the function gave {type(answer).__name__}"
            raise SchemaError(msg, hint="return a dict with one entry per declared feature")
        return answer

    def _singleton_output(self, field: Field, rows: list[Mapping[str, Any]]) -> list[Any]:
        where = f"{self.view.name}:{field.name}"
        for i, row in enumerate(rows):
            if field.name not in row:
                msg = f"{where}: the function gave no value for row {i}"
                raise SchemaError(msg, hint="return every declared feature; None for null")
        return coerce_values([row[field.name] for row in rows], field.dtype, where=where)

    def _output(self, field: Field, produced: Mapping[str, Any], n_rows: int) -> list[Any]:
        where = f"{self.view.name}:{field.name}"
        values = to_plain(produced.get(field.name))
        # A text is a sequence too, but of its letters.
        if not isinstance(values, list | tuple) or len(values) != n_rows:
            is_column = isinstance(values, list | tuple)
            given = f"{len(values)} values" if is_column else "no column"
            msg = f"{where}: the function gave {given} for {n_rows} rows"
            raise SchemaError(
                msg, hint="return one list per declared feature, as long as the inputs"
            )
        return coerce_values(values, field.dtype, where=where)


def _check_mode(view: OnDemandViewSchema) -> None:
    if view.mode not in {_PYTHON, _PANDAS}:
        msg = f"on-demand view `{view.name}` has mode `{view.mode}`"
        raise SchemaError(msg, hint='declare it with mode="python" or mode="pandas"')
    if not view.udf:
        msg = f"on-demand view `{view.name}` has no function of its own"
        raise SchemaError(msg, hint="aggregations in an on-demand view are not supported")


class OnDemandStage:
    """All on-demand views of one request, run after the reads.

    Build once per request schema. Both stores' readers use it, so that one function, fed one form
    of values, makes the outputs on both sides.
    """

    def __init__(self, request: FeatureRequest) -> None:
        dtypes = {
            (read.output_name, field.name): field.dtype
            for read in request.reads
            for field in read.features
        }
        self._functions = [
            OnDemandFunction(view, name_inputs(view, dtypes, _request_dtypes(view)))
            for view in request.on_demand
        ]

    def apply(
        self,
        features: Mapping[tuple[str, str], FeatureValues],
        request_data: Mapping[str, Sequence[Any]],
        n_rows: int,
        *,
        note_error: NoteRowError | None = None,
    ) -> dict[tuple[str, str], FeatureValues]:
        """Compute every output.

        Args:
            features: What was read, by (view, feature).
            request_data: The request's columns, by name.
            n_rows: Length of every column.
            note_error: Told of each row that a function fails on, whose outputs are then null and
                INVALID; without it the first failure raises.

        Returns:
            The outputs by (on-demand view, feature), with the worst status of the view's inputs;
            null where that is INVALID, whatever the function makes of unknown inputs.

        Raises:
            SchemaError: A function failed, or an output is missing or has another length.
            UnsupportedDtypeError: A value has another type than declared.
        """
        outputs: dict[tuple[str, str], FeatureValues] = {}
        for function in self._functions:
            view = function.view
            read = {name: features[name] for name in view.inputs}
            values = {name: column.values for name, column in read.items()}
            inputs = name_inputs(view, values, request_data)
            worst = _worst_of_rows([column.statuses for column in read.values()], n_rows)
            if note_error is None:
                produced = function.apply(inputs, n_rows)
            else:
                produced = _apply_row_by_row(function, inputs, range(n_rows), worst, note_error)
            has_invalid = Status.INVALID in worst
            for name, column in produced.items():
                statuses = [
                    _ON_DEMAND_STATUSES[status, value is None]
                    for status, value in zip(worst, column, strict=True)
                ]
                outputs[view.name, name] = FeatureValues(
                    _without_invalid(column, worst) if has_invalid else column, statuses
                )
        return outputs


def _apply_row_by_row(
    function: OnDemandFunction,
    inputs: Mapping[str, Sequence[Any]],
    rows: range,
    worst: list[Status],
    note_error: NoteRowError,
) -> dict[str, list[Any]]:
    """Compute the outputs of some rows; in halves where they fail, down to the rows at fault.

    Marks those in `worst`.
    """
    part = {name: values[rows.start : rows.stop] for name, values in inputs.items()}
    try:
        return function.apply(part, len(rows))
    except SchemaError as exc:
        if len(rows) == 1:
            # A function may well fail where nothing is known: that is no news.
            if worst[rows.start] is not Status.INVALID:
                note_error(rows.start, exc)
                worst[rows.start] = Status.INVALID
            return {field.name: [None] for field in function.view.features}
    middle = len(rows) // 2
    first = _apply_row_by_row(function, inputs, rows[:middle], worst, note_error)
    second = _apply_row_by_row(function, inputs, rows[middle:], worst, note_error)
    return {name: [*values, *second[name]] for name, values in first.items()}


def _without_invalid(column: Sequence[Any], worst: Sequence[Status]) -> list[Any]:
    return [
        None if status is Status.INVALID else value
        for value, status in zip(column, worst, strict=True)
    ]


def name_inputs(
    view: OnDemandViewSchema,
    features: Mapping[tuple[str, str], _Column],
    request_data: Mapping[str, _Column],
) -> dict[str, _Column]:
    """Name the columns of an on-demand view's inputs as its function knows them.

    Args:
        view: The on-demand view.
        features: By (view, feature).
        request_data: By name.

    Returns:
        Every feature as `view__feature` and, where only one input is called so, as `feature`;
        every request field by its name.
    """
    inputs: dict[str, _Column] = {}
    for view_name, feature in view.inputs:
        column = features[view_name, feature]
        inputs[f"{view_name}__{feature}"] = column
        # A name that two of its views share says neither: the function must say which.
        if sum(other == feature for _, other in view.inputs) == 1:
            inputs[feature] = column
    for field in view.request_fields:
        inputs[field.name] = request_data[field.name]
    return inputs


def _request_dtypes(view: OnDemandViewSchema) -> dict[str, Dtype]:
    return {field.name: field.dtype for field in view.request_fields}


_ON_DEMAND_STATUSES = {
    (status, is_null): on_demand_status([status], is_null=is_null)
    for status in Status
    for is_null in (False, True)
}


def _worst_of_rows(columns: Sequence[Sequence[Status]], n_rows: int) -> list[Status]:
    if not columns:
        return [Status.PRESENT] * n_rows
    rows = list(zip(*columns, strict=True))
    # Few combinations occur in many rows.
    worst = {row: worst_status(row) for row in set(rows)}
    return [worst[row] for row in rows]
