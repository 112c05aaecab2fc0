"""Writes encoded rows to Redis: newest wins, decided inside Redis, in pipelined chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

import redis
from redis.exceptions import NoScriptError

from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.rows import EncodedRows
from evenstore.errors import OnlineStoreError
from evenstore.online.connection import translate_redis_error
from evenstore.schema.model import FeatureViewSchema

__all__ = ["RowWriter", "WriteCount"]

_ROWS_PER_SCRIPT = 200
_SCRIPTS_PER_ROUND_TRIP = 10


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
        self._script = resources.files("evenstore.online").joinpath("newest_wins.lua").read_text()
        self._script_hash: str | None = None

    def write(self, rows: EncodedRows) -> WriteCount:
        """Write rows, each where it is greater than the stored one.

        Repeating a call is harmless: an equal row never overwrites.

        Raises:
            OnlineStoreUnavailableError: Redis cannot be reached.
            OnlineStoreTimeoutError: Redis did not answer in time.
            OnlineStoreError: Redis refused, for example because its memory is full.
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
        for start in range(0, len(rows.keys), _ROWS_PER_SCRIPT):
            chunk = slice(start, start + _ROWS_PER_SCRIPT)
            keys = rows.keys[chunk]
            call: list[bytes | int] = [len(keys), *keys, *self._head]
            for row in zip(*(column[chunk] for column in columns), strict=True):
                call.extend(row)
            yield call

    def _run(self, calls: list[list[bytes | int]]) -> list[bytes]:
        try:
            if self._script_hash is None:
                self._script_hash = self._load()
            try:
                return self._evaluate(calls)
            except NoScriptError:  # Redis was restarted or its scripts were flushed.
                self._script_hash = self._load()
                return self._evaluate(calls)
        except (redis.RedisError, OSError) as exc:
            raise translate_redis_error(exc) from exc

    def _load(self) -> str:
        return str(self._client.script_load(self._script))

    def _evaluate(self, calls: list[list[bytes | int]]) -> list[bytes]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", self._script_hash, *call)
        outcomes = pipeline.execute()
        for outcome in outcomes:
            if not isinstance(outcome, bytes):
                msg = f"the write script answered {outcome!r}"
                raise OnlineStoreError(msg)
        return list(outcomes)
