"""What the gateway answered, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenstore.semantics import Status

__all__ = ["OnlineFeatures", "Readiness"]


@dataclass(frozen=True, slots=True)
class OnlineFeatures:
    """Feature vectors, column by column: join keys first, then features as asked for.

    Attributes:
        names: Column names, in order.
        values: One list per name, one item per entity row, as JSON carries them: bytes are base64
            text, timestamps whole seconds, infinities the texts `Infinity` and `-Infinity`, and a
            float's NaN is None with status PRESENT.
        statuses: One list per name. Join keys are PRESENT.
        event_us: Event timestamps in microseconds; None where the row is not there. 0 for join keys
            and on-demand features, which have none.
        as_of_us: The instant the answer holds for.
        is_clock_frozen: Whether the gateway runs in test mode.
    """

    names: tuple[str, ...]
    values: Mapping[str, list[Any]]
    statuses: Mapping[str, list[Status]]
    event_us: Mapping[str, list[int | None]]
    as_of_us: int
    is_clock_frozen: bool

    def __len__(self) -> int:
        """Return the number of entity rows."""
        return len(self.values[self.names[0]]) if self.names else 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the values of each entity row by name."""
        columns: Sequence[list[Any]] = [self.values[name] for name in self.names]
        for row in zip(*columns, strict=True):
            yield dict(zip(self.names, row, strict=True))


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a ready gateway serves.

    Attributes:
        project: The Feast project.
        schema_fingerprint: Of the whole registry, as compiled.
        as_of_us: The gateway's present instant.
        is_clock_frozen: Whether the gateway runs in test mode.
    """

    project: str
    schema_fingerprint: str
    as_of_us: int
    is_clock_frozen: bool
