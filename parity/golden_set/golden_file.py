"""A golden set as a file of JSON lines: one header, then one line per entity row.

```text
line   holds
1      format, version, project, feature service, seed, schema fingerprint, types, strata, hash
2...   as_of, entity_row (join keys and request data), strata by view, expected values by view
```

Rows are in ascending order of their instants. Text outside ASCII is escaped, so that a reviewer
sees what is there. The hash is of everything but itself: a file that was edited by hand is refused.
A reader refuses a version that it does not know; a field that it does not know is refused too,
because it may change what is expected.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from evenstore.clock import datetime_to_us, format_us
from evenstore.dtypes import Dtype
from evenstore.errors import ParityError
from evenstore.schema.model import Field
from evenstore.semantics import Status
from evenstore.whole_file import whole_file
from parity.compare import Cell, CellColumn
from parity.golden import StratumCount
from parity.golden_set.stored_value import read_value, write_value
from parity.strata import Boundary, Stratum
from parity.values import PlainValue

__all__ = ["FrozenFeature", "GoldenFile", "read_golden_file", "write_golden_file"]

_FORMAT = "evenstore-golden-set"
_VERSION = 1
_HASH = "content_sha256"
_REBUILD = "restore the file, or build it anew: `evenstore-parity golden build`"


@dataclass(frozen=True, slots=True)
class FrozenFeature:
    """One feature of the answer, and what it is expected to be where values were frozen.

    Attributes:
        view_name: The view, by the name that it is asked for by.
        field: The feature.
        expected: One cell per entity row; None where values were not frozen.
    """

    view_name: str
    field: Field
    expected: CellColumn | None = None

    @property
    def name(self) -> str:
        """The feature as references name it."""
        return f"{self.view_name}:{self.field.name}"


@dataclass(frozen=True, slots=True)
class GoldenFile:
    """A golden set: entity rows with their instants, and what may be expected of them.

    Attributes:
        project: The Feast project.
        feature_service: What is asked for.
        schema_fingerprint: Of the service's features, as a gateway states it for the service.
        seed: Of the draw.
        fields: Join keys and request data, with their types.
        features: In the order of the service.
        columns: Values of `fields`, by name, one per entity row.
        as_of_us: The instant of each entity row, ascending.
        row_strata: Per entity row, the names of its strata by view.
        strata: How many entities and rows there are of each stratum and boundary.
        content_sha256: Hash of the whole file but itself; empty before it is written.
    """

    project: str
    feature_service: str
    schema_fingerprint: str
    seed: int
    fields: tuple[Field, ...]
    features: tuple[FrozenFeature, ...]
    columns: Mapping[str, Sequence[PlainValue]]
    as_of_us: tuple[int, ...]
    row_strata: tuple[Mapping[str, tuple[str, ...]], ...]
    strata: tuple[StratumCount, ...]
    content_sha256: str = ""

    @property
    def n_rows(self) -> int:
        """Entity rows."""
        return len(self.as_of_us)

    @property
    def instants_us(self) -> tuple[int, ...]:
        """The distinct instants, ascending."""
        return tuple(sorted(set(self.as_of_us)))

    @property
    def is_frozen(self) -> bool:
        """Tell whether expected values are kept."""
        return bool(self.features) and all(f.expected is not None for f in self.features)

    def rows_at(self, as_of_us: int) -> range:
        """Return the positions of an instant's entity rows."""
        first = bisect.bisect_left(self.as_of_us, as_of_us)
        return range(first, bisect.bisect_right(self.as_of_us, as_of_us))

    def is_tied(self, view_name: str) -> list[bool]:
        """Tell per entity row whether the view's row was tied within its snapshot."""
        tie = Stratum.TIE.value
        return [tie in strata.get(view_name, ()) for strata in self.row_strata]


def write_golden_file(golden: GoldenFile, path: Path) -> str:
    """Write a golden set so that a reader finds the old file or the whole new one.

    Returns:
        The content hash.

    Raises:
        ConfigurationError: The file cannot be written.
        ParityError: An expected value cannot be kept.
    """
    header = _header(golden)
    lines = [_dump(row) for row in _rows(golden)]
    header[_HASH] = _hash(header, lines)
    with whole_file(path) as temporary:
        temporary.write_text("\n".join([_dump(header), *lines, ""]), encoding="ascii")
    return str(header[_HASH])


def read_golden_file(path: Path) -> GoldenFile:
    """Read a golden set.

    Raises:
        ParityError: There is no such file, or it is no golden set, was changed since it was
            built, or is of a version that is not known.
    """
    try:
        first, *lines = path.read_text(encoding="ascii").splitlines()
        header = json.loads(first)
        version = header["version"] if header["format"] == _FORMAT else None
    except OSError as exc:
        msg = f"the golden set `{path}` cannot be read: {exc.strerror}"
        raise ParityError(msg, hint="build it: `evenstore-parity golden build`") from exc
    except (ValueError, KeyError, TypeError) as exc:
        msg = f"`{path}` is no golden set"
        raise ParityError(msg, hint=_REBUILD) from exc
    if version != _VERSION:
        msg = f"`{path}` is a golden set of version {version!r}, not {_VERSION}"
        raise ParityError(msg, hint="use the evenstore that built it, or build it anew")
    stated = header.pop(_HASH, None)
    if stated != _hash(header, lines):
        msg = f"`{path}` was changed since it was built: its content hash differs"
        raise ParityError(msg, hint=_REBUILD)
    try:
        return _golden_of(header, [json.loads(line) for line in lines], str(stated))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        msg = f"`{path}` is a damaged golden set: {type(exc).__name__} {exc}"
        raise ParityError(msg, hint=_REBUILD) from exc


