"""The cause of a differing cell of a repo that evenstore is not part of.

Such a store keeps neither created timestamps nor a watermark, so the evidence is what anybody can
see: the source's rows, the recorded runs, the answer. The first rule that holds decides; where
none does, the cause is unknown.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evenstore.clock import format_us
from evenstore.semantics import Status
from parity.audit.history import SourceRow
from parity.causes.finding import Cause, Evidence, Finding, StoredOrder
from parity.compare import are_values_equal
from parity.report import Difference
from parity.values import PlainValue, format_value

__all__ = ["StoredView", "find_stock_cause", "is_nan_lost"]

_QUARTER_US = 15 * 60 * 1_000_000
_DAY_US = 24 * 3_600 * 1_000_000


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


@dataclass(frozen=True, slots=True)
class _Case:
    difference: Difference
    view: StoredView
    rows: Sequence[SourceRow]
    first_online_us: int | None
    is_kept_type: bool

    @property
    def offline_us(self) -> int | None:
        return self.difference.offline.event_us

    @property
    def online_us(self) -> int | None:
        return self.difference.online.event_us

    @property
    def winner(self) -> SourceRow | None:
        return next((row for row in self.rows if row.event_us == self.offline_us), None)

    @property
    def covering_end_us(self) -> int | None:
        """The end of the first recorded run that should have loaded the winning row."""
        event_us = self.offline_us
        if event_us is None:
            return None
        return min((end for start, end in self.view.runs if start <= event_us <= end), default=None)

    def values_at(self, event_us: int | None) -> list[tuple[SourceRow, PlainValue | None]]:
        feature = self.difference.feature
        return [(row, row.values.get(feature)) for row in self.rows if row.event_us == event_us]


_Explained = tuple[Cause, str]
_Rule = Callable[[_Case], _Explained | None]


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
    case = _Case(difference, view, rows, first_online_us, is_kept_type)
    cause, because = next(
        (explained for rule in _RULES if (explained := rule(case)) is not None),
        (Cause.UNKNOWN, "no rule explains it"),
    )
    return Finding(cause, because, _evidence(case), command)


def is_nan_lost(difference: Difference) -> bool:
    """Tell whether the offline value is NaN and the online one null."""
    offline = difference.offline.value
    is_nan = isinstance(offline, float) and math.isnan(offline)
    return is_nan and difference.online.status is not None and difference.online.value is None


def _refused(case: _Case) -> _Explained | None:
    if case.difference.online.status is not None:
        return None
    if case.view.is_materializing:
        because = "Feast refuses reads: a run is under way, or one was killed"
        return Cause.NOT_MATERIALIZED, because
    return Cause.UNKNOWN, "Feast's SDK gave no answer; see the refusals"


def _expired(case: _Case) -> _Explained | None:
    if case.difference.offline.status is not Status.OUTSIDE_MAX_AGE:
        return None
    if case.difference.online.value is None:
        return None
    return Cause.TTL_BOUNDARY, "the row is older than the view's ttl, which the store ignores"


def _shifted(case: _Case) -> _Explained | None:
    if case.offline_us is None or case.online_us is None or case.offline_us == case.online_us:
        return None
    shift_us = case.online_us - case.offline_us
    is_zone = shift_us % _QUARTER_US == 0 and abs(shift_us) <= _DAY_US
    cell = case.difference
    if not is_zone or not are_values_equal(cell.offline.value, cell.online.value):
        return None
    if case.values_at(case.online_us):
        return None
    hours = shift_us / 3_600_000_000
    return Cause.TIMEZONE, f"the same value stands {hours:+g} h from where the source has it"


def _without_source(case: _Case) -> _Explained | None:
    if case.online_us is None or case.values_at(case.online_us):
        return None
    if case.offline_us is not None and case.online_us < case.offline_us:
        return None
    if case.online_us > case.difference.as_of_us:
        return Cause.UNKNOWN, "the stored row is later than the instant of the audit"
    if case.view.takes_pushes:
        return Cause.PUSHED_ONLINE_ONLY, "the source has no such row; the view takes pushes"
    return Cause.DELETED_ROW, "the store has a row that the source no longer has"


def _behind(case: _Case) -> _Explained | None:
    """Explain a store that has an older row than the source, or none."""
    if case.offline_us is None:
        return None
    if case.online_us is not None and case.online_us >= case.offline_us:
        return None
    end_us = case.covering_end_us
    if end_us is None:
        last_us = max((end for _, end in case.view.runs), default=None)
        last = "no run is recorded" if last_us is None else f"the last ended {format_us(last_us)}"
        return Cause.NOT_MATERIALIZED, f"no recorded run covers the newest row: {last}"
    created_us = None if case.winner is None else case.winner.created_us
    if created_us is not None and created_us > end_us:
        because = (
            f"the row was readable from {format_us(created_us)}, after the run up to "
            f"{format_us(end_us)} that covers its event timestamp"
        )
        return Cause.LATE_ARRIVAL, because
    return _covered_but_absent(case, end_us)


def _covered_but_absent(case: _Case, end_us: int) -> _Explained:
    until = format_us(end_us)
    if case.online_us is not None and case.view.has_created:
        because = f"an older row stands in the store although the run up to {until} had the newer"
        return Cause.WRITE_ORDER, because
    if case.online_us is None and (case.view.key_ttl_s is not None or case.view.has_created):
        return Cause.KEY_EXPIRED, f"the store has lost the key that the run up to {until} loaded"
    because = f"the run up to {until} did not see the row; its source has no created timestamp"
    return Cause.LATE_ARRIVAL, because


def _never_backfilled(case: _Case) -> _Explained | None:
    cell = case.difference
    if cell.online.value is not None or cell.offline.value is None or case.online_us is None:
        return None
    if isinstance(cell.offline.value, float) and math.isnan(cell.offline.value):
        return None
    if case.first_online_us is not None and case.first_online_us <= case.online_us:
        return None
    since = (
        "in no row" if case.first_online_us is None else f"from {format_us(case.first_online_us)}"
    )
    return (
        Cause.NEW_FEATURE_NOT_BACKFILLED,
        f"online the feature has values {since}; rows load once",
    )


def _corrected(case: _Case) -> _Explained | None:
    if case.winner is None or case.online_us != case.offline_us:
        return None
    online = case.difference.online.value
    others = [
        row
        for row, value in case.values_at(case.offline_us)
        if row is not case.winner and are_values_equal(value, online)
    ]
    if any(row.created_us != case.winner.created_us for row in others):
        because = "the store has the row before its correction, which has the same event timestamp"
        return Cause.DROPPED_CORRECTION, because
    if others:
        return Cause.AMBIGUOUS_TIE, "rows of one instant contradict each other; another one won"
    end_us, created_us = case.covering_end_us, case.winner.created_us
    if end_us is not None and created_us is not None and created_us > end_us:
        because = (
            f"the row was replaced at {format_us(created_us)}, after the run up to "
            f"{format_us(end_us)}, under the same event timestamp"
        )
        return Cause.DROPPED_CORRECTION, because
    return None


def _converted(case: _Case) -> _Explained | None:
    offline, online = case.difference.offline.value, case.difference.online.value
    if is_nan_lost(case.difference):
        return Cause.NAN_OR_NULL, "NaN became null on the way"
    if case.is_kept_type:
        because = f"the declared type cannot hold {format_value(offline)}"
        return Cause.DTYPE_PRECISION, because
    if _is_int(offline) and _is_int(online) and int(float(offline)) == online:  # type: ignore[arg-type]
        return Cause.DTYPE_PRECISION, "the whole number went through a float"
    if isinstance(offline, float) and isinstance(online, float) and _as_float32(offline) == online:
        return Cause.DTYPE_PRECISION, "the number went through 32 bits"
    if offline is not None and online is not None and type(offline) is not type(online):
        return Cause.SDK_CONVERSION, "Feast gave a value of another type"
    return None


def _silently_replaced(case: _Case) -> _Explained | None:
    if case.view.has_created or case.offline_us is None or case.online_us != case.offline_us:
        return None
    because = "the source now says something else under the same event timestamp"
    return Cause.DROPPED_CORRECTION, because


_RULES: tuple[_Rule, ...] = (
    _refused,
    _expired,
    _shifted,
    _without_source,
    _behind,
    _never_backfilled,
    _corrected,
    _converted,
    _silently_replaced,
)


def _is_int(value: PlainValue | None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_float32(value: float) -> float | None:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return None


def _evidence(case: _Case) -> Evidence:
    cell = case.difference
    winner = case.winner
    facts: dict[str, PlainValue] = {"n_source_rows": len(case.rows)}
    if case.view.ttl_us is not None:
        facts["ttl_us"] = case.view.ttl_us
    if case.covering_end_us is not None:
        facts["covering_run_end_us"] = case.covering_end_us
    if case.view.runs:
        facts["last_run_end_us"] = max(end for _, end in case.view.runs)
    return Evidence(
        offline_value=cell.offline.value,
        online_value=cell.online.value,
        offline_order=None if winner is None else StoredOrder(winner.event_us, winner.created_us),
        online_order=None if cell.online.event_us is None else StoredOrder(cell.online.event_us),
        facts=facts,
    )
