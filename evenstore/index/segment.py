"""One immutable segment of an index, memory-mapped: finding rows and the columns to take from.

```text
<segment>/
  order.arrow     one batch, a row per feature row: _event_us, _created_us (lowest int64 for null),
                  with created timestamps also _available_us, _row: the order in which an entity's
                  rows became known, and the greatest row known by then;
                  in an index of positions also _file, _file_row
  entities.arrow  one batch: _start, where each entity's rows begin, and one value more: the end
  key-N.arrow     the distinct values of join key N, ascending
  pair-N.arrow    for every join key but the first: the combinations with those before it
  features.arrow  in an index of the table: the features, a row per feature row
```

Rows lie in the total order of the joins: by join keys, event timestamp, created timestamp (null
lowest) and content. The newest row of an entity at an instant is the last one at or before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evenstore.index.arrow_columns import map_columns, whole_column
from evenstore.index.bisection import Int64s, blocks_of, count_at_most, sort_with_places
from evenstore.index.catalogue import IndexKind, SegmentEntry
from evenstore.index.entity_keys import EntityKeys
from evenstore.schema.model import FeatureViewSchema
from evenstore.sql.index_build import NEVER_US, ROW
from evenstore.sql.relation import AVAILABLE_US, CREATED_US, EVENT_US, FILE, FILE_ROW

__all__ = [
    "ENTITIES_FILE",
    "FEATURES_FILE",
    "KEY_COLUMN",
    "ORDER_FILE",
    "START",
    "FoundRows",
    "Segment",
    "key_file",
    "open_segment",
    "order_columns",
    "pair_file",
]

ORDER_FILE = "order.arrow"
ENTITIES_FILE = "entities.arrow"
FEATURES_FILE = "features.arrow"
START = "_start"
KEY_COLUMN = "value"


_NONE: Int64s = np.empty(0, dtype=np.int64)


def key_file(number: int) -> str:
    """Name the file of a join key's values."""
    return f"key-{number}.arrow"


def pair_file(number: int) -> str:
    """Name the file of a join key's combinations with those before it."""
    return f"pair-{number}.arrow"


def order_columns(kind: IndexKind, *, has_created: bool) -> tuple[str, ...]:
    """Name the columns of `order.arrow`."""
    known = (AVAILABLE_US, ROW) if has_created else ()
    return (EVENT_US, CREATED_US, *known, *((FILE, FILE_ROW) if kind == "positions" else ()))


@dataclass(frozen=True, slots=True)
class FoundRows:
    """What a search found.

    Attributes:
        places: Which of the searches found something, in the order of their entities.
        rows: The row that each of them found.
    """

    places: Int64s
    rows: Int64s


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; safe to use from threads.

    Attributes:
        entry: What the catalogue says of it.
        order: The columns of `order.arrow`.
        starts: Where each entity's rows begin; at the end the number of rows.
        keys: The entities.
        features: The columns of `features.arrow`; none in an index of positions.
    """

    entry: SegmentEntry
    order: dict[str, Int64s]
    starts: Int64s
    keys: EntityKeys
    features: pa.Table

    def find(
        self,
        keys: pa.Table,
        as_of_us: Int64s,
        *,
        is_as_known: bool,
        since_us: Int64s | None = None,
    ) -> FoundRows:
        """Find the greatest row of each entity that may be known at its instant.

        Args:
            keys: One column for each join key, of its declared Arrow type.
            as_of_us: Per row, microseconds.
            is_as_known: Leave out rows that were created later, or that do not say when.
            since_us: Per row the earliest event timestamp that it may see.
        """
        numbers = self.keys.number(keys)
        # Without created timestamps in the source all rows are known.
        is_known = is_as_known and ROW in self.order
        known = np.flatnonzero(numbers >= 0)
        # In the order of the entities, neighbouring searches read the same pages.
        places, entities = sort_with_places(numbers[known])
        places = known[places]
        found = [
            self._find_block(
                places[block], entities[block], as_of_us, is_as_known=is_known, since_us=since_us
            )
            for block in blocks_of(len(places))
        ]
        return FoundRows(
            np.concatenate([_NONE, *(block.places for block in found)]),
            np.concatenate([_NONE, *(block.rows for block in found)]),
        )

    def _find_block(
        self,
        places: Int64s,
        entities: Int64s,
        as_of_us: Int64s,
        *,
        is_as_known: bool,
        since_us: Int64s | None,
    ) -> FoundRows:
        start, end = self.starts[entities], self.starts[entities + 1]
        instants = as_of_us[places]
        if is_as_known:
            # As what is known of an entity only grows, its greatest row is found like its newest.
            np.minimum(instants, NEVER_US - 1, out=instants)
            last = count_at_most(self.order[AVAILABLE_US], start, end, instants) - 1
        else:
            last = count_at_most(self.order[EVENT_US], start, end, instants) - 1
        is_found = last >= start
        if not is_found.all():
            places, last = places[is_found], last[is_found]
        rows = self.order[ROW][last] if is_as_known else last
        if since_us is not None:
            is_seen = self.order[EVENT_US][rows] >= since_us[places]
            places, rows = places[is_seen], rows[is_seen]
        return FoundRows(places, rows)


def open_segment(folder: Path, entry: SegmentEntry, view: FeatureViewSchema) -> Segment:
    """Map a segment.

    Raises:
        OSError: One of its files is not there.
        ValueError: One is not what the catalogue says of it.
    """
    for name, n_bytes in entry.sizes.items():
        if (folder / name).stat().st_size != n_bytes:
            msg = f"`{folder / name}` has another length than when it was written"
            raise ValueError(msg)
    order = map_columns(folder / ORDER_FILE)
    starts = map_columns(folder / ENTITIES_FILE)
    n_keys = len(view.join_keys)
    return Segment(
        entry,
        {name: whole_column(order[name]) for name in order.column_names},
        whole_column(starts[START]),
        EntityKeys(
            view.join_keys,
            tuple(map_columns(folder / key_file(i))[KEY_COLUMN] for i in range(n_keys)),
            tuple(map_columns(folder / pair_file(i))[KEY_COLUMN] for i in range(1, n_keys)),
        ),
        map_columns(folder / FEATURES_FILE),
    )
