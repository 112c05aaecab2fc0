"""What the knowledge mode changes: the same entity rows joined as known then and as known now.

Where the two differ, a dataset of the other mode would have trained on values that serving never
had, or on values that were corrected since. Where they do not, the sources may simply not say when
a row was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evenstore.errors import SchemaDriftError
from evenstore.schema.request import Column, resolve_service
from evenstore.semantics import Knowledge
from training.dataset import TrainingDataset

if TYPE_CHECKING:
    import feast

__all__ = ["KnowledgeComparison", "ViewDifference", "compare_knowledge", "differing_cells"]


@dataclass(frozen=True, slots=True)
class ViewDifference:
    """How one view's features differ between the two modes.

    Attributes:
        view: The feature view, under the name it was asked for.
        n_rows: Entity rows in which a feature of the view differs.
        n_values: Differing feature values.
    """

    view: str
    n_rows: int
    n_values: int


@dataclass(frozen=True, slots=True)
class KnowledgeComparison:
    """How a dataset differs from the same one in the other knowledge mode.

    Attributes:
        n_rows: Entity rows compared.
        n_rows_differing: Rows in which any feature differs.
        views: All views, on-demand ones included, in service order.
    """

    n_rows: int
    n_rows_differing: int
    views: tuple[ViewDifference, ...]


def compare_knowledge(
    dataset: TrainingDataset, *, repo: Path | feast.FeatureStore
) -> KnowledgeComparison:
    """Join a dataset's entity rows again in the other knowledge mode, and count what differs.

    Args:
        dataset: As `TrainingDataset.build` made it.
        repo: What it was built from.

    Raises:
        SchemaDriftError: The feature service is not any more what the dataset was built with.
        SourceUnavailableError: A source cannot be read.
    """
    from evenstore.offline.history import read_history
    from evenstore.schema.compile import compile_store
    from evenstore.schema.repository import open_repository

    spec = dataset.manifest.spec
    store = open_repository(repo) if isinstance(repo, Path) else repo
    request = resolve_service(compile_store(store), spec.feature_service)
    if request.fingerprint != dataset.manifest.schema_fingerprint:
        msg = f"feature service `{spec.feature_service}` changed while its rows were compared"
        raise SchemaDriftError(msg, hint="run the command again when `feast apply` is done")
    other = read_history(
        store,
        request,
        dataset.entity_table,
        knowledge=_OTHER[spec.knowledge],
        event_timestamp_column=spec.event_timestamp_column,
    )
    return _count(dataset.table, other, request.columns)


_OTHER = {
    Knowledge.AS_KNOWN: Knowledge.LATEST_TRUTH,
    Knowledge.LATEST_TRUTH: Knowledge.AS_KNOWN,
}


def differing_cells(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Tell row by row whether two columns of one type differ; null equals null, NaN equals NaN."""
    if pa.types.is_nested(one.type):
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        # Text, because NaN does not equal itself inside a list or a struct.
        return np.array([repr(a) != repr(b) for a, b in pairs], dtype=np.bool_)
    is_equal = pc.fill_null(pc.equal(one, other), fill_value=False)
    if pa.types.is_floating(one.type):
        both_nan = pc.and_(pc.is_nan(one), pc.is_nan(other))
        is_equal = pc.or_(is_equal, pc.fill_null(both_nan, fill_value=False))
    is_equal = pc.or_(is_equal, pc.and_(pc.is_null(one), pc.is_null(other)))
    flags: npt.NDArray[np.bool_] = pc.invert(is_equal).to_numpy()
    return flags.astype(np.bool_)


def _count(one: Any, other: Any, columns: Sequence[Column]) -> KnowledgeComparison:
    n_rows = one.num_rows
    in_any_view = np.zeros(n_rows, dtype=np.bool_)
    views = []
    for view in dict.fromkeys(column.view_name for column in columns):
        in_view, n_values = np.zeros(n_rows, dtype=np.bool_), 0
        for column in columns:
            if column.view_name == view:
                name = column.output_name(full_feature_names=True)
                differs = differing_cells(one.column(name), other.column(name))
                in_view |= differs
                n_values += int(differs.sum())
        in_any_view |= in_view
        views.append(ViewDifference(view, int(in_view.sum()), n_values))
    return KnowledgeComparison(n_rows, int(in_any_view.sum()), tuple(views))
