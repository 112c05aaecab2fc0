"""Which columns of an entity row name it to each view of a service."""

from __future__ import annotations

from evenstore.schema.request import FeatureRequest

__all__ = ["key_columns_by_view"]


def key_columns_by_view(request: FeatureRequest) -> dict[str, tuple[str, ...]]:
    """Return each view's key columns; for an on-demand view its inputs' and its request data."""
    columns = {read.output_name: read.key_columns for read in request.reads}
    for view in request.on_demand:
        inputs = dict.fromkeys(name for name, _feature in view.inputs)
        keys = dict.fromkeys(column for name in inputs for column in columns[name])
        columns[view.name] = (*keys, *(field.name for field in view.request_fields))
    return columns
