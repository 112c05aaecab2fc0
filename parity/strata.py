"""Which kinds of entity one view has at an instant: the strata a golden set is drawn from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.schema.request import ViewRead
from evenstore.semantics import Status, oldest_valid_us
from parity.values import Scalar, decode_offline

__all__ = ["Boundary", "EntityKey", "Stratum", "ViewEntities", "classify_entities"]

EntityKey = tuple[Scalar, ...]
_Mask = npt.NDArray[np.bool_]

_HOT_QUANTILE = 0.99
_COLD_QUANTILE = 0.1
_FACTS = ("n_rows", "event_us", "has_null", "is_ambiguous")


class Stratum(enum.Enum):
    """A kind of entity, as one view sees it.

    HOT and COLD are the entities with the most and the fewest rows (top hundredth, bottom tenth;
    none where all have equally many). EXPIRED: the newest row is older than ttl. NULL: a feature
    of the newest row is null. TIE: the newest row is tied within its snapshot. ORDINARY: none of
    these. UNKNOWN: the view has no row. An expired entity is in no other stratum, because its
    values are withheld; HOT, COLD, NULL and TIE may overlap.
    """

    HOT = "hot"
    COLD = "cold"
    EXPIRED = "expired"
    NULL = "null"
    TIE = "tie"
    ORDINARY = "ordinary"
    UNKNOWN = "unknown"


class Boundary(enum.Enum):
    """A microsecond at which an answer changes; golden sets ask on both sides of it.

    TTL_EDGE: an entity row asks for the last microsecond at which a row is within ttl, or for the
    next one. LATE: it asks for the microsecond at which a row that was created after its event
    becomes known, or for the one before.
    """

    TTL_EDGE = "ttl-edge"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class ViewEntities:
    """The entities that one view's offline store knows at an instant.

    Attributes:
        view_name: The name that the view is asked for by.
        key_columns: The caller's columns, sorted by name; entity keys have the same order.
        keys: Every known entity key.
        members: For each stratum but UNKNOWN, which of `keys` belong to it.
    """

    view_name: str
    key_columns: tuple[str, ...]
    keys: list[EntityKey]
    members: dict[Stratum, _Mask]

    def n_entities(self, stratum: Stratum) -> int:
        """Return how many known entities are in a stratum; 0 for UNKNOWN."""
        return int(self.members[stratum].sum()) if stratum in self.members else 0

    def strata_of(self, keys: set[EntityKey]) -> dict[EntityKey, frozenset[Stratum]]:
        """Find the strata of some entity keys; those the view does not know are left out."""
        return {
            key: frozenset(s for s, mask in self.members.items() if mask[row_idx])
            for row_idx, key in enumerate(self.keys)
            if key in keys
        }


def classify_entities(read: ViewRead, entities: pa.Table, *, as_of_us: int) -> ViewEntities:
    """Put each entity of a view into its strata.

    Args:
        read: The view and the columns it is asked for by.
        entities: One row per entity key: the join keys, `n_rows`, `event_us` (of the newest row),
            `has_null`, `is_ambiguous`.
        as_of_us: The instant that ttl is judged at.

    Raises:
        ParityError: A join key column has not its declared Arrow type.
    """
    needed = [*(key.name for key in read.view.join_keys), *_FACTS]
    # A null join key names no entity: nobody can ask for it.
    entities = entities.select(needed).drop_null()
    key_columns, keys = _entity_keys(read, entities)
    oldest_us = oldest_valid_us(as_of_us=as_of_us, ttl_us=read.view.enforced_ttl_us)
    is_expired = _column(entities, "event_us") < oldest_us
    is_hot, is_cold = _extremes(_column(entities, "n_rows"))
    members = {
        Stratum.HOT: is_hot & ~is_expired,
        Stratum.COLD: is_cold & ~is_expired,
        Stratum.EXPIRED: is_expired,
        Stratum.NULL: _column(entities, "has_null") & ~is_expired,
        Stratum.TIE: _column(entities, "is_ambiguous") & ~is_expired,
    }
    members[Stratum.ORDINARY] = ~np.logical_or.reduce(list(members.values()))
    return ViewEntities(read.output_name, key_columns, keys, members)


def _entity_keys(read: ViewRead, entities: pa.Table) -> tuple[tuple[str, ...], list[EntityKey]]:
    present = [Status.PRESENT] * entities.num_rows
    columns: dict[str, list[Any]] = {
        column: decode_offline(
            key.dtype, entities[key.name], present, where=f"{read.view.name}:{key.name}"
        )
        for column, key in zip(read.key_columns, read.view.join_keys, strict=True)
    }
    key_columns = tuple(sorted(columns))
    if not key_columns:
        return (), [()] * entities.num_rows
    return key_columns, list(zip(*(columns[name] for name in key_columns), strict=True))


def _column(entities: pa.Table, name: str) -> npt.NDArray[Any]:
    column: npt.NDArray[Any] = entities[name].to_numpy()
    return column


def _extremes(n_rows: npt.NDArray[np.int64]) -> tuple[_Mask, _Mask]:
    if n_rows.size == 0 or n_rows.min() == n_rows.max():
        nobody = np.zeros(n_rows.size, dtype=np.bool_)
        return nobody, nobody
    median, hot, cold = np.quantile(
        n_rows, [0.5, _HOT_QUANTILE, _COLD_QUANTILE], method="inverted_cdf"
    )
    # Where nearly all have the median, a quantile would name nearly all hot or cold.
    hot = hot if hot > median else n_rows.max()
    cold = cold if cold < median else n_rows.min()
    return n_rows >= hot, n_rows <= cold
