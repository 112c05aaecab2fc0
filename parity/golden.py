"""The golden set: entity rows drawn so that every stratum of every view is compared.

The draw depends on the entities, the seed and the number of rows, on nothing else: the same three
give the same rows everywhere. An entity's place in the draw is a hash of its key, so that views on
the same entity draw the same entities.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evenstore.errors import ParityError
from evenstore.schema.model import Field
from evenstore.schema.request import FeatureRequest
from parity.strata import Boundary, EntityKey, Stratum, ViewEntities
from parity.synthetic import fresh_keys, request_column, stable_hash
from parity.values import PlainValue, Scalar

__all__ = ["GoldenSet", "StratumCount", "draw_golden_set", "strata_of_rows"]

# Rare strata first, so that a small set has them all; half of a large one is ordinary.
_TURNS = (
    *(Stratum.ORDINARY, Stratum.HOT, Stratum.COLD, Stratum.EXPIRED, Stratum.NULL, Stratum.TIE),
    *(Stratum.UNKNOWN, *[Stratum.ORDINARY] * 5),
)
_UNKNOWN_PER_ROWS = 12
_UNKNOWN_PER_KNOWN = 4


@dataclass(frozen=True, slots=True)
class StratumCount:
    """How much of one stratum of one view is in the golden set.

    Attributes:
        view_name: The name that the view is asked for by.
        stratum: Which kind of entity, or which boundary.
        n_entities: How many the offline store has; 0 for UNKNOWN and for boundaries.
        n_rows: Golden rows with such an entity.
    """

    view_name: str
    stratum: Stratum | Boundary
    n_entities: int
    n_rows: int


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The entity rows to compare, in plain values.

    Attributes:
        columns: Entity columns and request data, by name, equally long.
        n_rows: Length of every column.
        strata: One count per view and stratum.
        ambiguous: Per view and row, whether the row that wins is tied within its snapshot.
    """

    columns: Mapping[str, Sequence[PlainValue]]
    n_rows: int
    strata: tuple[StratumCount, ...]
    ambiguous: Mapping[str, Sequence[bool]]


def draw_golden_set(
    request: FeatureRequest, views: Sequence[ViewEntities], *, n_rows: int, seed: int
) -> GoldenSet:
    """Draw entity rows from what the offline store knows, and unknown ones beside them.

    Args:
        request: The feature service to be compared.
        views: The entities of each view the service reads.
        n_rows: How many rows at most. Fewer are drawn when every entity has had its turn.
        seed: Any whole number; another seed draws other ordinary entities.

    Raises:
        ParityError: The service has no entity, so that there is nothing to draw.
    """
    pools = _build_pools(request, views, n_rows=n_rows, seed=seed)
    if not pools:
        msg = f"feature service `{request.name}` reads no view with an entity"
        raise ParityError(msg, hint="name a service that has at least one entity")
    rows = list(_combine(pools, n_rows))
    columns: dict[str, Sequence[PlainValue]] = {
        field.name: [row[field.name] for row in rows] for field in request.entity_columns
    }
    for field in request.request_fields:
        columns[field.name] = request_column(field, len(rows), seed)
    strata_by_view = {view.view_name: strata_of_rows(view, rows) for view in views}
    return GoldenSet(
        columns=columns,
        n_rows=len(rows),
        strata=tuple(_count_strata(views, strata_by_view)),
        ambiguous={
            name: [Stratum.TIE in strata for strata in rows_strata]
            for name, rows_strata in strata_by_view.items()
        },
    )


class _Pool:
    """The entity keys to draw for one set of entity columns, in order, over and over."""

    def __init__(self, columns: tuple[str, ...], keys: Sequence[EntityKey]) -> None:
        self.columns = columns
        self._keys = keys
        self._n_taken = 0

    @property
    def is_used_up(self) -> bool:
        return self._n_taken >= len(self._keys)

    def take(self) -> dict[str, Scalar]:
        key = self._keys[self._n_taken % len(self._keys)]
        self._n_taken += 1
        return dict(zip(self.columns, key, strict=True))


