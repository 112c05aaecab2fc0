"""Where a source's columns have other types than the features they are declared as.

Only exact widening gets here: a source that cannot be read as declared is refused when it is
opened. A widened column is no fault, and the first place to look when numbers differ.
"""

from __future__ import annotations

from pathlib import Path

from feast import FeatureStore, FeatureView

from evenstore.schema.arrow import arrow_type
from evenstore.schema.footer import footers_of
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.source import open_source

__all__ = ["describe_schema_skew"]


def describe_schema_skew(store: FeatureStore, view: FeatureViewSchema) -> tuple[str, ...]:
    """Name each feature whose source column has another type, one sentence each.

    Args:
        store: The repo, opened.
        view: One of its views; of a pinned version nothing is said, whose source is its own.

    Raises:
        OfflineStoreError: The source cannot be read.
    """
    table = store.registry.get_any_feature_view(view.name.partition("@")[0], store.project)
    if "@" in view.name or not isinstance(table, FeatureView):
        return ()
    source = open_source(table, view, Path(store.repo_path))
    names, types = dict(source.columns), footers_of(source)[0].types
    return tuple(
        f"{field.name} is {types[column]} in the source, declared {field.dtype.value}"
        for field in view.features
        if (column := names[field.name]) in types
        and not field.dtype.holds_map
        and types[column] != arrow_type(field.dtype)
    )
