"""What changed since a previous run: its JSON document against the present report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evenstore.errors import ConfigurationError
from parity.document import SCHEMA_VERSION
from parity.report import Difference, ParityReport
from parity.values import to_json

__all__ = ["CellName", "SincePrevious", "compare_previous", "name_cell", "read_previous"]

_SHOWN = 1_000


@dataclass(frozen=True, slots=True, order=True)
class CellName:
    """What tells a cell from all others of a run.

    Attributes:
        view: The view.
        feature: The feature.
        entity_key: The key as JSON text, its names in ascending order.
        as_of_us: The instant; None where runs answer for the instant at which they run.
    """

    view: str
    feature: str
    entity_key: str
    as_of_us: int | None = None


@dataclass(frozen=True, slots=True)
class SincePrevious:
    """What changed since a previous run.

    A cell is fixed when it differed then and does not now; in a sample of other entity rows it may
    also not have been compared again.

    Attributes:
        verdict: Of the previous run.
        n_compared: Cells that it compared.
        n_differing: Cells that differed in it.
        has_same_rows: Whether both runs asked for entity rows in the same way.
        n_new: Cells that differ now and did not then.
        n_fixed: Cells that differed then and do not now.
        n_still: Cells that differ in both.
        new: The first 1,000 of the new ones.
        fixed: The first 1,000 of the fixed ones.
    """

    verdict: str
    n_compared: int
    n_differing: int
    has_same_rows: bool
    n_new: int
    n_fixed: int
    n_still: int
    new: tuple[CellName, ...]
    fixed: tuple[CellName, ...]


def read_previous(path: Path) -> Mapping[str, Any]:
    """Read the JSON document of a previous run.

    Raises:
        ConfigurationError: The file cannot be read, or is no report of this version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        msg = f"cannot read the previous run `{path}`: {exc}"
        raise ConfigurationError(msg, hint="name a file that --json wrote") from exc
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        msg = f"`{path}` is no parity report of version {SCHEMA_VERSION}"
        raise ConfigurationError(msg, hint="run once without --previous to make a new one")
    return dict(document)


def compare_previous(report: ParityReport, document: Mapping[str, Any]) -> SincePrevious:
    """Compare the differing cells of a report with those of a previous run.

    Raises:
        ConfigurationError: The previous run compared something else.
    """
    then = (document["project"], document["mode"], document["subject"])
    now = (report.project, report.mode.value, report.subject)
    if then != now:
        msg = f"the previous run compared {_say(then)}, this one {_say(now)}"
        raise ConfigurationError(msg, hint="keep one JSON file per project, mode and service")
    is_stepped = report.mode.value == "golden"
    cells_now = {name_cell(difference, is_stepped=is_stepped) for difference in report.differences}
    cells_then = set(_cells(document["differences"], is_stepped=is_stepped))
    new, fixed = sorted(cells_now - cells_then), sorted(cells_then - cells_now)
    return SincePrevious(
        verdict=str(document["verdict"]),
        n_compared=int(document["total"]["n_compared"]),
        n_differing=int(document["total"]["n_differing"]),
        has_same_rows=(document["seed"], document["n_rows"]) == (report.seed, report.n_rows),
        n_new=len(new),
        n_fixed=len(fixed),
        n_still=len(cells_now & cells_then),
        new=tuple(new[:_SHOWN]),
        fixed=tuple(fixed[:_SHOWN]),
    )


def name_cell(difference: Difference, *, is_stepped: bool) -> CellName:
    """Name the cell of a difference."""
    return CellName(
        difference.view_name,
        difference.feature,
        _key_text({name: to_json(value) for name, value in difference.entity_key.items()}),
        difference.as_of_us if is_stepped else None,
    )


def _cells(differences: Iterable[Mapping[str, Any]], *, is_stepped: bool) -> Iterable[CellName]:
    for cell in differences:
        as_of_us = int(cell["as_of_us"]) if is_stepped else None
        yield CellName(cell["view"], cell["feature"], _key_text(cell["entity_key"]), as_of_us)


def _key_text(entity_key: Mapping[str, object]) -> str:
    return json.dumps(entity_key, sort_keys=True, ensure_ascii=False)


def _say(run: tuple[str, str, str]) -> str:
    project, mode, subject = run
    return f"`{subject}` of project `{project}` in mode {mode}"
