"""The report as a Prometheus textfile, for the node exporter's collector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from evenstore.whole_file import whole_file
from parity.causes.finding import Cause
from parity.compare import Outcome
from parity.report import ParityReport, Verdict

__all__ = ["render_prometheus", "write_prometheus"]

_US_PER_S = 1_000_000


def render_prometheus(report: ParityReport, *, finished_us: int) -> str:
    """Render gauges per view; of features only those that differ, to bound the number of series.

    Args:
        report: What was found.
        finished_us: When the run ended, by the machine's clock: alert when it gets old.
    """
    return "\n".join(_lines(report, finished_us)) + "\n"


def write_prometheus(report: ParityReport, path: Path, *, finished_us: int) -> None:
    """Write the textfile; the collector finds the old one or the whole new one.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(render_prometheus(report, finished_us=finished_us), encoding="utf-8")


def _lines(report: ParityReport, finished_us: int) -> Iterator[str]:
    run = {"project": report.project, "mode": report.mode.value, "subject": report.subject}
    passed = int(report.verdict is Verdict.PASSED)
    finished_s = finished_us / _US_PER_S
    for name, text, value in (
        ("passed", "1 where parity holds, 0 where it is violated.", passed),
        ("finished_timestamp_seconds", "When the run ended.", finished_s),
        ("entity_rows", "Entity rows compared.", report.n_rows),
        ("violations", "Sentences that violate parity.", len(report.violations)),
    ):
        yield from _gauge(name, text, [(run, value)])
    views = [({**run, "view": name}, counts) for name, counts in report.views.items()]
    yield from _gauge(
        "cells",
        "Cells compared, by view and outcome.",
        (
            ({**labels, "outcome": outcome.value}, counts.by_outcome[outcome])
            for labels, counts in views
            for outcome in Outcome
        ),
    )
    yield from _gauge(
        "differing_cells",
        "Differing cells, by view and cause.",
        (
            ({**labels, "cause": cause.value}, counts.by_cause[cause])
            for labels, counts in views
            for cause in Cause
            if counts.by_cause[cause]
        ),
    )
    yield from _gauge(
        "coverage_ratio",
        "Share of cells with a value on a side, by view.",
        ((labels, counts.coverage) for labels, counts in views),
    )
    yield from _gauge(
        "feature_differing_cells",
        "Differing cells of features that have any.",
        (
            ({**run, "view": item.view_name, "feature": item.feature}, item.counts.n_differing)
            for item in report.features
            if item.counts.n_differing
        ),
    )
    yield from _gauge(
        "watermark_lag_seconds",
        "How far a view's watermark is behind the instant.",
        (
            ({**run, "view": facts.view_name}, facts.lag_us / _US_PER_S)
            for facts in report.view_facts
            if facts.lag_us is not None
        ),
    )


def _gauge(
    name: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    yield f"# HELP evenstore_parity_{name} {text}"
    yield f"# TYPE evenstore_parity_{name} gauge"
    for labels, value in samples:
        pairs = ",".join(f'{label}="{_escape(said)}"' for label, said in labels.items())
        yield f"evenstore_parity_{name}{{{pairs}}} {value!r}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
