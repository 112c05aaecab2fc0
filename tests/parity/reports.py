"""Reports made of real comparisons of made-up cells; no store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from evenstore.dtypes import Dtype
from evenstore.schema.model import Field
from evenstore.schema.request import Column
from evenstore.semantics import Status
from parity.causes.finding import Cause, Evidence, Finding, StoredOrder
from parity.compare import CellColumn
from parity.report import (
    CheckedRows,
    FeatureComparison,
    Mode,
    ParityReport,
    attach_findings,
    compare_feature,
)
from parity.statistics.instants import measure_instants
from parity.values import PlainValue
from parity.view_facts import ViewFacts
from tests.parity.cases import AS_OF_US, DAY_US

__all__ = ["EVENT_US", "compare_values", "explain", "make_report"]

EVENT_US = AS_OF_US - DAY_US

Values = Sequence[PlainValue | None]


def compare_values(
    feature: str,
    dtype: Dtype,
    offline: Values,
    online: Values,
    *,
    view: str = "activity",
    online_event_us: int = EVENT_US,
) -> FeatureComparison:
    """Compare a feature of customers 0, 1, 2, ...; a null is a NULL_VALUE on both sides."""
    n_rows = len(offline)

    def cells(values: Values, event_us: int) -> CellColumn:
        statuses = [Status.NULL_VALUE if value is None else Status.PRESENT for value in values]
        return CellColumn(values, statuses, [event_us] * n_rows)

    return compare_feature(
        Column(view, Field(feature, dtype), is_on_demand=False),
        CheckedRows({"customer_id": list(range(n_rows))}, [AS_OF_US] * n_rows),
        key_columns=["customer_id"],
        offline=cells(offline, EVENT_US),
        online=cells(online, online_event_us),
        ambiguous=[False] * n_rows,
    )


def make_report(*features: FeatureComparison, **changes: object) -> ParityReport:
    """A live report of some features, with facts of each view."""
    n_rows = max(feature.counts.n_compared for feature in features)
    instants = measure_instants([EVENT_US] * n_rows, [EVENT_US] * n_rows, [AS_OF_US] * n_rows)
    facts = [
        ViewFacts(name, instants, ttl_us=2 * DAY_US, watermark_us=EVENT_US, lag_us=DAY_US)
        for name in dict.fromkeys(feature.view_name for feature in features)
    ]
    report = ParityReport(
        project="shop",
        mode=Mode.LIVE,
        subject="checkout_v1",
        gateway="http://127.0.0.1:6566",
        schema_fingerprint="0f3a1c9be2d47a65",
        is_clock_frozen=True,
        n_rows=n_rows,
        first_as_of_us=AS_OF_US,
        last_as_of_us=AS_OF_US,
        min_coverage=0.3,
        features=features,
        seed=0,
        n_rows_asked=n_rows,
        view_facts=tuple(facts),
    )
    return dataclasses.replace(report, **changes)  # type: ignore[arg-type]


def explain(report: ParityReport, cause: Cause) -> ParityReport:
    """Give every difference of a report one cause, with evidence."""
    findings = [
        Finding(
            cause,
            f"made up for `{difference.feature}`",
            Evidence(
                offline_value=difference.offline.value,
                online_value=difference.online.value,
                offline_order=StoredOrder(EVENT_US, EVENT_US, None),
                source_file="part-0.parquet",
                facts={"watermark_us": EVENT_US},
            ),
            command="evenstore-parity cell --repo feature_repo",
        )
        for difference in report.differences
    ]
    return attach_findings(report, findings)
