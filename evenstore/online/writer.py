"""Writes encoded rows to Redis: newest wins, decided inside Redis, in pipelined chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import redis
from redis.exceptions import NoScriptError, ResponseError

from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.rows import EncodedRows
from evenstore.errors import OnlineStoreError
from evenstore.online.connection import DRIVER_ERRORS, translate_redis_error
from evenstore.schema.model import FeatureViewSchema

__all__ = ["RowWriter", "WriteCount"]

# A script stops every other client while it runs: both bounds keep it to a few milliseconds.
_ROWS_PER_SCRIPT = 200
_VALUES_PER_SCRIPT = 5_000
_SCRIPTS_PER_ROUND_TRIP = 10
_FAULT_HINTS = {
    "ORDERVERSION": "a newer evenstore wrote this store: upgrade this one",
    "ORDERCORRUPT": "delete the entity's key, then materialize again",
}


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What became of rows: written, or superseded by an equal or greater stored row."""

    n_written: int
    n_superseded: int

    def __add__(self, other: WriteCount) -> WriteCount:
        return WriteCount(self.n_written + other.n_written, self.n_superseded + other.n_superseded)


class RowWriter:
    """Writes rows of one view; safe to use from several processes at once.

    A chunk of rows is one script call; a script is atomic, and so is each row. Not thread-safe.
    """

    def __init__(self, client: redis.Redis, view: FeatureViewSchema) -> None:
        self._client = client
        layout = FeastRowLayout(view)
        fields = tuple(layout.feature_fields.values())
        self._head: tuple[bytes | int, ...] = (
            layout.timestamp_field,
            layout.order_field,
            len(fields),
            *fields,
        )
        self._rows_per_script = max(
            1, min(_ROWS_PER_SCRIPT, _VALUES_PER_SCRIPT // (len(fields) + 2))
        )
        self._script = resources.files("evenstore.online").joinpath("newest_wins.lua").read_text()
        self._script_hash: str | None = None

    def write(self, rows: EncodedRows) -> WriteCount:
        """Write rows, each where it is greater than the stored one.

        Repeating a call is harmless: an equal row never overwrites.

        Raises:
            OnlineStoreUnavailableError: Redis cannot be reached.
            OnlineStoreTimeoutError: Redis did not answer in time.
            OnlineStoreError: Redis refused, for example because its memory is full, or a stored row
                is of a format version that this writer does not know. Rows already written stay;
                no row is ever written in part.
        """
        total = WriteCount(0, 0)
        calls = list(self._calls(rows))
        for start in range(0, len(calls), _SCRIPTS_PER_ROUND_TRIP):
            for outcome in self._run(calls[start : start + _SCRIPTS_PER_ROUND_TRIP]):
                n_written = outcome.count(b"1")
                total += WriteCount(n_written, len(outcome) - n_written)
        return total

    def _calls(self, rows: EncodedRows) -> Iterator[list[bytes | int]]:
        columns = (rows.timestamps, rows.orders, *rows.features)
        for start in range(0, len(rows.keys), self._rows_per_script):
            chunk = slice(start, start + self._rows_per_script)
            keys = rows.keys[chunk]
            call: list[bytes | int] = [len(keys), *keys, *self._head]
            for row in zip(*(column[chunk] for column in columns), strict=True):
                call.extend(row)
            yield call

    def _run(self, calls: list[list[bytes | int]]) -> list[bytes]:
        try:
            if self._script_hash is None:
                self._script_hash = self._load()
            outcomes = self._evaluate(calls)
            unknown = [i for i, reply in enumerate(outcomes) if isinstance(reply, NoScriptError)]
            if unknown:  # Redis was restarted or its scripts were flushed.
                self._script_hash = self._load()
                again = self._evaluate([calls[i] for i in unknown])
                outcomes = [reply for reply in outcomes if not isinstance(reply, NoScriptError)]
                outcomes += again
        except DRIVER_ERRORS as exc:
            raise translate_redis_error(exc) from exc
        return [_counted(outcome) for outcome in outcomes]

    def _load(self) -> str:
        return str(self._client.script_load(self._script))

    def _evaluate(self, calls: list[list[bytes | int]]) -> list[object]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", self._script_hash, *call)
        # Raised by the pipeline, an error would carry the command with all its values.
        return list(pipeline.execute(raise_on_error=False))


def _counted(outcome: object) -> bytes:
    if isinstance(outcome, bytes):
        return outcome
    if isinstance(outcome, ResponseError):
        kind, _, what = str(outcome).partition(" ")
        if kind in _FAULT_HINTS:
            raise OnlineStoreError(what, hint=_FAULT_HINTS[kind]) from outcome
    if isinstance(outcome, Exception):
        raise translate_redis_error(outcome) from outcome
    msg = f"the write script answered {outcome!r}"
    raise OnlineStoreError(msg)
