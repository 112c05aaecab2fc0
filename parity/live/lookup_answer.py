"""The answer of a lookup, read column by column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any

import numpy as np

from evenstore.client.answers import OnlineFeatures
from evenstore.client.exchange import foreign_answer
from evenstore.clock import datetime_to_us
from evenstore.semantics import Status

__all__ = ["read_answer"]

_OK = 200
_NO_EVENT_TIMESTAMP = "1970-01-01T00:00:00Z"
_STATUSES_START = b'"statuses":['
_TEXTS_START = b'],"event_timestamps":['
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_STATUSES = {status.name: status for status in Status}


def _open_reader() -> ModuleType:
    """Return what reads JSON; the gateway's library, twice as fast, is not on every machine."""
    try:
        import orjson
    except ImportError:
        import json

        return json
    return orjson


_JSON = _open_reader()


def read_answer(body: bytes, headers: Mapping[str, str]) -> OnlineFeatures:
    """Read a lookup's answer as `evenstore.client.protocol.parse_online_features` does.

    Columns that say the same of their statuses may share one list.

    Args:
        body: As the gateway sent it.
        headers: Names in lower case.

    Raises:
        GatewayError: The answer is not the gateway's.
    """
    try:
        answer, statuses, texts = _unfold(body) or _parse(body)
        instants = _InstantColumns()
        names = tuple(answer["metadata"]["feature_names"])
        values = [column["values"] for column in answer["results"]]
        _check_lengths(values, statuses, texts)
        event_us = [instants.read(*pair) for pair in zip(texts, statuses, strict=True)]
        return OnlineFeatures(
            names=names,
            values=dict(zip(names, values, strict=True)),
            statuses=dict(zip(names, statuses, strict=True)),
            event_us=dict(zip(names, event_us, strict=True)),
            as_of_us=int(headers["evenstore-as-of-us"]),
            is_clock_frozen=headers["evenstore-clock"] == "frozen",
        )
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as exc:
        raise foreign_answer(_OK) from exc


def _check_lengths(*parts: Sequence[Sequence[object]]) -> None:
    """Refuse columns whose parts have not one length: their rows could not be told."""
    lengths = {len(column) for part in parts for column in part}
    if len(lengths) > 1:
        msg = "columns differ in length"
        raise ValueError(msg)


_Parsed = tuple[Any, Sequence[list[Status]], Sequence[list[str]]]
"""The answer, and its lists of statuses and of event timestamps, one of each per column."""


def _parse(body: bytes) -> _Parsed:
    answer = _JSON.loads(body)
    results = answer["results"]
    return (
        answer,
        [_statuses(column["statuses"]) for column in results],
        [column["event_timestamps"] for column in results],
    )


def _unfold(body: bytes) -> _Parsed | None:
    """Parse an answer with each list of statuses and of event timestamps read once.

    Most of an answer says the same of every feature of a view. None where it is not written as the
    gateway writes it, or a value looks like a part of it.
    """
    head, *columns = body.split(_STATUSES_START)
    statuses: dict[bytes, int] = {}
    texts: dict[bytes, int] = {}
    pieces = [head]
    places = []
    for column in columns:
        told, _, rest = column.partition(_TEXTS_START)
        instants, end, rest = rest.partition(b"]")
        if not end or b"]" in told:
            return None
        place = statuses.setdefault(told, len(statuses)), texts.setdefault(instants, len(texts))
        places.append(place)
        pieces += (b'"statuses":%d,"event_timestamps":%d' % place, rest)
    answer = _JSON.loads(b"".join(pieces))
    results = answer["results"]
    # As many lists were taken out as there are columns, and each column has its own: so no value
    # has lost one.
    if [(column["statuses"], column["event_timestamps"]) for column in results] != places:
        return None
    told_lists = [_statuses(_JSON.loads(b"[%b]" % told)) for told in statuses]
    text_lists = [_JSON.loads(b"[%b]" % text) for text in texts]
    return answer, [told_lists[i] for i, _ in places], [text_lists[i] for _, i in places]


def _statuses(texts: list[str]) -> list[Status]:
    return [*map(_STATUSES.__getitem__, texts)]


def _instants(texts: list[str]) -> list[int]:
    """Read RFC 3339 instants; those in UTC, as the gateway writes them, all at once."""
    if not all(_UTC.fullmatch(text) for text in texts):
        return [datetime_to_us(datetime.fromisoformat(text)) for text in texts]
    bare = np.array([text[:-1] for text in texts], "datetime64[us]")
    instants: list[int] = bare.astype(np.int64).tolist()
    return instants


class _InstantColumns:
    """Reads columns of event timestamps; one list of texts is read once."""

    def __init__(self) -> None:
        self._columns: dict[int, tuple[list[int], list[int]]] = {}

    def read(self, texts: list[str], statuses: list[Status]) -> list[int | None]:
        if id(texts) not in self._columns:
            instants = _instants(texts)
            at_epoch = [row for row, text in enumerate(texts) if text == _NO_EVENT_TIMESTAMP]
            self._columns[id(texts)] = instants, at_epoch
        instants, at_epoch = self._columns[id(texts)]
        column: list[int | None] = [*instants]
        for row in at_epoch if Status.NOT_FOUND in statuses else ():
            # Where a row is missing, its status says so and not its instant.
            if statuses[row] is Status.NOT_FOUND:
                column[row] = None
        return column
