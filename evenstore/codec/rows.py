"""Rows of one view, column by column: what an encoder takes, and what it makes for a writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evenstore.codec.cells import Cells, number_array
from evenstore.codec.feast_row import encode_timestamp
from evenstore.errors import CodecError
from evenstore.schema.model import FeatureViewSchema
from evenstore.semantics import Origin

__all__ = ["EncodedRows", "RowBatch", "RowEncoder", "RowInstants"]


@dataclass(frozen=True, slots=True)
class RowInstants:
    """What the total order of rows goes by.

    Attributes:
        event_us: Event timestamps.
        created_us: Created timestamps; what is in a null's place counts for nothing.
        is_created_null: Which rows have none.
        sequence_us: Ingest sequences; rows of one run or push share theirs.
        origin: Who brings them.
    """

    event_us: npt.NDArray[np.int64]
    created_us: npt.NDArray[np.int64]
    is_created_null: npt.NDArray[np.bool_]
    sequence_us: npt.NDArray[np.int64]
    origin: Origin

    def check(self, view_name: str) -> None:
        """Refuse event timestamps that Feast cannot hold.

        Raises:
            CodecError: One is not in the years 1 to 9999.
        """
        if not len(self.event_us):
            return
        for event_us in (int(self.event_us.min()), int(self.event_us.max())):
            try:
                encode_timestamp(event_us)
            except CodecError as exc:
                msg = f"{view_name}: {exc.message}"
                raise CodecError(msg, hint=exc.hint) from exc


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows to encode, equally long columns.

    Attributes:
        keys: One column per join key of the view, in its order, without nulls.
        features: One column per feature, in declaration order: its Arrow type, or cells.
        encoded: Names of the features whose columns are cells of Feast's `Value` bytes already.
        instants: Their order.
    """

    keys: Sequence[pa.Array]
    features: Sequence[pa.Array]
    encoded: frozenset[str]
    instants: RowInstants

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.instants.event_us)

    @staticmethod
    def of_arrow(
        batch: pa.RecordBatch,
        view: FeatureViewSchema,
        *,
        event_column: str,
        created_column: str,
        sequence_us: int,
    ) -> RowBatch:
        """Take a batch that a run read.

        Args:
            batch: Join keys and features under their declared names and types.
            view: The view.
            event_column: int64 microseconds.
            created_column: int64 microseconds, null where the source has none.
            sequence_us: The microsecond at which the run read its source; all its rows share it.
        """
        created = batch.column(created_column)
        return RowBatch(
            keys=[batch.column(key.name) for key in view.join_keys],
            features=[batch.column(field.name) for field in view.features],
            encoded=frozenset(),
            instants=RowInstants(
                event_us=number_array(batch.column(event_column)).astype(np.int64, copy=False),
                created_us=number_array(created).astype(np.int64, copy=False),
                is_created_null=created.is_null().to_numpy(zero_copy_only=False),
                sequence_us=np.full(batch.num_rows, sequence_us, np.int64),
                origin=Origin.RUN,
            ),
        )


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows of one view as bytes.

    Attributes:
        keys: Redis keys.
        columns: What the write script takes for each row, in its order.
    """

    keys: Cells
    columns: tuple[Cells, ...]

    def __len__(self) -> int:
        return len(self.keys)


class RowEncoder(Protocol):
    """Makes bytes of rows in one layout; build once per view, use from any thread."""

    def encode(self, rows: RowBatch) -> EncodedRows:
        """Encode rows.

        Raises:
            CodecError: A value is not of its declared type, a list holds a null, or an instant is
                out of range; the message names view and feature.
        """
        ...