def _build_pools(
    request: FeatureRequest, views: Sequence[ViewEntities], *, n_rows: int, seed: int
) -> list[_Pool]:
    by_columns: dict[tuple[str, ...], list[ViewEntities]] = {}
    for view in views:
        if view.key_columns:
            by_columns.setdefault(view.key_columns, []).append(view)
    fields = {field.name: field for field in request.entity_columns}
    pools = []
    for pool_idx, (columns, group) in enumerate(by_columns.items()):
        unknown = _unknown_keys([fields[name] for name in columns], group, n_rows, seed)
        turns = [
            turn for view in group for turn in _view_turns(view, unknown, n_rows=n_rows, seed=seed)
        ]
        # Entities start at different strata, or the hot ones would meet only each other.
        turns = turns[pool_idx:] + turns[:pool_idx]
        pools.append(_Pool(columns, list(itertools.islice(_interleave(turns), n_rows))))
    return pools


def _view_turns(
    view: ViewEntities, unknown: Iterator[EntityKey], *, n_rows: int, seed: int
) -> list[Iterator[EntityKey]]:
    ranks = np.fromiter(
        (stable_hash(seed, key) for key in view.keys), dtype=np.uint64, count=len(view.keys)
    )
    order = np.argsort(ranks, kind="stable")
    sources = {
        # One stratum never gives more than the whole set.
        stratum: iter([view.keys[key_idx] for key_idx in order[mask[order]][:n_rows]])
        for stratum, mask in view.members.items()
    }
    sources[Stratum.UNKNOWN] = unknown
    return [sources[stratum] for stratum in _TURNS]


def _unknown_keys(
    fields: Sequence[Field], views: Sequence[ViewEntities], n_rows: int, seed: int
) -> Iterator[EntityKey]:
    known = set(itertools.chain.from_iterable(view.keys for view in views))
    n_unknown = 1 + min(n_rows // _UNKNOWN_PER_ROWS, len(known) // _UNKNOWN_PER_KNOWN)
    unknown = (key for key in fresh_keys(fields, seed) if key not in known)
    return itertools.islice(unknown, n_unknown)


def _interleave(turns: Iterable[Iterator[EntityKey]]) -> Iterator[EntityKey]:
    drawn: set[EntityKey] = set()
    live = list(turns)
    while live:
        remaining = []
        for source in live:
            key = next((key for key in source if key not in drawn), None)
            if key is not None:
                drawn.add(key)
                remaining.append(source)
                yield key
        live = remaining


def _combine(pools: Sequence[_Pool], n_rows: int) -> Iterator[dict[str, Scalar]]:
    for row_idx in range(n_rows):
        if all(pool.is_used_up for pool in pools):
            return
        # Each pool leads in turn: where two share a column, the leader's entity stays whole.
        first = row_idx % len(pools)
        row: dict[str, Scalar] = {}
        for pool in (*pools[first:], *pools[:first]):
            if row.keys().isdisjoint(pool.columns):
                row |= pool.take()
        for pool in pools:
            if not row.keys() >= set(pool.columns):
                row = pool.take() | row
        yield row


def strata_of_rows(
    view: ViewEntities, rows: Sequence[Mapping[str, Scalar]]
) -> list[frozenset[Stratum]]:
    """Find the strata that each entity row is in, as one view sees it."""
    keys = [tuple(row[column] for column in view.key_columns) for row in rows]
    known = view.strata_of(set(keys))
    unknown = frozenset({Stratum.UNKNOWN})
    return [known.get(key, unknown) for key in keys]


def _count_strata(
    views: Sequence[ViewEntities], strata_by_view: Mapping[str, Sequence[frozenset[Stratum]]]
) -> Iterator[StratumCount]:
    for view in views:
        rows_strata = strata_by_view[view.view_name]
        for stratum in Stratum:
            n_rows = sum(stratum in strata for strata in rows_strata)
            yield StratumCount(view.view_name, stratum, view.n_entities(stratum), n_rows)
