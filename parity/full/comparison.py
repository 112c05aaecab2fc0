"""A full comparison: every entity that either store knows of one view."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import mmh3
import numpy as np
import pyarrow as pa

from evenstore.clock import Clock, SystemClock
from evenstore.codec.cells import cells_of
from evenstore.compute.newest import FoundRows
from evenstore.compute.pace import PaceLimits
from evenstore.offline.limits import session_limits
from evenstore.offline.retry import unchanged_sources
from evenstore.progress import open_progress
from parity.full.offline import HistoryJoin, NewestRows, OfflineBatch, open_view_source
from parity.full.online import Replies, StoredReader
from parity.full.outcomes import find_differing_rows, find_outcomes
from parity.full.rows import Rows
from parity.full.second_look import LookedAgain, Reason, SecondLook, Snapshot
from parity.full.settings import FullSettings
from parity.full.stored_keys import KeySets, open_key_sets
from parity.full.subject import Subject
from parity.full.tally import Tally

__all__ = ["Compared", "compare_view"]

_ENTITIES_PER_BATCH = 16_384
# So many entities that agree are joined again: the join must find the same newest rows.
_SAMPLED_ENTITIES = 1_000
# They are taken side by side: a batch of which some are taken costs more than any other.
_NEIGHBOURS = 16
_HASHES = 2**32


@dataclass(frozen=True, slots=True)
class Compared:
    """What a full comparison found.

    Attributes:
        tally: All cells, counted.
        looked_again: What became of what differed.
        snapshot: The comparison's instants.
        newest: How many entities the source has.
        n_stored_keys: Redis keys of the view's entities; some may have rows of other views alone.
        is_complete: False where it was stopped because nearly everything differs.
    """

    tally: Tally
    looked_again: LookedAgain
    snapshot: Snapshot
    newest: FoundRows
    n_stored_keys: int
    is_complete: bool


def compare_view(subject: Subject, settings: FullSettings, clock: Clock) -> Compared:
    """Compare every entity of a view in both directions.

    Args:
        subject: The view.
        settings: Which part of it, and how fast.
        clock: Says the one instant that ttl goes by on both sides.

    Raises:
        SourceChangedError: A file of the source was replaced meanwhile.
        OfflineStoreError: The source cannot be read.
        OnlineStoreError: Redis refused or cannot be reached.
    """
    machine = SystemClock()
    # Before the files are listed: whatever is written later is of a greater sequence.
    listed_us = machine.now_us()
    source = open_view_source(subject.store, subject.table, subject.read)
    as_of_us = clock.now_us()
    until_us = as_of_us
    if subject.watermark is not None and settings.until_watermark:
        until_us = min(as_of_us, subject.watermark.event_end_us)
    snapshot = Snapshot(as_of_us, until_us, listed_us)
    stored = StoredReader(
        subject.client,
        subject.project,
        subject.stored,
        subject.layout,
        as_of_us=as_of_us,
        limits=PaceLimits(settings.max_keys_per_s, settings.max_redis_latency_ms),
    )
    newest = NewestRows(
        subject.store, source, subject.read, stored.encoder, until_us=until_us, as_of_us=as_of_us
    )
    tally = Tally(
        subject.read,
        as_of_us=as_of_us,
        max_differences=settings.max_differences,
        promise_us=subject.promise_us,
    )
    join = HistoryJoin(subject.store, subject.read, as_of_us=as_of_us)
    second_look = SecondLook(
        stored, join, snapshot, tally, machine, max_waiting=settings.max_differing_entities
    )
    with (
        unchanged_sources([source]),
        open_key_sets(session_limits(subject.store.config)) as key_sets,
    ):
        sides = _Sides(newest, stored, second_look, tally, key_sets)
        return _Walk(subject.table.name, settings, sides).run(snapshot)


@dataclass(frozen=True, slots=True)
class _Sides:
    newest: NewestRows
    stored: StoredReader
    second_look: SecondLook
    tally: Tally
    key_sets: KeySets


class _Walk:
    """One comparison under way."""

    def __init__(self, view_name: str, settings: FullSettings, sides: _Sides) -> None:
        self._view_name = view_name
        self._sample = _Sample(settings.sample_share, settings.seed)
        self._max_differing = settings.max_differing_entities
        self._newest = sides.newest
        self._stored = sides.stored
        self._second_look = sides.second_look
        self._tally = sides.tally
        self._key_sets = sides.key_sets
        self._n_compared = 0
        self._check_every = 1

    def run(self, snapshot: Snapshot) -> Compared:
        ended = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="evenstore-walk") as pool:
            # Redis is walked while DuckDB looks for newest rows, and while these are compared.
            walked = pool.submit(self._walk, ended)
            try:
                found = self._compare_all()
                n_stored_keys = 0 if self._is_hopeless else self._backward(walked)
            finally:
                ended.set()
        looked_again = self._second_look.finish()
        return Compared(
            self._tally,
            looked_again,
            snapshot,
            found,
            n_stored_keys,
            is_complete=not self._is_hopeless,
        )

    def _compare_all(self) -> FoundRows:
        with open_progress(f"{self._view_name}: newest rows", total=1, unit="passes") as progress:
            found = self._newest.find()
            progress.advance()
        n_expected = round(found.n_rows * self._sample.share)
        self._check_every = max(1, n_expected // _SAMPLED_ENTITIES)
        self._forward(n_expected)
        return found

    @property
    def _is_hopeless(self) -> bool:
        return self._tally.n_differing_rows > self._max_differing

    def _forward(self, n_expected: int) -> None:
        """Look every entity of the offline store up online."""
        label = f"{self._view_name}: offline to online"
        with open_progress(label, total=n_expected, unit="entities") as progress:
            for batch, replies in self._fetched(self._newest.batches(_ENTITIES_PER_BATCH)):
                self._key_sets.add(batch.keys, is_online=False)
                for start, online in self._stored.decode(replies):
                    self._compare(batch, start, online)
                progress.advance(len(batch))
                if self._is_hopeless:
                    return

    def _backward(self, walked: Future[int]) -> int:
        """Look at entities in the online store that the offline store did not name."""
        label = f"{self._view_name}: online to offline"
        with open_progress(label, total=1, unit="passes") as progress:
            n_keys = walked.result()
            progress.advance()
        decode = self._stored.encoder.decode
        for keys in self._key_sets.only_online():
            # Another project's key may only look like one of these entities.
            own = [key for key in keys if decode(key) is not None]
            self._second_look.add(own, Reason.ONLINE_ONLY)
        return n_keys

    def _walk(self, ended: threading.Event) -> int:
        """Note the keys of the online store until the walk, or the comparison, ends."""
        n_keys = 0
        for all_keys in self._stored.walk_keys():
            if ended.is_set():
                break
            keys = self._sample.of_keys(all_keys)
            self._key_sets.add(cells_of(keys), is_online=True)
            n_keys += len(keys)
        return n_keys

    def _fetched(self, batches: Iterable[OfflineBatch]) -> Iterator[tuple[OfflineBatch, Replies]]:
        """Fetch each batch's rows while the one before is compared."""
        with ThreadPoolExecutor(1, thread_name_prefix="evenstore-fetch") as pool:
            under_way: tuple[OfflineBatch, Future[Replies]] | None = None
            for all_of_batch in batches:
                batch = self._sample.of_batch(all_of_batch)
                following = (batch, pool.submit(self._stored.fetch, batch.keys))
                if under_way is not None:
                    yield under_way[0], under_way[1].result()
                under_way = following
            if under_way is not None:
                yield under_way[0], under_way[1].result()

    def _compare(self, batch: OfflineBatch, start: int, online: Rows) -> None:
        offline = self._newest.decide(batch.records.slice(start, len(online)))
        outcomes = find_outcomes(offline, online)
        self._tally.instants.sample_ages(online)
        differs = find_differing_rows(outcomes, len(online))
        order = np.arange(self._n_compared, self._n_compared + len(online))
        is_sampled = (order % (self._check_every * _NEIGHBOURS) < _NEIGHBOURS) & ~differs
        self._n_compared += len(online)
        is_doubted = differs | is_sampled
        if not is_doubted.any():
            self._tally.add(offline, online, outcomes)
            return
        clear = np.flatnonzero(~is_doubted)
        found = [feature.take(clear) for feature in outcomes]
        self._tally.add(offline.take(clear), online.take(clear), found)
        keys = batch.keys.slice(start, len(online))
        for mask, reason in ((differs, Reason.DIFFERED), (is_sampled, Reason.SAMPLED)):
            self._second_look.add(keys.filter(pa.array(mask)).to_pylist(), reason)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Which entities are compared: those whose key's hash is low, on either side."""

    share: float
    seed: int

    def of_batch(self, batch: OfflineBatch) -> OfflineBatch:
        if self.share >= 1:
            return batch
        kept = pa.array([self._has(key) for key in batch.keys.to_pylist()], pa.bool_())
        return OfflineBatch(batch.keys.filter(kept), batch.records.filter(kept))

    def of_keys(self, keys: list[bytes]) -> list[bytes]:
        return keys if self.share >= 1 else [key for key in keys if self._has(key)]

    def _has(self, key: bytes) -> bool:
        return bool(mmh3.hash(key, self.seed, signed=False) < self.share * _HASHES)
