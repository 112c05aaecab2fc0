"""Looks again at entities that differ, before anybody is told.

A row may have been read online while a write was landing, and an entity may have rows that the
offline snapshot does not count yet. So whatever differs is read once more, the offline side by
the join that training uses, up to the stored row where that is later than the snapshot. What still
differs because of a row that was written after the comparison began is left out, and counted.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evenstore.clock import Clock
from evenstore.online.stored_rows import StoredRow
from evenstore.semantics import Origin, Status
from parity.full.offline import HistoryJoin
from parity.full.online import StoredReader
from parity.full.outcomes import FeatureOutcomes, find_differing_rows, find_outcomes
from parity.full.rows import Places, Rows
from parity.full.tally import EntityKeys, Tally

__all__ = ["MAX_WAITING", "LookedAgain", "Reason", "SecondLook", "Snapshot"]

MAX_WAITING = 50_000
"""Entities that are looked at together: a join of few costs as much as one of many."""

# As far as clocks of writers may be ahead; a row from further ahead is a fault, not a late write.
_MAX_SKEW_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The instants of a comparison.

    Attributes:
        as_of_us: The instant that ttl goes by.
        until_us: Latest event timestamp that the newest rows were taken up to.
        listed_us: The machine's instant just before the source's files were listed: a row with a
            greater ingest sequence was written meanwhile.
    """

    as_of_us: int
    until_us: int
    listed_us: int


class Reason(enum.IntEnum):
    """Why an entity is looked at again.

    DIFFERED: a cell did at first. SAMPLED: all agreed, and the offline side is to be checked too.
    ONLINE_ONLY: the offline side has no row of it up to the snapshot.
    """

    DIFFERED = 0
    SAMPLED = 1
    ONLINE_ONLY = 2


@dataclass(slots=True)
class LookedAgain:
    """What the second look found, in entities.

    Attributes:
        n_looked_at: All of them.
        n_sampled: Those that had agreed and were checked against the training join.
        n_settled: Those that differed at first and agree now.
        n_landed: Those left out: their stored row was written after the comparison began.
        n_missing: Those with an offline row within ttl and no row online.
        n_deleted: Those among the missing that were deleted online.
        n_orphans: Those with a row online and none offline.
        n_unreadable: Those whose stored bytes cannot be answered for.
    """

    n_looked_at: int = 0
    n_sampled: int = 0
    n_settled: int = 0
    n_landed: int = 0
    n_missing: int = 0
    n_deleted: int = 0
    n_orphans: int = 0
    n_unreadable: int = 0


