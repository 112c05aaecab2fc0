"""Redis commands as the bytes that go over the wire, many rows at once (RESP, version 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from evenstore.codec.cells import Cells, join_cells, numbered_cells
from evenstore.codec.command import encode_bulk

__all__ = ["ScriptCalls", "bulk_cells"]


def bulk_cells(columns: Sequence[Cells]) -> Cells:
    """Encode each row's arguments, one after the other."""
    parts: list[Cells | bytes] = []
    for position, column in enumerate(columns):
        # With the end of the line before: one piece less to join for each column.
        line = b"\r\n$%d\r\n" if position else b"$%d\r\n"
        parts.append(numbered_cells(pc.binary_length(column), line.__mod__))
        parts.append(column)
    return join_cells(*parts, b"\r\n")


class ScriptCalls:
    """Calls of one script for rows: `EVALSHA sha n keys... head... rows...`.

    Args:
        sha: The script's hash, 40 hexadecimal digits.
        head: Arguments that are the same in every call.
        rows_per_call: Most rows of one call.
    """

    def __init__(self, sha: str, head: Sequence[bytes | int], *, rows_per_call: int) -> None:
        self._start = encode_bulk("EVALSHA") + encode_bulk(sha)
        self._head = b"".join(encode_bulk(argument) for argument in head)
        self._n_head = len(head)
        self._rows_per_call = rows_per_call

    def encode(self, keys: Cells, columns: Sequence[Cells]) -> Iterator[list[bytes | memoryview]]:
        """Encode the calls for some rows, each as pieces to be sent one after the other.

        Args:
            keys: One Redis key a row.
            columns: The row's arguments.
        """
        key_data, key_at = _flat(bulk_cells([keys]))
        row_data, row_at = _flat(bulk_cells(columns))
        for start in range(0, len(keys), self._rows_per_call):
            end = min(start + self._rows_per_call, len(keys))
            n_rows = end - start
            n_arguments = 3 + n_rows + self._n_head + n_rows * len(columns)
            yield [
                b"*%d\r\n%b%b" % (n_arguments, self._start, encode_bulk(n_rows)),
                key_data[key_at[start] : key_at[end]],
                self._head,
                row_data[row_at[start] : row_at[end]],
            ]


def _flat(cells: Cells) -> tuple[memoryview, npt.NDArray[np.int32]]:
    """Return the bytes of all cells, which lie one behind the other, and where each starts."""
    _, offsets, data = cells.buffers()
    starts = np.frombuffer(offsets, np.int32, len(cells) + 1, cells.offset * 4)
    return memoryview(data or b""), starts
