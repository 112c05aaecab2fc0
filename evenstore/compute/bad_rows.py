"""Rows that cannot be encoded: found one by one, named by their key, refused or skipped."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import TypeVar

import pyarrow as pa

from evenstore.codec.refusal import show_value
from evenstore.compute.summary import tell_on_stderr
from evenstore.errors import CodecError, EntityRowsError, EvenstoreError
from evenstore.schema.model import FeatureViewSchema

__all__ = ["BadRowPolicy", "GoodRows"]

_T = TypeVar("_T")
_MOST_TOLD = 5
_REFUSALS = (CodecError, EntityRowsError, pa.ArrowException, OverflowError, ValueError)


class BadRowPolicy(enum.Enum):
    """What becomes of a run that meets a row that cannot be encoded."""

    FAIL = "fail"
    SKIP = "skip"


class GoodRows:
    """Encodes batches; a batch that is refused is halved until the bad rows are alone.

    Args:
        view: The view.
        policy: Whether the first bad row ends the run.
        tell: Where the first skipped rows are named.
    """

    def __init__(
        self,
        view: FeatureViewSchema,
        policy: BadRowPolicy,
        *,
        tell: Callable[[str], object] = tell_on_stderr,
    ) -> None:
        self._view = view
        self._policy = policy
        self._tell = tell
        self.n_refused = 0

    def encode(
        self, batch: pa.RecordBatch, encode: Callable[[pa.RecordBatch], _T]
    ) -> Iterator[tuple[pa.RecordBatch, _T]]:
        """Encode a batch, in parts where rows of it are bad.

        Yields:
            Rows with their encoded form, in order.

        Raises:
            CodecError: A row is bad and the policy is to fail; the message names the column and
                the entity key.
        """
        try:
            encoded = encode(batch)
        except _REFUSALS as exc:
            refusal = exc
        else:
            yield batch, encoded
            return
        if batch.num_rows == 1:
            self._refuse(batch, refusal)
            return
        half = batch.num_rows // 2
        for part in (batch.slice(0, half), batch.slice(half)):
            yield from self.encode(part, encode)

    def _refuse(self, row: pa.RecordBatch, refusal: Exception) -> None:
        what = refusal.message if isinstance(refusal, EvenstoreError) else str(refusal)
        (first_line, *_) = what.strip().splitlines() or [type(refusal).__name__]
        what = f"{first_line} (entity key {self._show_key(row)})"
        hint = refusal.hint if isinstance(refusal, EvenstoreError) else None
        if self._policy is BadRowPolicy.FAIL:
            skip = "`on_bad_row: skip` of batch_engine leaves such rows out"
            raise CodecError(what, hint=f"{hint}; {skip}" if hint else skip) from refusal
        self.n_refused += 1
        if self.n_refused <= _MOST_TOLD:
            self._tell(f"{self._view.name}: row skipped: {what}\n")
        elif self.n_refused == _MOST_TOLD + 1:
            self._tell(f"{self._view.name}: more rows are skipped; the summary counts them\n")

    def _show_key(self, row: pa.RecordBatch) -> str:
        named = []
        for key in self._view.join_keys:
            try:
                value = show_value(row.column(key.name)[0].as_py())
            except (ValueError, OverflowError):  # An instant that no datetime can hold.
                value = f"{row.column(key.name).cast(pa.int64())[0].as_py()} us since 1970"
            named.append(f"{key.name}={value}")
        return ", ".join(named) or "of an entityless view"
