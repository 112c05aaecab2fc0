"""The cause of a differing cell of a repo that evenstore is not part of.

Such a store keeps neither created timestamps nor a watermark, so the evidence is what anybody can
see: the source's rows, the recorded runs, the answer. Put as facts, they are judged by the rules of
`parity.causes`; what only an audit can see is asked first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evenstore.clock import format_us
from evenstore.semantics import Status
from parity.causes.cell_facts import CellFacts, Relation
from parity.causes.finding import Cause, Finding, StoredOrder
from parity.causes.rows import LoadState, SourceRow, StoredRow
from parity.causes.rules import decide_cause
from parity.compare import are_values_equal
from parity.report import Difference
from parity.values import format_value

__all__ = ["StoredView", "find_stock_cause", "is_nan_lost"]


@dataclass(frozen=True, slots=True)
class StoredView:
    """What is known about a view in a stranger's store.

    Attributes:
        name: The view's name.
        ttl_us: None means forever.
        runs: Recorded materializations, `(start, end)` in microseconds, both inclusive.
        is_materializing: Whether a run of this view, or of one that is read with it, is under
            way or was killed.
        takes_pushes: Whether the view has a push or stream source.
        has_created: Whether its source says when rows were readable.
        key_ttl_s: After how many seconds the online store forgets a key; None for never.
    """

    name: str
    ttl_us: int | None
    runs: tuple[tuple[int, int], ...]
    is_materializing: bool
    takes_pushes: bool
    has_created: bool
    key_ttl_s: int | None


_Explained = tuple[Cause, str]


def find_stock_cause(
    difference: Difference,
    view: StoredView,
    rows: Sequence[SourceRow],
    *,
    first_online_us: int | None,
    is_kept_type: bool,
    command: str,
) -> Finding:
    """Find the cause of one differing cell.

    Args:
        difference: The cell.
        view: What is known about its view.
        rows: The entity's source rows, the newest first, with the feature's values.
        first_online_us: The earliest event timestamp at which any compared entity has a value of
            this feature online; None where none has.
        is_kept_type: Whether the source holds values that the declared type cannot.
        command: Reproduces the cell.
    """
    facts = _facts(difference, view, rows)
    cause, because = (
        _refused(difference, view)
        or _expired(facts)
        or _never_backfilled(facts, first_online_us)
        or _kept(facts, is_kept_type=is_kept_type)
        or _judged(facts, view)
    )
    return Finding(cause, because, facts.evidence(), command)


def is_nan_lost(difference: Difference) -> bool:
    """Tell whether the offline value is NaN and the online one null."""
    offline = difference.offline.value
    is_nan = isinstance(offline, float) and math.isnan(offline)
    return is_nan and difference.online.status is not None and difference.online.value is None


def _facts(difference: Difference, view: StoredView, rows: Sequence[SourceRow]) -> CellFacts:
    online = difference.online
    facts = CellFacts(
        feature=difference.feature,
        dtype=difference.dtype,
        as_of_us=difference.as_of_us,
        offline=difference.offline,
        online=online,
        history=rows,
        stored=None
        if online.event_us is None
        else StoredRow(StoredOrder(online.event_us), {difference.feature: online.value}),
        ttl_us=view.ttl_us,
        n_source_rows=len(rows),
        is_pushable=view.takes_pushes,
    )
    loads = LoadState(
        intervals=view.runs,
        loaded_at_us=_covering_end_us(facts, view),
        keeps_order=False,
        physical_ttl_us=None if view.key_ttl_s is None else view.key_ttl_s * 1_000_000,
    )
    return replace(facts, loads=loads)


def _covering_end_us(facts: CellFacts, view: StoredView) -> int | None:
    """Return the end of the first recorded run that should have loaded the winning row."""
    winner = facts.winner
    if winner is None:
        return None
    event_us = winner.order.event_us
    return min((end for start, end in view.runs if start <= event_us <= end), default=None)


def _judged(facts: CellFacts, view: StoredView) -> _Explained:
    """Ask the rules of all stores, and say of a stranger's what they could not know."""
    cause, because = decide_cause(facts)
    is_same_row = facts.relation is Relation.SAME
    online_us = facts.online.event_us
    if online_us is not None and online_us > facts.as_of_us and not facts.is_in_source:
        return Cause.UNKNOWN, "the stored row is later than the instant of the audit"
    if cause is Cause.DELETED_ROW and view.takes_pushes:
        return Cause.PUSHED_ONLINE_ONLY, "the source has no such row; the view takes pushes"
    is_other_type = type(facts.offline.value) is not type(facts.online.value)
    if cause is Cause.DTYPE_PRECISION and is_same_row and is_other_type:
        return Cause.SDK_CONVERSION, f"Feast gave a value of another type: {because}"
    if cause is Cause.UNKNOWN and is_same_row and not view.has_created:
        because = "the source now says something else under the same event timestamp"
        return Cause.DROPPED_CORRECTION, because
    return cause, because


def _refused(difference: Difference, view: StoredView) -> _Explained | None:
    if difference.online.status is not None:
        return None
    if view.is_materializing:
        because = "Feast refuses reads: a run is under way, or one was killed"
        return Cause.NOT_MATERIALIZED, because
    return Cause.UNKNOWN, "Feast's SDK gave no answer; see the refusals"


def _expired(facts: CellFacts) -> _Explained | None:
    if facts.offline.status is not Status.OUTSIDE_MAX_AGE or facts.online.value is None:
        return None
    return Cause.TTL_BOUNDARY, "the row is older than the view's ttl, which the store ignores"


def _never_backfilled(facts: CellFacts, first_online_us: int | None) -> _Explained | None:
    online_us = facts.online.event_us
    is_lacking = facts.online.value is None and facts.offline.value is not None
    if not is_lacking or online_us is None or facts.relation is not Relation.SAME:
        return None
    if isinstance(facts.offline.value, float) and math.isnan(facts.offline.value):
        return None
    if first_online_us is not None and first_online_us <= online_us:
        return None
    since = "in no row" if first_online_us is None else f"from {format_us(first_online_us)}"
    because = f"online the feature has values {since}; rows load once"
    return Cause.NEW_FEATURE_NOT_BACKFILLED, because


def _kept(facts: CellFacts, *, is_kept_type: bool) -> _Explained | None:
    is_other = not are_values_equal(facts.offline.value, facts.online.value)
    if not is_kept_type or not is_other or facts.relation is not Relation.SAME:
        return None
    return (
        Cause.DTYPE_PRECISION,
        f"the declared type cannot hold {format_value(facts.offline.value)}",
    )
