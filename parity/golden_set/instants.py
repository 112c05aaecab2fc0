"""Chooses the instants of a golden set: main ones, and boundaries to the microsecond."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from evenstore.schema.request import ViewRead
from parity.strata import Boundary, EntityKey, ViewEntities
from parity.synthetic import stable_hash

__all__ = ["BoundaryRow", "choose_instants", "find_boundaries"]

_US_PER_S = 1_000_000
_PER_VIEW = 2
_MAX_BOUNDARIES = 12
"""Each has two instants, and each instant is a materialization run of every view."""


@dataclass(frozen=True, slots=True)
class BoundaryRow:
    """One entity asked for on one side of a boundary.

    Attributes:
        read: Whose row it is.
        key: The entity, in the order of `ViewEntities.key_columns`.
        boundary: Which boundary.
        as_of_us: The instant to ask for.
    """

    read: ViewRead
    key: EntityKey
    boundary: Boundary
    as_of_us: int


def choose_instants(
    reads: Sequence[ViewRead], described: Sequence[pa.Table], *, now_us: int, n_instants: int
) -> tuple[int, ...]:
    """Choose main instants from what is in the sources, the last one at their newest row.

    The earlier ones lie evenly before it: over half of the time between the oldest and the newest
    of the entities' rows, or over the longest ttl where that is shorter, so that values change
    between them and have not all expired.

    Args:
        reads: The views.
        described: Per view, its entities as they are now (`describe_entities`).
        now_us: The present.
        n_instants: How many, at least one.
    """
    bounds = [bound for table in described for bound in _bounds(table)]
    if not bounds:
        return (now_us,)
    first_us, last_us = min(bounds), min(now_us, max(bounds))
    span_us = (last_us - first_us) // 2
    ttls_us = [read.view.enforced_ttl_us for read in reads if read.view.enforced_ttl_us]
    if ttls_us:
        span_us = min(span_us, max(ttls_us)) or max(ttls_us) // 2
    step_us = span_us // max(n_instants - 1, 1)
    chosen = {last_us}
    for i in range(1, n_instants):
        instant_us = last_us - i * step_us
        # Whole seconds are easier to review.
        chosen.add(instant_us - instant_us % _US_PER_S)
    return tuple(sorted(chosen))


def find_boundaries(
    reads: Sequence[ViewRead],
    views: Sequence[ViewEntities],
    described: Sequence[pa.Table],
    *,
    last_us: int,
    seed: int,
) -> list[BoundaryRow]:
    """Find entities to ask for on both sides of a boundary, a few of each view.

    Args:
        reads: The views.
        views: Their entities at the last main instant, in the same order.
        described: What they were made of, as known at that instant.
        last_us: That instant: no boundary lies after it.
        seed: Of the draw.
    """
    found = [
        _pairs(read, view, table, boundary, last_us=last_us, seed=seed)
        for read, view, table in zip(reads, views, described, strict=True)
        if view.key_columns
        for boundary in Boundary
    ]
    # One of each view and kind first, so that the bound leaves the fewest without any.
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*found))
    pairs = [pair for pair in in_turn if pair is not None][:_MAX_BOUNDARIES]
    return [row for pair in pairs for row in pair]


def _bounds(table: pa.Table) -> Iterator[int]:
    for name in ("event_us", "created_us"):
        found = pc.min_max(table[name]).as_py()
        yield from (bound for bound in found.values() if bound is not None)


def _pairs(
    read: ViewRead,
    view: ViewEntities,
    table: pa.Table,
    boundary: Boundary,
    *,
    last_us: int,
    seed: int,
) -> list[tuple[BoundaryRow, BoundaryRow]]:
    edges_us = _ttl_edges(read, table) if boundary is Boundary.TTL_EDGE else _late_edges(table)
    # `classify_entities` leaves out rows with a null key, and nothing else.
    kept = [
        (stable_hash(seed, boundary.value, *key), key, edge_us)
        for key, edge_us in zip(view.keys, edges_us, strict=True)
        if edge_us is not None and edge_us + 1 <= last_us
    ]
    return [
        (
            BoundaryRow(read, key, boundary, edge_us),
            BoundaryRow(read, key, boundary, edge_us + 1),
        )
        for _, key, edge_us in sorted(kept, key=lambda each: each[0])[:_PER_VIEW]
    ]


def _ttl_edges(read: ViewRead, table: pa.Table) -> list[int | None]:
    """Return each entity's last microsecond within ttl, where its row was known by then."""
    ttl_us = read.view.enforced_ttl_us
    if ttl_us is None:
        return [None] * table.num_rows
    return [
        event_us + ttl_us if created_us is None or created_us <= event_us + ttl_us else None
        for event_us, created_us in _instants(table)
    ]


def _late_edges(table: pa.Table) -> list[int | None]:
    """Return each entity's last microsecond before a row became known that had happened."""
    return [
        created_us - 1 if created_us is not None and created_us - 1 >= event_us else None
        for event_us, created_us in _instants(table)
    ]


def _instants(table: pa.Table) -> Iterator[tuple[int, int | None]]:
    return zip(table["event_us"].to_pylist(), table["created_us"].to_pylist(), strict=True)
