"""The columns that a caller sends, and the views that are read together for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evenstore.errors import EntityRowsError, UnsupportedDtypeError
from evenstore.online.key_group import KeyGroup, open_key_group
from evenstore.schema.model import Field, Layout
from evenstore.schema.on_demand import coerce_value
from evenstore.schema.request import FeatureRequest, ViewRead

__all__ = ["common_length", "open_key_groups", "request_column"]


def open_key_groups(
    layout: Layout, project: str, request: FeatureRequest, *, max_skew_us: int
) -> tuple[KeyGroup, ...]:
    """Prepare the reading of a request's views; those that share entity keys are read together.

    Args:
        layout: How rows lie in Redis.
        project: The Feast project.
        request: What is asked for.
        max_skew_us: How much later than now a stored row may be before it is refused.
    """
    shared: dict[tuple[object, ...], list[ViewRead]] = {}
    for read in request.reads:
        shared.setdefault((read.key_columns, read.view.join_keys), []).append(read)
    return tuple(
        open_key_group(layout, project, reads, max_skew_us=max_skew_us) for reads in shared.values()
    )


def common_length(wanted: Sequence[Field], columns: Mapping[str, Sequence[Any]]) -> int:
    """Return the number of entity rows.

    Raises:
        EntityRowsError: A column is missing, or columns differ in length.
    """
    try:
        lengths = {len(columns[field.name]) for field in wanted}
    except KeyError:
        missing = ", ".join(f"`{field.name}`" for field in wanted if field.name not in columns)
        needed = ", ".join(f"`{field.name}` ({field.dtype.value})" for field in wanted)
        msg = f"missing column: {missing}"
        raise EntityRowsError(msg, hint=f"send {needed}") from None
    if len(lengths) > 1:
        listed = ", ".join(f"`{field.name}` {len(columns[field.name])}" for field in wanted)
        msg = f"columns differ in length: {listed}"
        raise EntityRowsError(msg, hint="send one value per entity row in every column")
    if lengths:
        return lengths.pop()
    return max((len(values) for values in columns.values()), default=1)


def request_column(field: Field, values: Sequence[Any]) -> list[Any]:
    """Give a column of request data its declared type.

    Raises:
        EntityRowsError: A value is not of that type.
    """
    try:
        return [
            coerce_value(value, field.dtype, where=f"request data `{field.name}`, row {i}")
            for i, value in enumerate(values)
        ]
    except UnsupportedDtypeError as exc:
        raise EntityRowsError(exc.message, hint=f"send {field.dtype.value} values") from exc
