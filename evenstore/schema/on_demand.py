"""Runs on-demand views: the same code at the gateway and in a training dataset.

Functions see plain Python values: int, float, str, bytes, bool, aware datetimes for timestamps,
lists, and None for null. Outputs have the declared type whatever rows are in the batch; a value
that has another type is an error that names the view and the feature.
"""

from __future__ import annotations

import importlib
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evenstore.clock import datetime_to_us, us_to_datetime
from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError, UnsupportedDtypeError
from evenstore.schema.model import Field, OnDemandViewSchema
from evenstore.schema.request import FeatureRequest
from evenstore.semantics import Status, floor_to_s, on_demand_status, worst_status

__all__ = ["FeatureValues", "OnDemandFunction", "OnDemandStage", "coerce_value", "coerce_values"]


@dataclass(frozen=True, slots=True)
class FeatureValues:
    """One feature for every entity row of a batch: values and statuses, equally long."""

    values: Sequence[Any]
    statuses: Sequence[Status]


_INT_BOUNDS = {Dtype.INT32: 2**31, Dtype.INT64: 2**63}


class OnDemandFunction:
    """One on-demand view, loaded and ready to run.

    Build once per schema; `apply` is called per batch. Loading runs code that whoever applied the
    registry wrote, as Feast does.

    Raises:
        SchemaError: The view's mode is not `python`.
    """

    def __init__(self, view: OnDemandViewSchema) -> None:
        if view.mode != "python":
            msg = f"on-demand view `{view.name}` has mode `{view.mode}`"
            raise SchemaError(
                msg, hint='declare it with mode="python"; other modes are not supported yet'
            )
        self.view = view
        self._function: Callable[[dict[str, Any]], dict[str, Any]] = importlib.import_module(
            "dill"
        ).loads(view.udf)

    def apply(self, inputs: Mapping[str, Sequence[Any]], n_rows: int) -> dict[str, list[Any]]:
        """Compute the outputs for a batch.

        Args:
            inputs: One column per input feature (by its name and as `view__feature`) and per
                request field.
            n_rows: Length of every column.

        Returns:
            One column of length `n_rows` per declared output.

        Raises:
            SchemaError: An output is missing, or has another length.
            UnsupportedDtypeError: A value has another type than declared.
        """
        if not n_rows:
            return {field.name: [] for field in self.view.features}
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
        values = _plain(produced.get(field.name))
        # A text is a sequence too, but of its letters.
        if not isinstance(values, list | tuple) or len(values) != n_rows:
            is_column = isinstance(values, list | tuple)
            given = f"{len(values)} values" if is_column else "no column"
            msg = f"{where}: the function gave {given} for {n_rows} rows"
            raise SchemaError(
                msg, hint="return one list per declared feature, as long as the inputs"
            )
        return coerce_values(values, field.dtype, where=where)


def coerce_values(values: Sequence[Any], dtype: Dtype, *, where: str) -> list[Any]:
    """Give each value of a column its declared type, as `coerce_value` does.

    Raises:
        UnsupportedDtypeError: A value has another type, or does not fit.
    """
    exact = _EXACT.get(dtype)
    return [
        value if value is None or type(value) is exact else coerce_value(value, dtype, where=where)
        for value in values
    ]


def coerce_value(value: Any, dtype: Dtype, *, where: str) -> Any:
    """Give a Python value its declared type, exactly, or refuse it.

    An int becomes a float where one is declared and holds it exactly; a Float32 is rounded to the
    nearest float32, which is what every store would keep; a datetime becomes whole seconds,
    floored, in UTC; what NumPy made becomes the plain Python value.

    Raises:
        UnsupportedDtypeError: The value has another type, or does not fit.
    """
    value = _plain(value)
    if value is None:
        return None
    if dtype.is_list:
        if not isinstance(value, list | tuple) or any(item is None for item in value):
            _refuse(value, dtype, where)
        return [coerce_value(item, dtype.element, where=where) for item in value]
    coerced = _SCALARS[dtype](value, dtype)
    if coerced is _REFUSED:
        _refuse(value, dtype, where)
    return coerced


