"""The shapes that stored entities of some views have had so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evenstore.codec.packed_shape import EntityShape, WantedView
from evenstore.errors import CorruptRowError

__all__ = ["ShapeCache"]

_MAX_PER_LENGTH = 4
_MAX_LENGTHS = 128
# New shapes cost as much as twenty entities read without one.
_PATIENCE = 64
_MIN_USES = 16


class ShapeCache:
    """Reads entities by their shapes, and tells where that does not pay.

    Args:
        wanted: The views and features asked for.

    Attributes:
        is_useful: False where entities have values of variable width, or too many shapes.
    """

    def __init__(self, wanted: Sequence[WantedView]) -> None:
        self._wanted = tuple(wanted)
        self._by_length: dict[int, list[EntityShape]] = {}
        self._n_made = 0
        self._n_read = 0
        self.is_useful = not any(view.schema.variable for view in wanted)
        self.nothing: tuple[Any, ...] = (None,) * sum(1 + len(view.features) for view in wanted)

    def read(self, entities: Sequence[bytes | None]) -> tuple[list[tuple[Any, ...]], bool] | None:
        """Read entities; None where one has no shape.

        Returns:
            A row each, as `EntityShape.read` gives it, and whether any of them has gaps.
        """
        rows = []
        has_gaps = False
        by_length = self._by_length
        for entity in entities:
            if entity is None:
                rows.append(self.nothing)
                has_gaps = True
                continue
            for shape in by_length.get(len(entity), ()):
                row = shape.read(entity)
                if row is not None:
                    break
            else:
                made = self._make(entity)
                if made is None:
                    return None
                shape = made
                row = shape.read(entity)
                if row is None:  # Only where one view has two slots.
                    return None
            has_gaps = has_gaps or shape.has_gaps
            rows.append(row)
        self._n_read += len(rows)
        return rows, has_gaps

    def _make(self, entity: bytes) -> EntityShape | None:
        self._n_made += 1
        if self._n_made > _PATIENCE and self._n_made * _MIN_USES > self._n_read:
            self.is_useful = False
            return None
        try:
            shape = EntityShape(entity, self._wanted)
        except CorruptRowError:
            return None
        if len(self._by_length) >= _MAX_LENGTHS:
            self._by_length.clear()
        shapes = self._by_length.setdefault(shape.length, [])
        shapes.insert(0, shape)
        del shapes[_MAX_PER_LENGTH:]
        return shape
