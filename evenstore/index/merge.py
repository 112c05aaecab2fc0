"""Merges what each segment found for the same entity rows: the greatest row of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evenstore.index.bisection import Int64s

__all__ = ["GreatestRows", "TiedRows"]

_LOWEST = -(2**63)


@dataclass(frozen=True, slots=True)
class TiedRows:
    """Rows of which only their content tells which is the greatest.

    Attributes:
        places: The entity row that each was found for; two or more of each.
        rows: Numbers of feature rows.
    """

    places: Int64s
    rows: Int64s


class GreatestRows:
    """The greatest rows so far, by event and created timestamp.

    Args:
        n_places: Number of entity rows.
    """

    def __init__(self, n_places: int) -> None:
        self.rows: Int64s = np.full(n_places, -1, dtype=np.int64)
        self._event_us: Int64s = np.full(n_places, _LOWEST, dtype=np.int64)
        self._created_us: Int64s = np.full(n_places, _LOWEST, dtype=np.int64)
        self._ties: list[tuple[Int64s, Int64s, Int64s, Int64s]] = []

    def add(self, places: Int64s, rows: Int64s, event_us: Int64s, created_us: Int64s) -> None:
        """Take the rows of one segment, at most one for each entity row."""
        before_event, before_created = self._event_us[places], self._created_us[places]
        is_first = self.rows[places] < 0
        is_equal = ~is_first & (event_us == before_event) & (created_us == before_created)
        if is_equal.any():
            found = (places, rows, event_us, created_us)
            self._ties.append(tuple(values[is_equal] for values in found))
        is_later = (event_us == before_event) & (created_us > before_created)
        is_greater = is_first | (event_us > before_event) | is_later
        places = places[is_greater]
        self.rows[places] = rows[is_greater]
        self._event_us[places] = event_us[is_greater]
        self._created_us[places] = created_us[is_greater]

    def tied(self) -> TiedRows:
        """Return the rows that tie with the greatest, which is among them."""
        places, rows = np.empty(0, np.int64), np.empty(0, np.int64)
        for tied_places, tied_rows, event_us, created_us in self._ties:
            # A tie among rows of which a later segment had a greater one is none any more.
            is_tied = (self._event_us[tied_places] == event_us) & (
                self._created_us[tied_places] == created_us
            )
            places = np.concatenate([places, tied_places[is_tied]])
            rows = np.concatenate([rows, tied_rows[is_tied]])
        greatest = np.unique(places)
        return TiedRows(
            np.concatenate([greatest, places]), np.concatenate([self.rows[greatest], rows])
        )
