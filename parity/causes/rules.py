"""The rules: the first that holds gives a differing cell its one cause. Pure; no store, no clock.

One rule per cause, in the order of `Cause`. A rule says in one sentence why it holds, or None. The
order is part of the meaning: a rule may rely on those before it not to hold.
"""

from __future__ import annotations

from collections.abc import Callable

from evenstore.dtypes import Dtype
from evenstore.semantics import Origin, Status
from parity.causes import row_rules
from parity.causes.cell_facts import CellFacts, Relation
from parity.causes.finding import Cause, Finding
from parity.causes.rows import format_instant
from parity.causes.value_signs import (
    instant_sign,
    nan_or_null_sign,
    precision_sign,
    time_shift_sign,
    to_zone_shift,
)
from parity.compare import are_values_equal

__all__ = ["RULES", "Rule", "decide_cause", "find_cause"]

_US_PER_S = 1_000_000

Rule = Callable[[CellFacts], str | None]


def find_cause(facts: CellFacts, command: str = "") -> Finding:
    """Find the cause of one differing cell.

    Args:
        facts: What is known of it; the cell must differ.
        command: A command line that reproduces it.
    """
    cause, because = decide_cause(facts)
    return Finding(cause, because, facts.evidence(), command)


def decide_cause(facts: CellFacts) -> tuple[Cause, str]:
    """Return the first cause whose rule holds, and why."""
    for cause, rule in RULES:
        because = rule(facts)
        if because is not None:
            return cause, because
    return Cause.UNKNOWN, _unknown(facts)


def _version_pin(facts: CellFacts) -> str | None:
    pinned, stored = facts.pinned_version, facts.stored_version
    if pinned == stored or (pinned is None and not row_rules.lacks_row(facts)):
        return None
    if stored is None:
        return f"asked for as {pinned}, and the online side has the row of the present version"
    wanted = "the present version" if pinned is None else pinned
    return f"asked for as {wanted}, and the online row is of {stored}"


def _on_demand(facts: CellFacts) -> str | None:
    if not facts.is_on_demand:
        return None
    return "its inputs are equal on both sides, and the function gave two results"


def _key_encoding(facts: CellFacts) -> str | None:
    is_one_sided = row_rules.lacks_row(facts) or not facts.n_source_rows
    if facts.twin_key is None or not is_one_sided:
        return None
    return f"the other side's row lies under the same key in another encoding: {facts.twin_key}"


def _schema_drift(facts: CellFacts) -> str | None:
    stored = facts.stored
    if stored is None:
        return None
    retyped = stored.retyped.get(facts.feature)
    if retyped is not None:
        return f"the stored row has the feature as {retyped}, declared is {facts.dtype.value}"
    if facts.problem is not None and stored.retyped:
        name, other = next(iter(stored.retyped.items()))
        return f"the stored row cannot be read: `{name}` was stored as {other}"
    twin = _swapped_with(facts)
    return None if twin is None else f"the values of `{facts.feature}` and `{twin}` are swapped"


def _swapped_with(facts: CellFacts) -> str | None:
    winner, stored = facts.winner, facts.stored
    if facts.relation is not Relation.SAME or winner is None or stored is None:
        return None
    mine = stored.values.get(facts.feature), winner.values.get(facts.feature)
    if None in mine:
        return None
    for name, value in winner.values.items():
        if name == facts.feature or are_values_equal(*mine):
            continue
        if are_values_equal(value, mine[0]) and are_values_equal(stored.values.get(name), mine[1]):
            return name
    return None


def _new_feature(facts: CellFacts) -> str | None:
    stored = facts.stored
    if stored is None or not facts.has_stored_values or facts.is_landed_since:
        return None
    if facts.feature in stored.values or facts.feature in stored.retyped:
        return None
    return "the stored row was written before the view had this feature, and never again"


def _ttl_boundary(facts: CellFacts) -> str | None:
    winner, online = facts.winner, facts.online_order
    if winner is None or online is None or facts.ttl_us is None:
        return None
    is_offline_expired = _is_withheld(facts, facts.offline.status, winner.order.event_us)
    is_online_expired = _is_withheld(facts, facts.online.status, online.event_us)
    is_same = facts.relation is Relation.SAME
    if is_offline_expired and not is_online_expired and (is_same or _is_older(facts)):
        kept, dropped = "online", "offline"
    elif is_same and is_online_expired and not is_offline_expired:
        kept, dropped = "offline", "online"
    else:
        return None
    age_us = facts.as_of_us - winner.order.event_us
    over_us = age_us - facts.ttl_us
    edge = f"{over_us} us over" if over_us > 0 else f"{-over_us} us within"
    return f"the row is {edge} its ttl; {dropped} it is expired, {kept} it is served"


def _is_withheld(facts: CellFacts, status: Status | None, event_us: int) -> bool:
    if status is Status.OUTSIDE_MAX_AGE:
        return True
    # A reader without statuses, such as Feast's own join, says nothing of why there is no value.
    return status in {None, Status.NOT_FOUND} and facts.is_expired(event_us)


