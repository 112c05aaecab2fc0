"""Causes of a live run's differences, where the stores themselves can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from feast import FeatureStore

from evenstore.errors import ConfigurationError, OnlineStoreError
from evenstore.schema.request import FeatureRequest
from parity.causes.cell_command import SeenUntil, open_cell_command
from parity.causes.find import CauseContext, find_causes
from parity.causes.store_evidence import StoreEvidence
from parity.report import Difference, ParityReport, attach_findings

__all__ = ["explain_differences"]


def explain_differences(
    report: ParityReport,
    request: FeatureRequest,
    store: FeatureStore,
    repo: Path,
    *,
    until_us: Mapping[str, Sequence[int]],
) -> ParityReport:
    """Find the cause of each difference, reading Redis and the sources.

    A check may run where only the gateway can be reached: then the differences stay without a
    cause, and a note says why.

    Args:
        report: Without causes.
        request: What was compared.
        store: The repo, opened.
        repo: Its folder, for the commands that reproduce a cell.
        until_us: By view, per entity row, up to where the offline store was looked at; a view that
            is not there was looked at as a whole.

    Raises:
        OfflineStoreError: A source cannot be read.
    """
    if not report.differences:
        return report
    try:
        seen_until = _seen_until(request, until_us)
        command = open_cell_command(repo, feature_service=report.subject, seen_until=seen_until)
        context = CauseContext(request, StoreEvidence(store), command, seen_until=seen_until)
        findings = find_causes(report.differences, context)
    except (OnlineStoreError, ConfigurationError) as exc:
        note = f"causes were not looked for, because the online store cannot be read: {exc.message}"
        return replace(report, notes=(*report.notes, note))
    return attach_findings(report, findings)


def _seen_until(request: FeatureRequest, until_us: Mapping[str, Sequence[int]]) -> SeenUntil:
    inputs = {view.name: dict(view.inputs).keys() for view in request.on_demand}

    def seen_until(difference: Difference) -> dict[str, int]:
        names = inputs.get(difference.view_name, (difference.view_name,))
        return {name: until_us[name][difference.row_idx] for name in names if name in until_us}

    return seen_until
