"""The numbers of one worker at one instant, and how those of several are added up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["Key", "Snapshot", "add_up"]

Key = tuple[str, tuple[str, ...]]
"""A metric's name and its label values."""

_FORMAT = 1


@dataclass(slots=True)
class Snapshot:
    """Numbers by metric and labels.

    Attributes:
        counters: Never fall.
        histograms: Count per bucket, the one above all bounds last, and the sum of all values.
        gauges: As they were, without the label `worker`.
    """

    counters: dict[Key, float] = field(default_factory=dict)
    histograms: dict[Key, tuple[list[int], float]] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)

    def to_json(self, **about: Any) -> bytes:
        """Render, with whose numbers they are."""
        return orjson.dumps(
            {
                "format": _FORMAT,
                **about,
                "counters": [(*key, value) for key, value in self.counters.items()],
                "histograms": [(*key, *value) for key, value in self.histograms.items()],
                "gauges": [(*key, value) for key, value in self.gauges.items()],
            }
        )

    @classmethod
    def from_json(cls, text: bytes) -> tuple[Snapshot, dict[str, Any]]:
        """Read back, with all else that the text says.

        Raises:
            ValueError: It is not what `to_json` writes.
        """
        try:
            return cls._read(orjson.loads(text))
        except (ValueError, TypeError, LookupError, AttributeError) as exc:
            msg = "not a snapshot"
            raise ValueError(msg) from exc

    @classmethod
    def _read(cls, about: dict[str, Any]) -> tuple[Snapshot, dict[str, Any]]:
        if about.pop("format") != _FORMAT:
            raise ValueError
        snapshot = cls(
            {(name, tuple(labels)): value for name, labels, value in about.pop("counters")},
            {
                (name, tuple(labels)): (counts, total)
                for name, labels, counts, total in about.pop("histograms")
            },
            {(name, tuple(labels)): value for name, labels, value in about.pop("gauges")},
        )
        return snapshot, about


def add_up(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return the sum of counters and histograms; gauges are no sums and are left out."""
    added = Snapshot()
    for snapshot in snapshots:
        for key, value in snapshot.counters.items():
            added.counters[key] = added.counters.get(key, 0) + value
        for key, (counts, total) in snapshot.histograms.items():
            before = added.histograms.get(key)
            if before is None:
                added.histograms[key] = (list(counts), total)
            else:
                pairs = zip(before[0], counts, strict=True)
                added.histograms[key] = ([a + b for a, b in pairs], before[1] + total)
    return added