def _is_older(facts: CellFacts) -> bool:
    return facts.relation is Relation.OLDER


def _timezone(facts: CellFacts) -> str | None:
    if facts.relation is Relation.SAME:
        shift = time_shift_sign(facts.dtype, facts.offline.value, facts.online.value)
        return None if shift is None else f"the online instant is moved by {shift}"
    shift = to_zone_shift(_moved_by_us(facts))
    if shift is None:
        return None
    return f"the same row is stored with its event timestamp moved by {shift}"


def _moved_by_us(facts: CellFacts) -> int:
    """Return how much later the winner is stored than it is; 0 where it is another row."""
    winner, stored, online = facts.winner, facts.stored, facts.online_order
    if winner is None or stored is None or online is None or facts.rows_at_online_event:
        return 0
    is_same_content = bool(stored.values) and all(
        are_values_equal(winner.values.get(name), value) for name, value in stored.values.items()
    )
    return online.event_us - winner.order.event_us if is_same_content else 0


def _ambiguous_tie(facts: CellFacts) -> str | None:
    if facts.relation is not Relation.SAME:
        return None
    if not any(facts.has_online_value(row) for row in facts.tied):
        return None
    n_rows = len(facts.tied) + 1
    return f"{n_rows} rows share both timestamps, and each side took another one"


def _is_one_row(facts: CellFacts) -> bool:
    """Tell whether both sides have one row and no other row of the source explains the value."""
    if facts.relation is not Relation.SAME:
        return False
    others = [row for row in facts.rows_at_online_event if row is not facts.winner]
    return not any(facts.has_online_value(row) for row in others)


def _nan_or_null(facts: CellFacts) -> str | None:
    if not _is_one_row(facts):
        return None
    return nan_or_null_sign(facts.offline.value, facts.online.value)


def _sdk_conversion(facts: CellFacts) -> str | None:
    if not _is_one_row(facts):
        return None
    sign = precision_sign(facts.offline.value, facts.online.value)
    if facts.origin is Origin.PUSH and sign is not None:
        return f"the row was pushed through Feast's SDK, which converts values first: {sign}"
    stored = facts.stored
    if not facts.is_read_by_sdk or stored is None or facts.feature not in stored.values:
        return None
    if not are_values_equal(stored.values[facts.feature], facts.offline.value):
        return None
    return "the store holds the offline value, and Feast's SDK converted it on reading"


def _dtype_precision(facts: CellFacts) -> str | None:
    if 0 < abs(_moved_by_us(facts)) < _US_PER_S:
        return "the same row is stored with another fraction of a second in its event timestamp"
    if not _is_one_row(facts):
        return None
    values = facts.offline.value, facts.online.value
    if facts.dtype is Dtype.UNIX_TIMESTAMP:
        return instant_sign(*values) or precision_sign(*values)
    return precision_sign(*values)


def _unknown(facts: CellFacts) -> str:
    if facts.problem is not None:
        return f"the stored bytes cannot be read: {facts.problem}"
    stored, winner = facts.stored, facts.winner
    if stored is None or winner is None:
        return "no rule explains it"
    if are_values_equal(stored.values.get(facts.feature), facts.offline.value):
        return "the store holds the offline value now: read again"
    when = format_instant(winner.order.event_us)
    since = (
        "; its file was written anew since the last run" if facts.has_seen_winner is False else ""
    )
    return f"both have the row of {when}, and no row of the source has the online value{since}"


RULES: tuple[tuple[Cause, Rule], ...] = (
    (Cause.VERSION_PIN, _version_pin),
    (Cause.ON_DEMAND_DIVERGENCE, _on_demand),
    (Cause.KEY_ENCODING, _key_encoding),
    (Cause.SCHEMA_DRIFT, _schema_drift),
    (Cause.NEW_FEATURE_NOT_BACKFILLED, _new_feature),
    (Cause.TTL_BOUNDARY, _ttl_boundary),
    (Cause.TIMEZONE, _timezone),
    (Cause.AMBIGUOUS_TIE, _ambiguous_tie),
    (Cause.NAN_OR_NULL, _nan_or_null),
    (Cause.SDK_CONVERSION, _sdk_conversion),
    (Cause.DTYPE_PRECISION, _dtype_precision),
    (Cause.PUSHED_ONLINE_ONLY, row_rules.pushed_online_only),
    (Cause.DELETED_ROW, row_rules.deleted_row),
    (Cause.LATE_ARRIVAL, row_rules.late_arrival),
    (Cause.KEY_EXPIRED, row_rules.key_expired),
    (Cause.NOT_MATERIALIZED, row_rules.not_materialized),
    (Cause.DROPPED_CORRECTION, row_rules.dropped_correction),
    (Cause.WRITE_ORDER, row_rules.write_order),
)
"""Every cause but UNKNOWN with its rule, in the order in which they are asked."""
