"""What the rules need to know of an entity in one view, and who can be asked for it.

`parity.causes.store_evidence` reads evenstore's own stores. A reader of other stores gives the same
data, with None for what its stores do not tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from evenstore.client.values import PlainValue
from evenstore.schema.request import ViewRead
from parity.causes.rows import LoadState, SourceRow, StoredRow

__all__ = ["AskedEntity", "EntityEvidence", "EvidenceReader"]


@dataclass(frozen=True, slots=True)
class AskedEntity:
    """An entity and the instant that is asked about.

    Attributes:
        key: Plain values in the order of the view's join keys.
        as_of_us: The instant.
        online_event_us: The event timestamp of the row that the online side answered with.
        until_us: Event timestamp that offline rows were looked at up to, where that is not the
            instant.
    """

    key: tuple[PlainValue | None, ...]
    as_of_us: int
    online_event_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class EntityEvidence:
    """What both stores have of an entity in one view; see `parity.causes.cell_facts.CellFacts`.

    Attributes:
        history: The source's rows near the asked instant and near the online row's, greatest first.
        n_source_rows: All rows of the entity in the source.
        stored: What the online store holds.
        problem: Why what it holds cannot be read.
        loads: How far the view is loaded.
        is_pushable: Whether the view can be pushed to.
        key_exists: Whether the store has the entity's key at all.
        twin_key: The same key in another encoding, where that one has the row.
        pinned_version: The version that the view is asked for by, if it is not the present one.
        stored_version: The version whose row the online side has.
    """

    history: Sequence[SourceRow] = ()
    n_source_rows: int = 0
    stored: StoredRow | None = None
    problem: str | None = None
    loads: LoadState = field(default_factory=LoadState)
    is_pushable: bool | None = None
    key_exists: bool | None = None
    twin_key: str | None = None
    pinned_version: str | None = None
    stored_version: str | None = None


class EvidenceReader(Protocol):
    """Reads evidence for many entities of a view at once; changes nothing."""

    def read(self, read: ViewRead, asked: Sequence[AskedEntity]) -> Sequence[EntityEvidence]:
        """Return the evidence of each asked entity, in order."""
        ...
