"""The report of a fit: a folder with a page for people, the numbers as JSON, and figures.

No wall clock, path or host is in it: the same dataset, options and versions give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.record import ModelRecord
from training.report.figures import FIGURES, render_figures
from training.report.page import render_page
from training.whole_folder import whole_folder

__all__ = ["holds_report", "saved_report"]

_REPORT_VERSION = 1
_PAGE = "report.md"
_DOCUMENT = "report.json"


@contextmanager
def saved_report(record: ModelRecord, path: Path, *, notes: Sequence[str] = ()) -> Iterator[None]:
    """Write a report's folder that takes its place when the block succeeds.

    Args:
        record: Of the fitted model.
        path: The folder. A report that is there already is replaced; a folder in which anything
            else lies is left alone.
        notes: Caveats that the numbers do not tell, one sentence each.

    Raises:
        ConfigurationError: The path is a file or a folder of something else, or cannot be written.
    """
    with whole_folder(path, is_ours=holds_report, kind="report") as folder:
        figures = render_figures(record)
        for name, svg in figures.items():
            (folder / name).write_bytes(svg)
        (folder / _PAGE).write_text(render_page(record, tuple(figures), notes), encoding="utf-8")
        text = json.dumps(_document(record, notes), indent=1, sort_keys=True)
        (folder / _DOCUMENT).write_text(text + "\n", encoding="utf-8")
        yield


def holds_report(path: Path) -> bool:
    """Tell whether a folder holds a report and nothing else."""
    names = {item.name for item in path.iterdir()}
    return {_PAGE, _DOCUMENT} <= names <= {_PAGE, _DOCUMENT, *FIGURES}


def _document(record: ModelRecord, notes: Sequence[str]) -> dict[str, Any]:
    return {**record.to_document(), "report_version": _REPORT_VERSION, "notes": list(notes)}
