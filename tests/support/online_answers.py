"""What Feast's SDK answers, cell by cell, and where two such answers differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from feast import FeatureService, FeatureStore

from evenstore.clock import us_to_datetime
from evenstore.semantics import Status

__all__ = ["Answers", "Cell", "ask", "differences"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One feature of one entity row."""

    value: Any
    status: Status
    event: datetime

    def is_as(self, other: Cell) -> bool:
        """Tell whether both are the same answer: NaN is NaN, 0.0 is not -0.0, 1 is not 1.0.

        A map's keys have no order: protobuf gives them in another one each time.
        """
        return repr(self._sorted()) == repr(other._sorted())

    def _sorted(self) -> Cell:
        value = self.value
        return replace(self, value=sorted(value.items())) if isinstance(value, dict) else self


Answers = Mapping[tuple[str, int], Cell]
"""By feature and the number of the entity row."""


def ask(
    store: FeatureStore,
    features: Sequence[str] | FeatureService,
    entity_rows: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, int], Cell]:
    """Ask as an application does, with short names.

    With full ones Feast drops what on-demand views of mode `python` compute.
    """
    asked = features if isinstance(features, FeatureService) else list(features)
    response = store.get_online_features(asked, [dict(row) for row in entity_rows])
    values = response.to_dict()
    names = response.proto.metadata.feature_names.val
    return {
        (name, i): Cell(values[name][i], Status(status), us_to_datetime(event.ToMicroseconds()))
        for name, vector in zip(names, response.proto.results, strict=True)
        for i, (status, event) in enumerate(
            zip(vector.statuses, vector.event_timestamps, strict=True)
        )
    }


def differences(was: Answers, now: Answers) -> dict[tuple[str, int], tuple[Cell, Cell]]:
    """Return the cells that are no longer the same; both must answer the same question."""
    assert set(was) == set(now)
    return {place: (was[place], now[place]) for place in was if not was[place].is_as(now[place])}
