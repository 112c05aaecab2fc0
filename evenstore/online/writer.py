"""Writes encoded rows to Redis: newest wins, decided inside Redis, in pipelined chunks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import redis

from evenstore.codec.command import encode_command
from evenstore.codec.feast_encoder import FeastRowEncoder
from evenstore.codec.feast_row import FeastRowLayout
from evenstore.codec.packed_encoder import PackedRowEncoder
from evenstore.codec.packed_row import view_id
from evenstore.codec.resp import ScriptCalls
from evenstore.codec.rows import EncodedRows, RowEncoder
from evenstore.online.row_schemas import register_schema_command
from evenstore.online.scripts import Script
from evenstore.schema.model import FeatureViewSchema, Layout

__all__ = ["RowWriter", "WriteCount", "expires_after_us", "open_encoder"]

# A script stops every other client while it runs: both bounds keep it to a few milliseconds.
_ROWS_PER_SCRIPT = 200
_VALUES_PER_SCRIPT = 5_000


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What became of rows: written, or superseded by an equal or greater stored row."""

    n_written: int
    n_superseded: int

    def __add__(self, other: WriteCount) -> WriteCount:
        return WriteCount(self.n_written + other.n_written, self.n_superseded + other.n_superseded)


def open_encoder(
    view: FeatureViewSchema,
    project: str,
    layout: Layout,
    *,
    expiry_grace_us: int | None = None,
) -> RowEncoder:
    """Return what makes the bytes of a view's rows.

    Args:
        view: The view.
        project: The Feast project.
        layout: How rows lie in Redis.
        expiry_grace_us: How long after its ttl a row may be forgotten by Redis itself; None for
            never. Only rows that no reader is shown any more are: those of a view whose ttl is
            enforced and whose expired values are withheld, in the packed layout.
    """
    if layout is Layout.FEAST:
        return FeastRowEncoder(view, project)
    row_life_us = expires_after_us(view, expiry_grace_us)
    return PackedRowEncoder(view, project, expires_after_us=row_life_us)


class RowWriter:
    """Writes rows of one view; safe to use from several processes at once.

    A chunk of rows is one script call; a script is atomic, and so is each row. Not thread-safe.

    Args:
        client: Redis.
        project: The Feast project.
        view: The view.
        layout: How rows lie in Redis.

    Attributes:
        layout: The same.
    """

    def __init__(
        self,
        client: redis.Redis,
        project: str,
        view: FeatureViewSchema,
        layout: Layout = Layout.PACKED,
    ) -> None:
        self._client = client
        self.layout = layout
        self._register = encode_command(register_schema_command(project, view))
        self._view = view
        fields = tuple(FeastRowLayout(view).feature_fields.values())
        self._feast_head: tuple[bytes | int, ...] = (
            FeastRowLayout(view).timestamp_field,
            FeastRowLayout(view).order_field,
            len(fields),
            *fields,
        )
        self._script = Script(f"write_{layout.value}.lua")

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
        if not len(rows):
            return WriteCount(0, 0)
        calls = list(self._calls(rows))
        outcomes = self._script.run(self._client, calls, before=self._register)
        n_written = sum(outcome.count(b"1") for outcome in outcomes)
        return WriteCount(n_written, len(rows) - n_written)

    def _calls(self, rows: EncodedRows) -> Iterable[list[bytes | memoryview]]:
        n_columns = len(rows.columns)
        head: tuple[bytes | int, ...] = (view_id(self._view.name), n_columns)
        if self.layout is Layout.FEAST:
            head = self._feast_head
        rows_per_call = max(
            1, min(_ROWS_PER_SCRIPT, _VALUES_PER_SCRIPT // (len(self._view.features) + 2))
        )
        calls = ScriptCalls(self._script.sha, head, rows_per_call=rows_per_call)
        return calls.encode(rows.keys, rows.columns)


def expires_after_us(view: FeatureViewSchema, expiry_grace_us: int | None) -> int | None:
    """Return how long after its event timestamp Redis may forget a row; None for never."""
    ttl_us = view.enforced_ttl_us
    if expiry_grace_us is None or ttl_us is None or not view.withholds_expired:
        return None
    return ttl_us + expiry_grace_us
