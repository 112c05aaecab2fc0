"""Compares a run's model reports with the committed ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

__all__ = ["assert_equal_reports"]

# Library versions and processors move the last digits of a fit; the documents show three or four.
_TOLERANCE = 1e-3


def assert_equal_reports(made: Path, committed: Path) -> None:
    """Check that every number of every report is the committed one, and that each has its plots."""
    names = sorted(path.name for path in committed.iterdir())
    assert sorted(path.name for path in made.iterdir()) == names
    assert names
    for name in names:
        files = sorted(path.name for path in (committed / name).iterdir())
        assert sorted(path.name for path in (made / name).iterdir()) == files
        assert {"report.md", "report.json"} < set(files)
        _assert_close(_read(made / name), _read(committed / name), name)


def _read(folder: Path) -> Any:
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for varying in ("versions", "dataset_hash"):
        _drop(document, varying)
    return document


def _drop(document: Any, key: str) -> None:
    if isinstance(document, dict):
        document.pop(key, None)
        for value in document.values():
            _drop(value, key)


def _assert_close(made: Any, committed: Any, where: str) -> None:
    if isinstance(committed, dict):
        assert made.keys() == committed.keys(), where
        for key in committed:
            _assert_close(made[key], committed[key], f"{where}.{key}")
    elif isinstance(committed, list):
        assert len(made) == len(committed), where
        for i, (one, other) in enumerate(zip(made, committed, strict=True)):
            _assert_close(one, other, f"{where}[{i}]")
    elif isinstance(committed, float) and isinstance(made, float):
        assert math.isclose(made, committed, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE), where
    else:
        assert made == committed, where
