"""The report as a JSON document, and its safe writing.

`schema_version` grows when a key changes its meaning or goes away; new keys may come at any time,
so readers ignore those they do not know. The document is plain JSON: NaN, the infinities and bytes
are strings (`parity.values.to_json`), instants are int64 microseconds since the epoch, UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from evenstore.whole_file import whole_file
from parity.compare import Cell, Outcome
from parity.report import Counts, Difference, FeatureComparison, ParityReport
from parity.values import PlainValue, to_json

__all__ = ["SCHEMA_VERSION", "build_document", "render_document", "write_document"]

SCHEMA_VERSION = 1


def build_document(report: ParityReport) -> dict[str, object]:
    """Turn a report into JSON-ready data, every difference included."""
    features: dict[str, list[object]] = {}
    for feature in report.features:
        features.setdefault(feature.view_name, []).append(_feature(feature))
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": "live",
        "verdict": report.verdict.value,
        "violations": report.violations,
        "project": report.project,
        "feature_service": report.feature_service,
        "gateway": report.gateway,
        "schema_fingerprint": report.schema_fingerprint,
        "is_clock_frozen": report.is_clock_frozen,
        "first_as_of_us": report.first_as_of_us,
        "last_as_of_us": report.last_as_of_us,
        "seed": report.seed,
        "n_rows_asked": report.n_rows_asked,
        "n_rows": report.n_rows,
        "min_coverage": report.min_coverage,
        "total": _counts(report.total),
        "views": [
            {"view": name, **_counts(counts), "features": features[name]}
            for name, counts in report.views.items()
        ],
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


def _counts(counts: Counts) -> dict[str, object]:
    return {
        "n_compared": counts.n_compared,
        "n_non_null": counts.n_non_null,
        "n_both_null": counts.n_both_null,
        "n_differing": counts.n_differing,
        "n_ambiguous": counts.n_ambiguous,
        "coverage": counts.coverage,
        "by_outcome": {outcome.value: counts.by_outcome[outcome] for outcome in Outcome},
    }


def _feature(feature: FeatureComparison) -> dict[str, object]:
    return {
        "feature": feature.feature,
        "dtype": feature.dtype.value,
        **_counts(feature.counts),
    }


def _difference(difference: Difference) -> dict[str, object]:
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
    }


def _key(entity_key: Mapping[str, PlainValue]) -> dict[str, object]:
    return {name: to_json(value) for name, value in entity_key.items()}


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "value": to_json(cell.value),
        "status": None if cell.status is None else cell.status.name,
        "event_us": cell.event_us,
    }
