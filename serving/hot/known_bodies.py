"""Bodies of requests that were read before but for their keys: most differ in nothing else."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import orjson

from serving.hot.feast_request import FeastRequest

__all__ = ["KnownBodies"]

_MAX_BODIES = 256
_MAX_BYTES = 4096
# A list that no caller sends, to see where in a request it turns up.
_MARK: list[Any] = [[[]]]


AskedT = TypeVar("AskedT")


class KnownBodies(Generic[AskedT]):
    """What is around the only entity column of requests that were answered with the same plans.

    JSON is context-free: where one list was the value of the column, any other list is. So only
    that list needs to be parsed.
    """

    def __init__(self) -> None:
        self._bodies: dict[tuple[bytes, bytes], tuple[str, AskedT]] = {}

    def find(self, body: bytes) -> tuple[AskedT, dict[str, list[Any]]] | None:
        """Return what a body asks for and its entity column, if all around that is known."""
        start, end = body.rfind(b"["), body.rfind(b"]") + 1
        known = self._bodies.get((body[:start], body[end:]))
        if known is None:
            return None
        try:
            column = orjson.loads(body[start:end])
        except ValueError:
            return None
        name, asked = known
        return asked, {name: column}

    def note(self, body: bytes, request: FeastRequest, asked: AskedT) -> None:
        """Note a body whose last list is all there is of entities.

        Args:
            body: As it came.
            request: What it says.
            asked: What was made of that.
        """
        start, end = body.rfind(b"["), body.rfind(b"]") + 1
        if len(request.entities) != 1 or start + len(body) - end > _MAX_BYTES:
            return
        before, after = body[:start], body[end:]
        try:
            marked = orjson.loads(before + orjson.dumps(_MARK) + after)
        except ValueError:
            return
        ((name, column),) = request.entities.items()
        if column == _MARK or marked.get("entities") != {name: _MARK}:
            return
        if len(self._bodies) >= _MAX_BODIES:
            self._bodies.clear()
        self._bodies[before, after] = name, asked