def _header(golden: GoldenFile) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "project": golden.project,
        "feature_service": golden.feature_service,
        "schema_fingerprint": golden.schema_fingerprint,
        "seed": golden.seed,
        "n_rows": golden.n_rows,
        "n_instants": len(golden.instants_us),
        "is_frozen": golden.is_frozen,
        "entity_row": {field.name: field.dtype.value for field in golden.fields},
        "features": [[f.view_name, f.field.name, f.field.dtype.value] for f in golden.features],
        "strata": [
            [count.view_name, count.stratum.value, count.n_entities, count.n_rows]
            for count in golden.strata
        ],
    }


def _rows(golden: GoldenFile) -> Iterator[dict[str, object]]:
    for row_idx in range(golden.n_rows):
        row: dict[str, object] = {
            "as_of": format_us(golden.as_of_us[row_idx]),
            "entity_row": {
                field.name: write_value(golden.columns[field.name][row_idx], where=field.name)
                for field in golden.fields
            },
            "strata": golden.row_strata[row_idx],
        }
        if golden.is_frozen:
            row["expected"] = _expected(golden.features, row_idx)
        yield row


def _expected(features: Sequence[FrozenFeature], row_idx: int) -> dict[str, Any]:
    """Make one row's expected cells; what is PRESENT need not say so, nor what has no row."""
    views: dict[str, dict[str, Any]] = {}
    for feature in features:
        if feature.expected is None:
            continue
        cell = feature.expected.cell(row_idx)
        event = None if cell.event_us is None else format_us(cell.event_us)
        view = views.setdefault(feature.view_name, {"event": event, "values": {}, "statuses": {}})
        view["values"][feature.field.name] = write_value(cell.value, where=feature.name)
        if cell.status is not None and cell.status is not Status.PRESENT:
            view["statuses"][feature.field.name] = cell.status.name
    return {name: None if _is_not_found(view) else view for name, view in views.items()}


def _is_not_found(view: Mapping[str, Any]) -> bool:
    statuses = [view["statuses"].get(name) for name in view["values"]]
    is_null = view["event"] is None and not any(v is not None for v in view["values"].values())
    return is_null and set(statuses) == {Status.NOT_FOUND.name}


def _golden_of(header: dict[str, Any], rows: list[dict[str, Any]], stated: str) -> GoldenFile:
    fields = tuple(Field(name, Dtype(dtype)) for name, dtype in header["entity_row"].items())
    asked = [(view, Field(name, Dtype(dtype))) for view, name, dtype in header["features"]]
    as_of_us = tuple(_instant(row["as_of"]) for row in rows)
    if list(as_of_us) != sorted(as_of_us) or len(rows) != header["n_rows"]:
        msg = "rows are missing or out of order"
        raise ValueError(msg)
    return GoldenFile(
        project=header["project"],
        feature_service=header["feature_service"],
        schema_fingerprint=header["schema_fingerprint"],
        seed=header["seed"],
        fields=fields,
        features=tuple(
            FrozenFeature(view, field, _frozen(view, field, rows) if header["is_frozen"] else None)
            for view, field in asked
        ),
        columns={field.name: _column(field, rows) for field in fields},
        as_of_us=as_of_us,
        row_strata=tuple({v: tuple(names) for v, names in row["strata"].items()} for row in rows),
        strata=tuple(
            StratumCount(view, _stratum(name), n_entities, n_rows)
            for view, name, n_entities, n_rows in header["strata"]
        ),
        content_sha256=stated,
    )


def _column(field: Field, rows: Sequence[Mapping[str, Any]]) -> list[PlainValue]:
    values = []
    for row in rows:
        value = read_value(row["entity_row"][field.name], field.dtype, where=field.name)
        if value is None:
            raise ValueError(field.name)
        values.append(value)
    return values


def _frozen(view: str, field: Field, rows: Sequence[Mapping[str, Any]]) -> CellColumn:
    cells = []
    for row in rows:
        found = row["expected"][view]
        if found is None:
            cells.append(Cell(None, Status.NOT_FOUND, None))
            continue
        status = Status[found["statuses"].get(field.name, Status.PRESENT.name)]
        event_us = None if found["event"] is None else _instant(found["event"])
        value = read_value(found["values"][field.name], field.dtype, where=f"{view}:{field.name}")
        cells.append(Cell(value, status, event_us))
    return CellColumn(
        [cell.value for cell in cells],
        [cell.status for cell in cells],
        [cell.event_us for cell in cells],
    )


def _instant(text: str) -> int:
    return datetime_to_us(datetime.fromisoformat(text))


def _stratum(name: str) -> Stratum | Boundary:
    boundaries = {boundary.value: boundary for boundary in Boundary}
    return boundaries[name] if name in boundaries else Stratum(name)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _hash(header: Mapping[str, object], lines: Sequence[str]) -> str:
    known = {name: value for name, value in header.items() if name != _HASH}
    return hashlib.sha256("\n".join([_dump(known), *lines]).encode("ascii")).hexdigest()
