"""What a reader of an audit must know beside the differing cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evenstore.schema.request import FeatureRequest
from parity.audit.answers import SdkAnswers
from parity.audit.pulled_rows import PulledView
from parity.audit.selection import Selection

__all__ = ["describe_audit"]


def describe_audit(
    request: FeatureRequest,
    pulled: Mapping[str, PulledView],
    selection: Selection,
    answers: SdkAnswers,
) -> tuple[str, ...]:
    """Say what was judged by, what was left out, and what the store cannot tell."""
    return tuple(_describe(request, pulled, selection, answers))


def _describe(
    request: FeatureRequest,
    pulled: Mapping[str, PulledView],
    selection: Selection,
    answers: SdkAnswers,
) -> Iterator[str]:
    n_rows = sum(view.n_rows_pulled for view in pulled.values())
    yield f"judged by our own point-in-time join over {n_rows:,} rows of the offline store"
    yield from selection.skipped
    for name, view in pulled.items():
        yield from (f"not compared: {problem}" for problem in view.left_out.values())
        for feature, kept in view.kept_types.items():
            field = view.schema.feature(feature)
            declared = "" if field is None else field.dtype.value
            yield f"{name}:{feature} is declared {declared}, its source holds {kept.value}"
        if not view.has_created:
            yield f"{name}: without a created timestamp, late rows and corrections look alike"
    if answers.n_unfounded:
        yield (
            f"the store calls {answers.n_unfounded:,} values PRESENT of which it has no row: an "
            "application cannot tell an unknown entity from a null"
        )
    computed = [view.name for view in request.on_demand]
    if computed:
        yield f"statuses of on-demand views are not compared: {', '.join(computed)}"
