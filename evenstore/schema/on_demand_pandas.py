"""Runs on-demand views of mode `pandas`: one frame in, one frame out, both of declared types.

Loaded only when a request has such a view, so that other processes never import pandas.

The frame's columns have one type each, whatever rows are in the batch:

| declared | in the frame | null is |
|---|---|---|
| Int32, Int64 | `Int32`, `Int64` | `pd.NA` |
| Bool | `boolean` | `pd.NA` |
| Float32, Float64 | `float32`, `float64` | NaN |
| String, Bytes, lists and others | `object`; a list is an array, a map a dict | None |
| UnixTimestamp | `datetime64[us, UTC]` | NaT |

Why not what stock Feast gives: there an int64 becomes float64 as soon as one row of the batch is
null, so that a value above 2^53 depends on its neighbours; online, where every row comes alone, it
becomes object. `Int64` is the one type that is exact and holds a null. Arithmetic, comparison,
`fillna`, `isna`, `astype` and `apply` work as on int64; where a null is left, `pd.NA` is no truth
value, so that `np.where(df["n"] > 3, 1, 0)` fails, and says so, until the function says what a null
means: `df["n"].fillna(0)`. Floats stay NumPy floats, where pandas has one missing value: NaN and
null are one in these functions, and NaN in an output is null.

Timestamps hold whole seconds in UTC; elements of lists of timestamps are without zone, in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.dtypes import Dtype
from evenstore.errors import SchemaError
from evenstore.schema.arrow import arrow_type
from evenstore.schema.model import Field, OnDemandViewSchema
from evenstore.schema.on_demand_cast import cast_exactly, to_values
from evenstore.schema.on_demand_values import coerce_values, to_plain

__all__ = ["PandasFunction", "build_frame"]

_MASKED: dict[pa.DataType, Any] = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
_INTEGERS = frozenset({Dtype.INT32, Dtype.INT64})
_FLOAT64_INTEGERS = 2**53
_NULL_HINT = "nulls are pd.NA in integer and boolean columns: say what they mean with .fillna(...)"


class PandasFunction:
    """The function of one on-demand view of mode `pandas`.

    Args:
        view: The view.
        function: Its function, loaded.
    """

    def __init__(self, view: OnDemandViewSchema, function: Callable[[pd.DataFrame], Any]) -> None:
        self._view = view
        self._function = function

    def apply(self, inputs: Mapping[str, pa.Array], n_rows: int) -> dict[str, pa.Array]:
        """Compute the outputs for a batch of at least one row.

        Args:
            inputs: One column per name that the function knows, of declared Arrow types.
            n_rows: Length of every column.

        Returns:
            One array per declared output, of its declared Arrow type.

        Raises:
            SchemaError: The function failed or gave no frame, changed the rows, or an output is
                missing.
            UnsupportedDtypeError: A value has another type than declared.
        """
        answer = self._call(build_frame(inputs, n_rows))
        if len(answer) != n_rows:
            given = f"{len(answer)} rows for {n_rows}"
            msg = f"on-demand view `{self._view.name}`: the function gave {given}"
            raise SchemaError(msg, hint="return one row per input row, in order")
        if not answer.index.equals(pd.RangeIndex(n_rows)):
            # Sorted or filtered rows would put values beside the wrong entity.
            msg = f"on-demand view `{self._view.name}`: the function changed the frame's index"
            hint = "return one row per input row, in order; if it is so: .reset_index(drop=True)"
            raise SchemaError(msg, hint=hint)
        return {field.name: self._output(field, answer) for field in self._view.features}

    def apply_values(
        self, inputs: Mapping[str, Sequence[Any]], dtypes: Mapping[str, Dtype], n_rows: int
    ) -> dict[str, list[Any]]:
        """Compute the outputs for a batch of plain Python values, as `apply` does.

        Args:
            inputs: One column per name that the function knows.
            dtypes: The declared type of each.
            n_rows: Length of every column; at least one.

        Raises:
            SchemaError: As `apply`.
            UnsupportedDtypeError: As `apply`.
        """
        arrays = {
            name: pa.array(values, arrow_type(dtypes[name])) for name, values in inputs.items()
        }
        return {name: to_values(array) for name, array in self.apply(arrays, n_rows).items()}

    def _call(self, frame: pd.DataFrame) -> pd.DataFrame:
        name = self._view.name
        columns = ", ".join(f"`{column}`" for column in frame.columns)
        try:
            answer: object = self._function(frame)
        except Exception as exc:
            msg = f"on-demand view `{name}`: the function raised {type(exc).__name__}: {exc}"
            hint = f"the frame has {columns}" if isinstance(exc, KeyError) else _NULL_HINT
            raise SchemaError(msg, hint=hint) from exc
        if not isinstance(answer, pd.DataFrame):
            msg = f"on-demand view `{name}`: the function gave {type(answer).__name__}"
            raise SchemaError(msg, hint="return a DataFrame with one column per declared feature")
        return answer

    def _output(self, field: Field, answer: pd.DataFrame) -> pa.Array:
        where = f"{self._view.name}:{field.name}"
        n_columns = int((answer.columns == field.name).sum())
        if n_columns != 1:
            msg = f"{where}: the function gave {n_columns or 'no'} columns of this name"
            raise SchemaError(msg, hint="return one column per declared feature")
        return _to_declared(answer[field.name], field.dtype, where=where)


def build_frame(columns: Mapping[str, pa.Array], n_rows: int) -> pd.DataFrame:
    """Build the frame that functions see; its types follow from the Arrow types alone."""
    return pd.DataFrame(
        {name: _to_series(array) for name, array in columns.items()}, index=pd.RangeIndex(n_rows)
    )


def _to_series(array: pa.Array) -> Any:
    masked = _MASKED.get(array.type)
    if masked is not None:
        return masked.__from_arrow__(array)
    if pa.types.is_timestamp(array.type) or pa.types.is_nested(array.type):
        return array.to_pandas(maps_as_pydicts="strict")
    values = array.to_numpy(zero_copy_only=False)
    return values if pa.types.is_floating(array.type) else pd.Series(values, dtype=object)


def _to_declared(column: pd.Series[Any], dtype: Dtype, *, where: str) -> pa.Array:
    array = _to_array(column, dtype)
    if array is not None and pa.types.is_floating(array.type):
        # A masked Float64 can hold both; the result must not depend on which type was used.
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
        if dtype in _INTEGERS:
            array = array.cast(pa.int64()) if _is_whole(array) else None
    if array is not None:
        return cast_exactly(array, dtype, where=where)
    values = [_plain_value(value, dtype) for value in column]
    return pa.array(coerce_values(values, dtype, where=where), arrow_type(dtype))


def _to_array(column: pd.Series[Any], dtype: Dtype) -> pa.Array | None:
    """Convert a column as it is; None for one that must be looked at value by value."""
    is_object = column.dtype == object
    if is_object and dtype is not Dtype.STRING:
        return None
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowException, UnicodeEncodeError):
        return None
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if is_object and not (pa.types.is_string(array.type) or pa.types.is_null(array.type)):
        return None
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_whole(array: pa.Array) -> bool:
    """Tell whether floats are integers: pandas makes floats of them where one is missing."""
    is_whole = pc.and_(
        pc.equal(pc.floor(array), array), pc.less_equal(pc.abs(array), _FLOAT64_INTEGERS)
    )
    return bool(pc.all(is_whole, min_count=0).as_py())


def _plain_value(value: Any, dtype: Dtype) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "M":
        instants = value.astype("datetime64[us]").tolist()
        return [None if instant is None else instant.replace(tzinfo=UTC) for instant in instants]
    value = to_plain(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    is_count = dtype in _INTEGERS and value.is_integer() and abs(value) <= _FLOAT64_INTEGERS
    return int(value) if is_count else value
