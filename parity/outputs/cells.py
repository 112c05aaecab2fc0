"""The differing cells as a Parquet file: one row per cell, for a notebook or a query."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.whole_file import whole_file
from parity.compare import Cell
from parity.report import Difference, ParityReport
from parity.values import to_json

__all__ = ["CELLS_SCHEMA", "build_cells", "write_cells"]

_INSTANT = pa.timestamp("us", tz="UTC")

CELLS_SCHEMA = pa.schema(
    [
        pa.field("view", pa.string(), nullable=False),
        pa.field("feature", pa.string(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("entity_key", pa.string(), nullable=False),
        pa.field("as_of", _INSTANT, nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("cause", pa.string()),
        pa.field("because", pa.string()),
        pa.field("command", pa.string()),
        pa.field("is_waived", pa.bool_(), nullable=False),
        *(
            field
            for side in ("offline", "online")
            for field in (
                pa.field(f"{side}_value", pa.string()),
                pa.field(f"{side}_number", pa.float64()),
                pa.field(f"{side}_status", pa.string()),
                pa.field(f"{side}_event_timestamp", _INSTANT),
            )
        ),
        pa.field("source_file", pa.string()),
    ]
)
"""Keys and values are JSON text, exact; numbers also as float64, to be computed with."""


def build_cells(report: ParityReport) -> pa.Table:
    """Make a table of the report's differing cells, in the report's order.

    Shapes:
        out: one row per kept difference, columns as `CELLS_SCHEMA`.
    """
    return pa.Table.from_pylist([_row(cell) for cell in report.differences], CELLS_SCHEMA)


def write_cells(report: ParityReport, path: Path) -> None:
    """Write the differing cells; without any, a file without rows.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(path) as temporary:
        pq.write_table(build_cells(report), temporary, compression="zstd")


def _row(difference: Difference) -> dict[str, object]:
    finding = difference.finding
    key = {name: to_json(value) for name, value in difference.entity_key.items()}
    return {
        "view": difference.view_name,
        "feature": difference.feature,
        "dtype": difference.dtype.value,
        "entity_key": json.dumps(key, sort_keys=True, ensure_ascii=False),
        "as_of": difference.as_of_us,
        "outcome": difference.outcome.value,
        "cause": None if finding is None else finding.cause.value,
        "because": None if finding is None else finding.because,
        "command": None if finding is None else finding.command,
        "is_waived": difference.is_waived,
        **_side("offline", difference.offline),
        **_side("online", difference.online),
        "source_file": None if finding is None else finding.evidence.source_file,
    }


def _side(side: str, cell: Cell) -> dict[str, object]:
    value = cell.value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = None if value is None else json.dumps(to_json(value), ensure_ascii=False)
    return {
        f"{side}_value": text,
        f"{side}_number": float(value) if is_number and isinstance(value, int | float) else None,
        f"{side}_status": None if cell.status is None else cell.status.name,
        f"{side}_event_timestamp": cell.event_us,
    }
