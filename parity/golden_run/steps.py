"""Loads a golden set's entities instant by instant, each time only what was known by then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pyarrow as pa
import redis

from evenstore.client.values import to_arrow
from evenstore.clock import FrozenClock, SystemClock
from evenstore.compute.known_files import KnownFiles, write_known_files
from evenstore.compute.run import ViewRun
from evenstore.duckdb_session import SessionLimits
from evenstore.online.key_scan import open_key_encoder
from evenstore.online.writer import RowWriter, open_encoder
from evenstore.schema.files import SourceFiles
from evenstore.schema.model import FeatureViewSchema, Layout
from evenstore.schema.request import ViewRead
from parity.values import PlainValue, Scalar

__all__ = ["Steps", "ViewToLoad", "views_to_load"]


@dataclass(frozen=True, slots=True)
class ViewToLoad:
    """One view and the entities of it that the golden set asks for.

    Attributes:
        view: The view.
        keys: The entities' join keys, in the order of `view.join_keys`, each once.
    """

    view: FeatureViewSchema
    keys: tuple[tuple[Scalar, ...], ...]

    def redis_keys(self, project: str, layout: Layout) -> list[bytes]:
        """Return the Redis keys of the entities."""
        encoder = open_key_encoder(self.view, project, layout)
        return [encoder.encode(key) for key in self.keys]

    def entity_table(self) -> pa.Table:
        """Return the join keys as columns of their declared types."""
        columns = {
            key.name: to_arrow(key.dtype, [entity[i] for entity in self.keys])
            for i, key in enumerate(self.view.join_keys)
        }
        return pa.table(columns)


def views_to_load(
    reads: Iterable[ViewRead], columns: Mapping[str, Sequence[PlainValue]]
) -> list[ViewToLoad]:
    """Find the entities that entity rows ask for, of each view once, however often it is read."""
    found: dict[str, tuple[FeatureViewSchema, dict[tuple[Scalar, ...], None]]] = {}
    for read in reads:
        asked = [columns[name] for name in read.key_columns]
        keys = zip(*asked, strict=True) if asked else iter([()])
        _, known = found.setdefault(read.view.name, (read.view, {}))
        known.update(dict.fromkeys(cast("Iterator[tuple[Scalar, ...]]", keys)))
    return [ViewToLoad(view, tuple(keys)) for view, keys in found.values()]


class Steps:
    """Materialization runs of some views, one at each instant, ascending.

    Each is the batch engine's own run on the files that hold what was known at the instant.

    Args:
        client: Redis.
        project: The run's project.
        layout: How rows lie.
        instants_us: Ascending.
    """

    def __init__(
        self, client: redis.Redis, project: str, layout: Layout, instants_us: Sequence[int]
    ) -> None:
        self._client = client
        self._project = project
        self._layout = layout
        self._instants_us = tuple(instants_us)
        self._known: list[tuple[FeatureViewSchema, KnownFiles]] = []

    @property
    def n_never_known(self) -> int:
        """Rows of the entities that no instant can know: they have no created timestamp."""
        return sum(known.n_never_known for _, known in self._known)

    def prepare(
        self, view: ViewToLoad, source: SourceFiles, folder: Path, limits: SessionLimits
    ) -> None:
        """Copy the rows of a view's entities, by when they became known.

        Raises:
            SourceUnavailableError: A file cannot be read.
            SourceChangedError: A file was replaced meanwhile.
        """
        known = write_known_files(
            source, view.view, view.entity_table(), self._instants_us, folder, limits=limits
        )
        self._known.append((view.view, known))

    def load(self, instant_idx: int) -> int:
        """Run every view of which something became known; return the number of rows written.

        Raises:
            MaterializationError: Reading, encoding or writing failed.
        """
        as_of_us = self._instants_us[instant_idx]
        n_written = 0
        for view, known in self._known:
            if not known.is_new(instant_idx):
                continue
            run = ViewRun(
                client=self._client,
                encoder=open_encoder(view, self._project, self._layout),
                writer=RowWriter(self._client, self._project, view, self._layout),
                project=self._project,
                view=view,
                source=known.known_at(instant_idx),
                clock=FrozenClock(as_of_us),
                sequence_us=SystemClock().now_us(),
                limits=SessionLimits(),
            )
            n_written += run.execute(start_us=as_of_us, end_us=as_of_us).n_written
        return n_written