class SecondLook:
    """Collects entities, and looks at many at a time.

    Args:
        stored: Reads the online side.
        join: Reads the offline side.
        snapshot: The comparison's instants.
        tally: Counts what is found.
        clock: The machine's, which writers number their rows by.
        max_waiting: How many entities are looked at together at most.

    Attributes:
        found: What was found so far.
    """

    def __init__(
        self,
        stored: StoredReader,
        join: HistoryJoin,
        snapshot: Snapshot,
        tally: Tally,
        clock: Clock,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._max_waiting = min(max_waiting, MAX_WAITING)
        self._stored = stored
        self._join = join
        self._snapshot = snapshot
        self._tally = tally
        self._clock = clock
        self._waiting: list[tuple[bytes, Reason]] = []
        self.found = LookedAgain()

    def add(self, keys: Iterable[bytes], reason: Reason) -> None:
        """Collect entities by their Redis keys; enough of them are looked at now.

        Raises:
            OfflineStoreError: The source cannot be read.
            OnlineStoreError: Redis refused or cannot be reached.
        """
        self._waiting += [(key, reason) for key in keys]
        while len(self._waiting) >= self._max_waiting:
            self._look(self._waiting[: self._max_waiting])
            del self._waiting[: self._max_waiting]

    def finish(self) -> LookedAgain:
        """Look at the rest, and return what was found; raises as `add`."""
        if self._waiting:
            self._look(self._waiting)
            self._waiting = []
        return self.found

    def _look(self, waiting: Sequence[tuple[bytes, Reason]]) -> None:
        keys = [key for key, _ in waiting]
        reasons = np.fromiter((reason for _, reason in waiting), np.int8, len(waiting))
        entities = [self._stored.encoder.decode(key) or () for key in keys]
        blocks = list(self._stored.read(keys))
        until_us = np.full(len(keys), self._snapshot.until_us, np.int64)
        for start, online in blocks:
            of_block = until_us[start : start + len(online)]
            is_later = online.is_there & (online.event_us > of_block)
            of_block[is_later] = online.event_us[is_later]
        joined = self._join.read(entities, until_us)
        for start, online in blocks:
            places = np.arange(start, start + len(online))
            entity_slice = slice(start, start + len(online))
            asked = _Asked(keys[entity_slice], entities[entity_slice], reasons[entity_slice])
            self._judge(asked, joined.take(places), online)
        self.found.n_looked_at += len(keys)
        self.found.n_sampled += int(np.count_nonzero(reasons == Reason.SAMPLED))

    def _judge(self, asked: _Asked, offline: Rows, online: Rows) -> None:
        outcomes = find_outcomes(offline, online)
        is_invalid = online.statuses[0] == Status.INVALID
        # A key of the same join keys may hold rows of other views alone, or a tombstone.
        is_nothing = ~(offline.is_there | online.is_there | is_invalid)
        concerns = ~(is_nothing & (asked.reasons == Reason.ONLINE_ONLY))
        differs = find_differing_rows(outcomes, len(online)) & concerns
        doubted = np.flatnonzero(differs).tolist()
        rows = self._stored.read_heads([asked.keys[row] for row in doubted])
        landed = np.zeros(len(online), np.bool_)
        for row in doubted:
            landed[row] = self._has_landed(rows.get(asked.keys[row]))
        agree, judged = np.flatnonzero(concerns & ~differs), np.flatnonzero(differs & ~landed)
        found = self.found
        found.n_landed += int(np.count_nonzero(landed))
        found.n_settled += int(np.count_nonzero(asked.reasons[agree] == Reason.DIFFERED))
        self._tally.add(*_take(agree, offline, online, outcomes))
        self._tally.add_differing(
            [asked.entities[row] for row in judged.tolist()],
            *_take(judged, offline, online, outcomes),
        )
        for row in judged.tolist():
            head = rows.get(asked.keys[row])
            found.n_unreadable += bool(is_invalid[row])
            if is_invalid[row] or offline.is_there[row] == online.is_there[row]:
                continue
            if online.is_there[row]:
                found.n_orphans += 1
            elif not _is_expired(offline, row):
                found.n_missing += 1
                found.n_deleted += head is not None and head.is_tombstone

    def _has_landed(self, head: StoredRow | None) -> bool:
        """Tell whether a row was written after the comparison began, by its place in the order."""
        if head is None:
            return False
        written_us = head.order.sequence_us
        if head.origin is Origin.UNKNOWN and not written_us:  # Stock Feast's: it keeps no sequence.
            return head.order.event_us > self._snapshot.as_of_us
        return self._snapshot.listed_us < written_us <= self._clock.now_us() + _MAX_SKEW_US


@dataclass(frozen=True, slots=True)
class _Asked:
    keys: Sequence[bytes]
    entities: EntityKeys
    reasons: npt.NDArray[np.int8]


def _take(
    places: Places, offline: Rows, online: Rows, outcomes: Sequence[FeatureOutcomes]
) -> tuple[Rows, Rows, list[FeatureOutcomes]]:
    return offline.take(places), online.take(places), [found.take(places) for found in outcomes]


def _is_expired(rows: Rows, row: int) -> bool:
    return bool(rows.statuses[0][row] == Status.OUTSIDE_MAX_AGE)
