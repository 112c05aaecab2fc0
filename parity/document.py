"""The report as a JSON document, and its safe writing.

`schema_version` grows when a key changes its meaning or goes away; new keys may come at any time,
so readers ignore those they do not know. The document is plain JSON: NaN, the infinities and bytes
are strings (`parity.values.to_json`), instants are int64 microseconds since the epoch, UTC. Its
JSON Schema is docs/reference/parity-report.schema.json.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path

from evenstore.whole_file import whole_file
from parity.causes.finding import Cause
from parity.causes.finding_document import build_finding_document
from parity.compare import Cell, Outcome
from parity.counts import Counts
from parity.report import Difference, FeatureComparison, Mode, ParityReport
from parity.statistics.intervals import Rate, estimate_rate
from parity.statistics.numbers import Quantiles
from parity.values import PlainValue, Undecodable, to_json
from parity.waivers.waiver import WaiverUse

__all__ = ["SCHEMA_VERSION", "build_document", "render_document", "write_document"]

SCHEMA_VERSION = 2


def build_document(report: ParityReport) -> dict[str, object]:
    """Turn a report into JSON-ready data, every difference included."""
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": report.mode.value,
        "verdict": report.verdict.value,
        "violations": report.violations,
        "notes": list(report.notes),
        "project": report.project,
        "subject": report.subject,
        "feature_service": None if report.mode is Mode.FULL else report.subject,
        "gateway": report.gateway,
        "schema_fingerprint": report.schema_fingerprint,
        "is_clock_frozen": report.is_clock_frozen,
        "first_as_of_us": report.first_as_of_us,
        "last_as_of_us": report.last_as_of_us,
        "seed": report.seed,
        "n_rows_asked": report.n_rows_asked,
        "n_rows": report.n_rows,
        "min_coverage": report.min_coverage,
        "allows_unknown_causes": report.allows_unknown_causes,
        "total": _counts(report.total),
        "views": _views(report),
        "strata": [
            {
                "view": count.view_name,
                "stratum": count.stratum.value,
                "n_entities": count.n_entities,
                "n_rows": count.n_rows,
            }
            for count in report.strata
        ],
        "refusals": [
            {
                "row_idx": refusal.row_idx,
                "entity_key": _key(refusal.entity_key),
                "code": refusal.code,
                "message": refusal.message,
            }
            for refusal in report.refusals
        ],
        "waivers": [_waiver(use) for use in report.waivers],
        "previous": None if report.previous is None else _plain(report.previous),
        "sections": _plain(report.sections),
        "differences": [_difference(difference) for difference in report.differences],
    }


def render_document(document: Mapping[str, object]) -> str:
    """Render a document as JSON text that every JSON reader takes."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_document(document: Mapping[str, object], path: Path) -> None:
    """Write a document so that a reader finds the old file or the whole new one.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(render_document(document), encoding="utf-8")


def _views(report: ParityReport) -> list[dict[str, object]]:
    features: dict[str, list[object]] = {}
    for feature in report.features:
        features.setdefault(feature.view_name, []).append(_feature(feature))
    facts = {facts.view_name: facts for facts in report.view_facts}
    return [
        {
            "view": name,
            **_counts(counts),
            "facts": _plain(facts[name]) if name in facts else None,
            "features": features[name],
        }
        for name, counts in report.views.items()
    ]


def _counts(counts: Counts) -> dict[str, object]:
    return {
        "n_compared": counts.n_compared,
        "n_non_null": counts.n_non_null,
        "n_both_null": counts.n_both_null,
        "n_differing": counts.n_differing,
        "n_waived": counts.n_waived,
        "n_ambiguous": counts.n_ambiguous,
        "n_bit_equal": counts.n_bit_equal,
        "coverage": counts.coverage,
        "by_outcome": {outcome.value: counts.by_outcome[outcome] for outcome in Outcome},
        "by_cause": {cause.value: n for cause in Cause if (n := counts.by_cause[cause])},
        "statuses": [
            {
                "offline": None if offline is None else offline.name,
                "online": None if online is None else online.name,
                "n_cells": n_cells,
            }
            for (offline, online), n_cells in sorted(
                counts.statuses.items(), key=lambda item: (-item[1], str(item[0]))
            )
        ],
        "rates": {
            "differing": _rate(estimate_rate(counts.n_differing, counts.n_compared)),
            "non_null": _rate(estimate_rate(counts.n_non_null, counts.n_compared)),
            **{
                outcome.value: _rate(estimate_rate(counts.by_outcome[outcome], counts.n_compared))
                for outcome in Outcome
                if counts.by_outcome[outcome]
            },
        },
    }


def _rate(rate: Rate) -> dict[str, float]:
    return {"share": rate.share, "low": rate.low, "high": rate.high}


def _feature(feature: FeatureComparison) -> dict[str, object]:
    return {
        "feature": feature.feature,
        "dtype": feature.dtype.value,
        **_counts(feature.counts),
        "n_differences_kept": len(feature.differences),
        "statistics": None if feature.statistics is None else _plain(feature.statistics),
    }


def _difference(difference: Difference) -> dict[str, object]:
    finding = difference.finding
    return {
        "outcome": difference.outcome.value,
        "view": difference.view_name,
        "feature": difference.feature,
        "dtype": difference.dtype.value,
        "row_idx": difference.row_idx,
        "entity_key": _key(difference.entity_key),
        "as_of_us": difference.as_of_us,
        "offline": _cell(difference.offline),
        "online": _cell(difference.online),
        "is_waived": difference.is_waived,
        "finding": None if finding is None else build_finding_document(finding),
    }


def _waiver(use: WaiverUse) -> dict[str, object]:
    waiver = use.waiver
    return {
        "view": waiver.view_name,
        "feature": waiver.feature,
        "tolerance": _plain(waiver.tolerance),
        "causes": sorted(cause.value for cause in waiver.causes),
        "reason": waiver.reason,
        "owner": waiver.owner,
        "expires": waiver.expires.isoformat(),
        "n_within_tolerance": use.n_within_tolerance,
        "n_waived": use.n_waived,
        "problems": list(use.problems),
        "is_compared": use.is_compared,
    }


def _key(entity_key: Mapping[str, PlainValue]) -> dict[str, object]:
    return {name: to_json(value) for name, value in entity_key.items()}


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "value": to_json(cell.value),
        "status": None if cell.status is None else cell.status.name,
        "event_us": cell.event_us,
    }


def _plain(data: object) -> object:
    """Make JSON of plain dataclasses, field by field; values as `to_json` does."""
    if isinstance(data, Quantiles):
        pairs = zip(data.shares, data.values, strict=True)
        return {f"p{share * 100:g}": _plain(value) for share, value in pairs}
    if isinstance(data, Undecodable):
        return to_json(data)
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {field.name: _plain(getattr(data, field.name)) for field in dataclasses.fields(data)}
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    return data.isoformat() if isinstance(data, dt.date) else _scalar(data)


def _scalar(value: object) -> object:
    return to_json(value) if isinstance(value, bytes | float) else value
