"""All that is known of one differing cell: what the rules decide by. No I/O, no clock."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evenstore.client.values import PlainValue
from evenstore.dtypes import Dtype
from evenstore.semantics import Knowledge, Origin, Status, is_within_ttl
from parity.causes.finding import Evidence, StoredOrder
from parity.causes.rows import LoadState, SourceRow, StoredRow
from parity.compare import Cell, are_values_equal

__all__ = ["CellFacts", "Relation"]


class Relation(enum.Enum):
    """Where the online row stands in the order of rows, relative to the offline one."""

    ABSENT = "absent"
    OLDER = "older"
    SAME = "same"
    NEWER = "newer"
    NEITHER = "neither"
    """Neither side has a row."""

    UNREADABLE = "unreadable"
    """What the store holds cannot be read."""


@dataclass(frozen=True)
class CellFacts:
    """One differing cell with both sides' rows.

    Attributes:
        feature: Its name.
        dtype: Its declared type.
        as_of_us: The instant both sides answered for.
        offline: The offline answer.
        online: The online answer.
        history: The source's rows of the entity near the instant, greatest first; those after it
            too.
        stored: What the online store holds, None for nothing that can be read. A reader that cannot
            look into the store makes it from the answer.
        problem: Why what it holds cannot be read; None where it can.
        loads: How far the view is loaded.
        ttl_us: Of the view; None for forever.
        knowledge: Which rows the offline answer may know of.
        until_us: Event timestamp that offline rows were looked at up to; None for the instant.
        n_source_rows: All rows of the entity in the source.
        is_on_demand: Whether the feature is computed on reading.
        is_pushable: Whether the view can be pushed to; None where it is not known.
        key_exists: Whether the store has the entity's key at all, with or without this view's row.
        twin_key: The same key in another encoding that has the row where this one has none.
        pinned_version: The version that the view was asked for by; None for the present one.
        stored_version: The version whose row the online side has.
        is_read_by_sdk: Whether the online answer came through Feast's SDK.
    """

    feature: str
    dtype: Dtype
    as_of_us: int
    offline: Cell
    online: Cell
    history: Sequence[SourceRow] = ()
    stored: StoredRow | None = None
    problem: str | None = None
    loads: LoadState = field(default_factory=LoadState)
    ttl_us: int | None = None
    knowledge: Knowledge = Knowledge.LATEST_TRUTH
    until_us: int | None = None
    n_source_rows: int = 0
    is_on_demand: bool = False
    is_pushable: bool | None = None
    key_exists: bool | None = None
    twin_key: str | None = None
    pinned_version: str | None = None
    stored_version: str | None = None
    is_read_by_sdk: bool = False

    @functools.cached_property
    def winner(self) -> SourceRow | None:
        """The row that the offline answer is of."""
        return next((row for row in self.history if self._is_known(row)), None)

    @functools.cached_property
    def online_order(self) -> StoredOrder | None:
        """The place of the row that the online answer was of, None where it was of none.

        The store may hold another one by the time it is looked into.
        """
        if self.stored is None:
            event_us = self.online.event_us
            return None if event_us is None else StoredOrder(event_us)
        if self.is_landed_since:
            return None
        event_us = self.online.event_us
        if event_us is None or event_us == self.stored.order.event_us:
            return self.stored.order
        return StoredOrder(event_us)

    @property
    def is_landed_since(self) -> bool:
        """Whether the store has a row by now that the online answer did not find."""
        return (
            self.stored is not None
            and not self.stored.is_tombstone
            and self.online.status is Status.NOT_FOUND
            and self.online.event_us is None
            and self.feature in self.stored.values
            and not self.is_stored_expired
        )

    @property
    def is_stored_expired(self) -> bool:
        """Whether the stored row is older than the ttl."""
        return self.stored is not None and self.is_expired(self.stored.order.event_us)

    @functools.cached_property
    def relation(self) -> Relation:
        """Where the online row stands."""
        winner, online = self.winner, self.online_order
        if self.problem is not None:
            return Relation.UNREADABLE
        if online is None or (self.stored is not None and self.stored.is_tombstone):
            return Relation.NEITHER if winner is None else Relation.ABSENT
        if winner is None or online.event_us > winner.order.event_us:
            return Relation.NEWER
        if online.event_us < winner.order.event_us:
            return Relation.OLDER
        mine, other = online.created_us, winner.order.created_us
        if mine is None or other is None or mine == other:
            return Relation.SAME
        return Relation.OLDER if mine < other else Relation.NEWER

    @functools.cached_property
    def rows_at_online_event(self) -> tuple[SourceRow, ...]:
        """The source's rows with the online row's event timestamp, whether known or not."""
        online = self.online_order
        if online is None:
            return ()
        return tuple(row for row in self.history if row.order.event_us == online.event_us)

    @functools.cached_property
    def tied(self) -> tuple[SourceRow, ...]:
        """The rows that share both timestamps with the winner, the winner itself left out."""
        winner = self.winner
        if winner is None:
            return ()
        return tuple(row for row in self.history if row is not winner and row.order == winner.order)

    @property
    def is_in_source(self) -> bool:
        """Whether the source has the online row, as far as the store tells its place."""
        online = self.online_order
        return online is not None and any(
            online.created_us is None
            or row.order.created_us is None
            or row.order.created_us == online.created_us
            for row in self.rows_at_online_event
        )

    @property
    def has_seen_winner(self) -> bool | None:
        """Whether the last run could read the winner; None where nothing tells."""
        return None if self.winner is None else self.loads.has_seen(self.winner)

    @property
    def is_winner_covered(self) -> bool:
        """Whether a run was asked for the winner's event timestamp."""
        return self.winner is not None and self.loads.covers(self.winner.order.event_us)

    @property
    def origin(self) -> Origin:
        """Who wrote the stored row."""
        return Origin.UNKNOWN if self.stored is None else self.stored.origin

    @property
    def has_stored_values(self) -> bool:
        """Whether the stored row is there and can be read."""
        return self.stored is not None and not self.stored.is_tombstone and self.problem is None

    def is_expired(self, event_us: int) -> bool:
        """Tell whether a row is older than the ttl at the instant."""
        return not is_within_ttl(event_us=event_us, as_of_us=self.as_of_us, ttl_us=self.ttl_us)

    def has_online_value(self, row: SourceRow) -> bool:
        """Tell whether a row of the source has exactly the online value."""
        return are_values_equal(row.values.get(self.feature), self.online.value)

    def evidence(self) -> Evidence:
        """Return what was seen, with the facts that there are."""
        winner = self.winner
        return Evidence(
            offline_value=self.offline.value,
            online_value=self.online.value,
            offline_order=None if winner is None else winner.order,
            online_order=self.online_order if self.stored is None else self.stored.order,
            source_file=None if winner is None else winner.source_file,
            facts={name: value for name, value in self.named_facts().items() if value is not None},
        )

    def named_facts(self) -> Mapping[str, PlainValue | None]:
        """Return everything that decides, by its name in the evidence; None where not known."""
        winner, stored, loads = self.winner, self.stored, self.loads
        age_us = None if winner is None else self.as_of_us - winner.order.event_us
        return {
            "relation": self.relation.value,
            "offline_status": _status_name(self.offline.status),
            "online_status": _status_name(self.online.status),
            "ttl_us": self.ttl_us,
            "age_us": age_us,
            "watermark_us": loads.watermark_us,
            "watermark_created_us": loads.created_end_us,
            "loaded_at_us": loads.loaded_at_us,
            "is_schema_current": loads.is_schema_current,
            "physical_ttl_us": loads.physical_ttl_us,
            "n_source_rows": self.n_source_rows,
            "n_tied": len(self.tied) or None,
            "was_read": self.has_seen_winner,
            "origin": None if stored is None else stored.origin.name.lower(),
            "is_tombstone": True if stored is not None and stored.is_tombstone else None,
            "stored_schema": None if stored is None else stored.schema,
            "stored_dtype": None if stored is None else stored.retyped.get(self.feature),
            "problem": self.problem,
            "stored_value": self._stored_value(),
            "landed_since": self.is_landed_since or None,
            "key_exists": self.key_exists,
            "twin_key": self.twin_key,
            "pinned_version": self.pinned_version,
            "stored_version": self.stored_version,
        }

    def _stored_value(self) -> PlainValue | None:
        value = None if self.stored is None else self.stored.values.get(self.feature)
        return None if are_values_equal(value, self.online.value) else value

    def _is_known(self, row: SourceRow) -> bool:
        # A row that is due with the next run is of no answer: to blame it would hide a wrong value.
        until_us = self.as_of_us if self.until_us is None else min(self.as_of_us, self.until_us)
        if row.order.event_us > until_us:
            return False
        if self.knowledge is Knowledge.LATEST_TRUTH:
            return True
        created_us = row.order.created_us
        if created_us is None:
            # A source without the column is unaffected; where it is null, nobody knew the row.
            return all(other.order.created_us is None for other in self.history)
        return created_us <= self.as_of_us


def _status_name(status: Status | None) -> str | None:
    return None if status is None else status.name
