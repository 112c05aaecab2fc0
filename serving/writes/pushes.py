"""Pushes and writes: from a request's body to rows in the stores."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feast import OnDemandFeatureView

from evenstore.clock import SystemClock, clock_from_environment
from evenstore.online.view_decoder import DEFAULT_MAX_SKEW_US
from serving.writes.catalogue import RegistryFollower, WriteTarget
from serving.writes.frame import Frame
from serving.writes.models import PushRequest, WriteRequest
from serving.writes.offline import OfflineRows, read_offline, write_offline
from serving.writes.on_demand import OnDemandRows, read_on_demand, write_on_demand
from serving.writes.online import OnlineWriter
from serving.writes.requests import parse_body
from serving.writes.rows import PushedRows

__all__ = ["CheckedRows", "Pushes"]


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """What a request asks to be written; all of it was checked.

    Attributes:
        online: Rows for the online store, by view.
        offline: Rows for the offline store, by source.
        on_demand: Rows of an on-demand view, which Feast writes.
    """

    online: list[PushedRows]
    offline: list[OfflineRows]
    on_demand: OnDemandRows | None = None


class Pushes:
    """Reads and writes rows for callers; for use from several threads.

    Args:
        registry: What can be written.
        repo_path: Folder of the Feast repo.
        max_rows: Rows of a request.
    """

    def __init__(self, registry: RegistryFollower, repo_path: Path, *, max_rows: int) -> None:
        self._registry = registry
        self._repo_path = repo_path
        self._max_rows = max_rows
        self._clock = clock_from_environment()
        self._online: OnlineWriter | None = None
        # Feast's own paths share one feature store, which is not made for threads.
        self._feast_lock = threading.Lock()

    def read_push(self, body: bytes) -> CheckedRows:
        """Check a push for all views of its source and for all stores.

        Raises:
            EvenstoreError: The request or its rows are not valid.
        """
        request = parse_body(PushRequest, body)
        frame = Frame.read(request.df, max_rows=self._max_rows)
        catalogue = self._registry.catalogue(is_fresh=not request.allow_registry_cache)
        targets = catalogue.of_push_source(request.push_source_name)
        return CheckedRows(
            online=self._online_rows(frame, targets) if request.to != "offline" else [],
            offline=self._offline_rows(frame, targets) if request.to != "online" else [],
        )

    def read_write(self, body: bytes) -> CheckedRows:
        """Check rows of one view for the online store.

        Raises:
            EvenstoreError: The request or its rows are not valid.
        """
        request = parse_body(WriteRequest, body)
        frame = Frame.read(request.df, max_rows=self._max_rows)
        catalogue = self._registry.catalogue(is_fresh=not request.allow_registry_cache)
        target = catalogue.of_view(request.feature_view_name)
        if not isinstance(target, OnDemandFeatureView):
            return CheckedRows(self._online_rows(frame, [target]), [])
        rows = read_on_demand(
            frame,
            target,
            self._registry.store(),
            is_transformed=not request.transform_on_write,
            latest_us=self._latest_us(),
        )
        return CheckedRows([], [], rows if frame.n_rows else None)

    def open(self) -> OnlineWriter:
        """Return the way to the online store.

        Raises:
            ConfigurationError: There is no registry, or the online store is not in Redis.
        """
        if self._online is None:
            self._online = OnlineWriter(self._registry.store(), self._repo_path)
        return self._online

    def write_online(self, rows: PushedRows) -> None:
        """Write rows of one view, each where it is greater than the stored one.

        Raises:
            EvenstoreError: A value cannot be stored, or Redis failed.
        """
        # The machine's clock, not one that may be frozen: the sequence orders arrivals.
        self.open().write(rows.greatest(), SystemClock().now_us())

    def write_with_feast(self, rows: CheckedRows) -> None:
        """Write what Feast itself writes: to the offline store, and on-demand views' results.

        Raises:
            EvenstoreError: A store failed, or an on-demand view's function.
        """
        with self._feast_lock:
            store = self._registry.store()
            for part in rows.offline:
                write_offline(store, part)
            if rows.on_demand is not None:
                write_on_demand(store, rows.on_demand)

    def _online_rows(self, frame: Frame, targets: Sequence[WriteTarget]) -> list[PushedRows]:
        latest_us = self._latest_us()
        return [
            PushedRows.read(
                frame.renamed(target.feature_names), target.row_columns(), latest_us=latest_us
            )
            for target in targets
        ]

    def _offline_rows(self, frame: Frame, targets: Sequence[WriteTarget]) -> list[OfflineRows]:
        return read_offline(frame, targets, self._repo_path, latest_us=self._latest_us())

    def _latest_us(self) -> int:
        return self._clock.now_us() + DEFAULT_MAX_SKEW_US