class OnDemandStage:
    """All on-demand views of one request, run after the reads.

    Build once per request schema. Both stores' readers use it, so that one function, fed one form
    of values, makes the outputs on both sides.
    """

    def __init__(self, request: FeatureRequest) -> None:
        self._functions = [OnDemandFunction(view) for view in request.on_demand]

    def apply(
        self,
        features: Mapping[tuple[str, str], FeatureValues],
        request_data: Mapping[str, Sequence[Any]],
        n_rows: int,
    ) -> dict[tuple[str, str], FeatureValues]:
        """Compute every output.

        Args:
            features: What was read, by (view, feature).
            request_data: The request's columns, by name.
            n_rows: Length of every column.

        Returns:
            The outputs by (on-demand view, feature), with the worst status of the view's inputs.
        """
        outputs: dict[tuple[str, str], FeatureValues] = {}
        for function in self._functions:
            view = function.view
            read = [features[name] for name in view.inputs]
            inputs: dict[str, Sequence[Any]] = {}
            for (view_name, feature), column in zip(view.inputs, read, strict=True):
                inputs[f"{view_name}__{feature}"] = column.values
                # A name that two of its views share says neither: the function must say which.
                if sum(other == feature for _, other in view.inputs) == 1:
                    inputs[feature] = column.values
            for field in view.request_fields:
                inputs[field.name] = request_data[field.name]
            worst = _worst_of_rows([column.statuses for column in read], n_rows)
            for name, values in function.apply(inputs, n_rows).items():
                statuses = [
                    _ON_DEMAND_STATUSES[status, value is None]
                    for status, value in zip(worst, values, strict=True)
                ]
                outputs[view.name, name] = FeatureValues(values, statuses)
        return outputs


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


_REFUSED = object()
# A value of exactly this type is one already: most are.
_EXACT: Mapping[Dtype, type] = {Dtype.FLOAT64: float, Dtype.BOOL: bool}


def _refuse(value: Any, dtype: Dtype, where: str) -> None:
    msg = f"{where}: {value!r} is not {dtype.value}"
    raise UnsupportedDtypeError(msg, hint="return the declared type, or None for null")


def _plain(value: Any) -> Any:
    # NumPy scalars and arrays are told by their module, so that no gateway worker must import it.
    return value.tolist() if type(value).__module__ == "numpy" else value


def _integer(value: Any, dtype: Dtype) -> Any:
    # bool is a subclass of int, but True is no count.
    if not isinstance(value, int) or isinstance(value, bool):
        return _REFUSED
    bound = _INT_BOUNDS[dtype]
    return value if -bound <= value < bound else _REFUSED


def _float64(value: Any, _dtype: Dtype) -> Any:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            widened = float(value)
        except OverflowError:
            return _REFUSED
        return widened if int(widened) == value else _REFUSED
    return _REFUSED


def _float32(value: Any, dtype: Dtype) -> Any:
    widened = _float64(value, dtype)
    if widened is _REFUSED or not math.isfinite(widened):
        return widened
    return _round_to_float32(widened)


def _round_to_float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _instance(kind: type) -> Callable[[Any, Dtype], Any]:
    return lambda value, _dtype: value if isinstance(value, kind) else _REFUSED


def _text(value: Any, _dtype: Dtype) -> Any:
    if not isinstance(value, str):
        return _REFUSED
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # A lone surrogate, which neither store can keep.
        return _REFUSED
    return value


def _timestamp(value: Any, _dtype: Dtype) -> Any:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return _REFUSED
    return us_to_datetime(floor_to_s(datetime_to_us(value)) * 1_000_000)


_SCALARS: dict[Dtype, Callable[[Any, Dtype], Any]] = {
    Dtype.INT32: _integer,
    Dtype.INT64: _integer,
    Dtype.FLOAT32: _float32,
    Dtype.FLOAT64: _float64,
    Dtype.STRING: _text,
    Dtype.BYTES: _instance(bytes),
    Dtype.BOOL: _instance(bool),
    Dtype.UNIX_TIMESTAMP: _timestamp,
}
