"""Runs the label builders on lines by hand, and reads back what they wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow.parquet as pq

from evenstore.clock import FrozenClock, datetime_to_us
from tests.demo.lines import write_lines

__all__ = ["LabelBuild", "instant_us"]

Report = TypeVar("Report")


def instant_us(when: str) -> int:
    """Convert ISO 8601 without zone, read as UTC."""
    return datetime_to_us(datetime.fromisoformat(when).replace(tzinfo=UTC))


class LabelBuild(Generic[Report]):
    """One builder in one folder."""

    def __init__(self, folder: Path, build: Callable[..., Report]) -> None:
        self._folder = folder
        self._build = build
        self.out = folder / "out" / "rows.parquet"

    def run(
        self, lines: Iterable[Mapping[str, Any]], data_end: str = "2011-12-01T00:00"
    ) -> tuple[Report, list[dict[str, Any]]]:
        """Build with the clock at the end of the data; return the report and the rows."""
        end_us = instant_us(data_end)
        path = write_lines(self._folder / "lines.parquet", lines)
        report = self._build(path, self.out, data_end_us=end_us, clock=FrozenClock(end_us))
        return report, pq.read_table(self.out).to_pylist()
