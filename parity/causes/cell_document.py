"""A compared cell for people, as lines, and for machines, as plain JSON data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from parity.causes.cell_comparison import ComparedCell, ComparedFeature, ViewRows
from parity.causes.evidence import EntityEvidence
from parity.causes.finding import StoredOrder
from parity.causes.finding_document import build_finding_document, order_document
from parity.causes.rows import LoadState, SourceRow, StoredRow, format_instant
from parity.compare import Cell
from parity.values import PlainValue, format_value, to_json

__all__ = ["build_cell_document", "format_cell"]

VERSION = 1


def build_cell_document(compared: ComparedCell) -> dict[str, object]:
    """Return the answer as data that `json` can write; instants are int64 microseconds, UTC."""
    asked = compared.asked
    refusal = compared.refusal
    return {
        "version": VERSION,
        "project": compared.project,
        "view": asked.view,
        "feature_service": asked.feature_service,
        "entity_key": dict(asked.keys),
        "as_of_us": asked.as_of_us,
        "is_as_known": asked.is_as_known,
        "until_us": dict(asked.until_us),
        "refusal": None if refusal is None else {"code": refusal.code, "message": refusal.message},
        "features": [_feature_document(feature) for feature in compared.features],
        "rows": [_rows_document(rows) for rows in compared.rows],
    }


def format_cell(compared: ComparedCell) -> Iterator[str]:
    """Give the answer line by line."""
    asked = compared.asked
    key = " ".join(f"{name}={value}" for name, value in asked.keys.items())
    yield f"{asked.view} {key} as of {format_instant(asked.as_of_us)}"
    for view_name, until_us in asked.until_us.items():
        yield f"offline, rows of {view_name} up to {format_instant(until_us)}"
    if compared.refusal is not None:
        yield f"the online side gives no answer: {compared.refusal}"
    for feature in compared.features:
        yield ""
        yield from _format_feature(feature)
    for rows in compared.rows:
        yield ""
        yield from _format_rows(rows)
    n_differing = len(compared.differences)
    yield ""
    yield f"cell: {len(compared.features)} features compared, {n_differing} differ"


def _format_feature(feature: ComparedFeature) -> Iterator[str]:
    field = feature.column.field
    yield f"{field.name} ({field.dtype.value}): {feature.outcome.value}"
    yield f"  offline  {_format_answer(feature.offline)}"
    yield f"  online   {_format_answer(feature.online)}"
    finding = feature.finding
    if finding is None:
        return
    yield f"  cause    {finding.cause.value}: {finding.because}"
    facts = ", ".join(
        f"{name} {_format_fact(name, value)}" for name, value in finding.evidence.facts.items()
    )
    yield f"  facts    {facts}"


def _format_answer(cell: Cell) -> str:
    status = "no answer" if cell.status is None else cell.status.name
    event = "" if cell.event_us is None else f" of {format_instant(cell.event_us)}"
    return f"{format_value(cell.value)} {status}{event}"


def _format_fact(name: str, value: PlainValue | None) -> str:
    is_instant = name in {"watermark_us", "watermark_created_us", "loaded_at_us"}
    return format_instant(value) if is_instant and isinstance(value, int) else format_value(value)


def _format_rows(rows: ViewRows) -> Iterator[str]:
    evidence = rows.evidence
    yield f"rows of {rows.read.view.name}"
    yield f"  loaded   {_format_loads(evidence.loads)}"
    if evidence.problem is not None:
        yield f"  online   cannot be read: {evidence.problem}"
    elif evidence.stored is None:
        yield f"  online   no row{_format_absence(evidence)}"
    else:
        yield f"  online   {_format_stored(evidence.stored)}"
    for row in evidence.history:
        yield f"  source   {_format_order(row.order)}, {_format_file(row)}"
        yield f"           {_format_values(row.values)}"
    n_more = evidence.n_source_rows - len(evidence.history)
    if n_more > 0 or not evidence.history:
        yield f"  source   {n_more:,} more rows" if evidence.history else "  source   no row"


def _format_absence(evidence: EntityEvidence) -> str:
    if evidence.twin_key is not None:
        return f"; it lies under another key: {evidence.twin_key}"
    return "; the key is there" if evidence.key_exists else ""


def _format_loads(loads: LoadState) -> str:
    if not loads.intervals:
        return "never by a run"
    parts = [
        f"{'the beginning' if start is None else format_instant(start)} to {format_instant(end)}"
        for start, end in loads.intervals
    ]
    if loads.loaded_at_us is not None:
        parts.append(f"last at {format_instant(loads.loaded_at_us)}")
    if loads.is_schema_current is False:
        parts.append("with another definition")
    return ", ".join(parts)


def _format_stored(stored: StoredRow) -> str:
    if stored.is_tombstone:
        return f"deleted: {_format_order(stored.order)}"
    retyped = "".join(f"; {name} as {dtype}" for name, dtype in stored.retyped.items())
    origin = stored.origin.name.lower()
    return (
        f"{_format_order(stored.order)}, written by {origin}{retyped}\n"
        f"           {_format_values(stored.values)}"
    )


def _format_order(order: StoredOrder) -> str:
    created = "none" if order.created_us is None else format_instant(order.created_us)
    sequence = (
        "" if order.sequence_us is None else f", sequence {format_instant(order.sequence_us)}"
    )
    return f"event {format_instant(order.event_us)}, created {created}{sequence}"


def _format_file(row: SourceRow) -> str:
    read = {True: "read by the last run", False: "not read by the last run"}
    known = "" if row.was_read is None else f" ({read[row.was_read]})"
    return f"{row.source_file}{known}"


def _format_values(values: Mapping[str, PlainValue | None]) -> str:
    return ", ".join(f"{name}={format_value(value)}" for name, value in values.items())


def _feature_document(feature: ComparedFeature) -> dict[str, object]:
    finding = feature.finding
    return {
        "feature": feature.column.field.name,
        "dtype": feature.column.field.dtype.value,
        "outcome": feature.outcome.value,
        "offline": _cell_document(feature.offline),
        "online": _cell_document(feature.online),
        "finding": None if finding is None else build_finding_document(finding),
    }


def _cell_document(cell: Cell) -> dict[str, object]:
    return {
        "value": to_json(cell.value),
        "status": None if cell.status is None else cell.status.name,
        "event_us": cell.event_us,
    }


def _rows_document(rows: ViewRows) -> dict[str, object]:
    evidence, stored = rows.evidence, rows.evidence.stored
    return {
        "view": rows.read.view.name,
        "loads": {
            "intervals_us": [list(interval) for interval in evidence.loads.intervals],
            "created_end_us": evidence.loads.created_end_us,
            "loaded_at_us": evidence.loads.loaded_at_us,
            "is_schema_current": evidence.loads.is_schema_current,
        },
        "stored": None if stored is None else _stored_document(stored),
        "problem": evidence.problem,
        "key_exists": evidence.key_exists,
        "twin_key": evidence.twin_key,
        "n_source_rows": evidence.n_source_rows,
        "source": [_source_document(row) for row in evidence.history],
    }


def _stored_document(stored: StoredRow) -> dict[str, object]:
    return {
        "order": order_document(stored.order),
        "origin": stored.origin.name.lower(),
        "is_tombstone": stored.is_tombstone,
        "schema": stored.schema,
        "retyped": dict(stored.retyped),
        "values": _values_document(stored.values),
    }


def _source_document(row: SourceRow) -> dict[str, object]:
    return {
        "order": order_document(row.order),
        "file": row.source_file,
        "was_read": row.was_read,
        "values": _values_document(row.values),
    }


def _values_document(values: Mapping[str, PlainValue | None]) -> dict[str, object]:
    return {name: to_json(value) for name, value in values.items()}
