"""The report as JUnit XML: a test suite per view, a test case per feature, one for each gate."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from evenstore.whole_file import whole_file
from parity.report import FeatureComparison, ParityReport
from parity.text import format_difference

__all__ = ["render_junit", "write_junit"]

_SHOWN = 20


def render_junit(report: ParityReport) -> bytes:
    """Render the report as JUnit XML.

    A feature with a differing cell that nothing waives is a failure that lists its first cells.
    What violates parity beside that (coverage, a broken promise, an expired waiver) fails the case
    `verdict`, which holds all violations.
    """
    title = _clean(f"parity {report.mode.value} {report.subject}")
    root = ET.Element("testsuites", name=title)
    suites = dict.fromkeys(feature.view_name for feature in report.features)
    n_tests = n_failures = 0
    for view_name in suites:
        features = [feature for feature in report.features if feature.view_name == view_name]
        failed = [feature for feature in features if _n_violating(feature)]
        suite = _suite(root, view_name, len(features), len(failed))
        n_tests, n_failures = n_tests + len(features), n_failures + len(failed)
        for feature in features:
            case = _case(suite, f"{report.project}.{view_name}", feature.feature)
            if _n_violating(feature):
                _add_failure(case, _failure(feature), _lines(feature))
    violations = report.violations
    suite = _suite(root, "parity", 1, int(bool(violations)))
    case = _case(suite, report.project, "verdict")
    if violations:
        _add_failure(case, violations[0], violations)
    root.set("tests", str(n_tests + 1))
    root.set("failures", str(n_failures + bool(violations)))
    ET.indent(root)
    rendered: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return rendered


def write_junit(report: ParityReport, path: Path) -> None:
    """Write the report as JUnit XML.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(render_junit(report))


def _suite(root: ET.Element, name: str, n_tests: int, n_failures: int) -> ET.Element:
    counts = {"tests": str(n_tests), "failures": str(n_failures), "errors": "0", "skipped": "0"}
    return ET.SubElement(root, "testsuite", {"name": _clean(name), **counts})


def _case(suite: ET.Element, class_name: str, name: str) -> ET.Element:
    attributes = {"classname": _clean(class_name), "name": _clean(name), "time": "0"}
    return ET.SubElement(suite, "testcase", attributes)


def _add_failure(case: ET.Element, message: str, lines: Sequence[str]) -> None:
    failure = ET.SubElement(case, "failure", {"message": _clean(message), "type": "parity"})
    failure.text = _clean("\n".join(lines))


def _n_violating(feature: FeatureComparison) -> int:
    return feature.counts.n_differing - feature.counts.n_waived


def _failure(feature: FeatureComparison) -> str:
    return f"{_n_violating(feature):,} of {feature.counts.n_compared:,} values differ"


def _lines(feature: FeatureComparison) -> list[str]:
    shown = [cell for cell in feature.differences if not cell.is_waived][:_SHOWN]
    lines = [format_difference(difference) for difference in shown]
    n_more = _n_violating(feature) - len(shown)
    return [*lines, f"... and {n_more:,} more"] if n_more > 0 else lines


def _clean(text: str) -> str:
    """Leave out what XML 1.0 cannot hold, even escaped."""
    return "".join(
        character
        if character in "\t\n" or (character.isprintable() and character < "\ufffe")
        else "\ufffd"
        for character in text
    )
