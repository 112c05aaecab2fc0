"""The rules on which row each side has: it is missing, older, newer, or was corrected. Pure.

See `parity.causes.rules` for their order.
"""

from __future__ import annotations

from evenstore.semantics import Origin
from parity.causes.cell_facts import CellFacts, Relation
from parity.causes.rows import format_instant

__all__ = [
    "deleted_row",
    "dropped_correction",
    "key_expired",
    "lacks_row",
    "late_arrival",
    "not_materialized",
    "pushed_online_only",
    "write_order",
]

_US_PER_S = 1_000_000
_BEHIND = frozenset({Relation.ABSENT, Relation.OLDER})


def lacks_row(facts: CellFacts) -> bool:
    """Tell whether the store has no row of the entity, not even a tombstone."""
    return facts.relation is Relation.ABSENT and (facts.stored is None or facts.is_landed_since)


def pushed_online_only(facts: CellFacts) -> str | None:
    """Hold where the online row was pushed and the source does not have it."""
    online = facts.online_order
    if online is None:
        return None
    when = format_instant(online.event_us)
    if facts.relation is Relation.SAME:
        is_pushed = facts.origin is Origin.PUSH
        return f"a row of {when} was pushed, and the source has another one" if is_pushed else None
    if facts.relation is not Relation.NEWER or facts.is_in_source:
        return None
    if facts.origin is Origin.PUSH:
        return f"the row of {when} was pushed, and the source does not have it"
    if _could_only_be_pushed(facts, online.event_us):
        return f"the row of {when} is later than what any run has loaded: it was pushed"
    return None


def _could_only_be_pushed(facts: CellFacts, event_us: int) -> bool:
    is_unknown = facts.origin is Origin.UNKNOWN and facts.is_pushable is not False
    return is_unknown and not facts.loads.covers(event_us)


def deleted_row(facts: CellFacts) -> str | None:
    """Hold where one side has deleted what the other still has."""
    stored = facts.stored
    if stored is not None and stored.is_tombstone and facts.winner is not None:
        when = format_instant(stored.order.event_us)
        return f"the entity was deleted online at {when}, and the source still has its row"
    online = facts.online_order
    if facts.relation is not Relation.NEWER or online is None or facts.is_in_source:
        return None
    if not facts.n_source_rows:
        return "a run loaded the entity, and the source has no row of it any more"
    return (
        f"a run loaded the row of {format_instant(online.event_us)}, which the source has no more"
    )


def late_arrival(facts: CellFacts) -> str | None:
    """Hold where the row lies in a loaded interval and came after it was loaded."""
    winner = facts.winner
    if winner is None or not facts.is_winner_covered:
        return None
    has_seen = facts.has_seen_winner
    if facts.relation is Relation.SAME:
        # Where rows have created timestamps, a correction has one of its own.
        is_undated = facts.loads.keeps_order and winner.order.created_us is None
        is_rewritten = is_undated and has_seen is False
        return "its file was written anew since the last run" if is_rewritten else None
    if facts.relation not in _BEHIND or _is_correction_refused(facts):
        return None
    if has_seen is False:
        return f"the row of {_event(facts)} came after the last run had read its source"
    may_have_been_there = facts.relation is Relation.ABSENT and facts.loads.physical_ttl_us
    if has_seen is None and not may_have_been_there:
        return f"the interval of the row of {_event(facts)} was loaded, most likely before it came"
    return None


def key_expired(facts: CellFacts) -> str | None:
    """Hold where the entity was loaded and the store does not know its key any more."""
    if not lacks_row(facts) or not facts.is_winner_covered or facts.key_exists:
        return None
    ttl_us, winner = facts.loads.physical_ttl_us, facts.winner
    how = "it was evicted or removed"
    if ttl_us is not None and winner and facts.as_of_us - winner.order.event_us > ttl_us:
        how = f"the store forgets keys after {ttl_us / _US_PER_S:g} s"
    return f"the entity was loaded, and the store has its key no more: {how}"


def not_materialized(facts: CellFacts) -> str | None:
    """Hold where no run has loaded the row yet."""
    if facts.relation not in _BEHIND or facts.winner is None:
        return None
    watermark_us = facts.loads.watermark_us
    if watermark_us is None:
        return "no run has loaded the view"
    if not facts.is_winner_covered:
        until = format_instant(watermark_us)
        return f"the row of {_event(facts)} is in no loaded interval; the last ends at {until}"
    if lacks_row(facts):
        return "the interval was loaded, and the entity has no row: its write was lost"
    return None


def dropped_correction(facts: CellFacts) -> str | None:
    """Hold where a row corrects another at the same event timestamp and did not replace it."""
    winner, online = facts.winner, facts.online_order
    if winner is None or online is None or online.event_us != winner.order.event_us:
        return None
    if facts.relation is Relation.OLDER:
        return f"the correction of the row of {_event(facts)} did not replace it"
    if facts.relation is not Relation.SAME:
        return None
    corrected = [row for row in facts.rows_at_online_event if row.order != winner.order]
    if any(facts.has_online_value(row) for row in corrected):
        return f"the online value is what the row of {_event(facts)} was before its correction"
    if not facts.loads.keeps_order and _is_changed_since(facts):
        return "the row was written anew since it was loaded, at the same event timestamp"
    return None


def write_order(facts: CellFacts) -> str | None:
    """Hold where rows were written in an order, or mixed in a way, that the rule does not allow."""
    online = facts.online_order
    if online is None or facts.winner is None:
        return _is_from_later(facts)
    if facts.relation is Relation.NEWER:
        return _is_from_later(facts)
    if facts.relation is Relation.OLDER:
        return (
            f"the row of {format_instant(online.event_us)} stands where that of {_event(facts)} was"
        )
    if facts.relation is Relation.SAME:
        earlier = [row for row in facts.history if row.order.event_us < online.event_us]
        for row in earlier:
            if facts.online.value is not None and facts.has_online_value(row):
                when = format_instant(row.order.event_us)
                return f"the newest timestamp beside the value of the row of {when}"
    return None


def _is_from_later(facts: CellFacts) -> str | None:
    online = facts.online_order
    if facts.relation is not Relation.NEWER or online is None or not facts.is_in_source:
        return None
    when = format_instant(online.event_us)
    return f"the row of {when}, later known than the instant asked for, took the place of all other"


def _is_correction_refused(facts: CellFacts) -> bool:
    """Tell whether no later run could bring the row: the store refuses an equal event timestamp."""
    winner, online = facts.winner, facts.online_order
    if facts.loads.keeps_order or winner is None or online is None:
        return False
    return online.event_us == winner.order.event_us


def _is_changed_since(facts: CellFacts) -> bool:
    winner, loaded_at_us = facts.winner, facts.loads.loaded_at_us
    if winner is None or loaded_at_us is None:
        return False
    created_us, arrived_us = winner.order.created_us, winner.arrived_us
    return any(at is not None and at > loaded_at_us for at in (created_us, arrived_us))


def _event(facts: CellFacts) -> str:
    return "" if facts.winner is None else format_instant(facts.winner.order.event_us)
