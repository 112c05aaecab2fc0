"""JUnit XML, Markdown, Parquet and Prometheus, read back by readers that are not ours."""

from __future__ import annotations

import dataclasses
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from evenstore.dtypes import Dtype
from evenstore.errors import ConfigurationError
from parity.causes.finding import Cause
from parity.outputs.cells import CELLS_SCHEMA, write_cells
from parity.outputs.junit import render_junit, write_junit
from parity.outputs.markdown import render_markdown, write_markdown
from parity.outputs.prometheus import render_prometheus, write_prometheus
from parity.report import ParityReport
from tests.parity.cases import AS_OF_US
from tests.parity.outputs.test_document_schema import full_report
from tests.parity.reports import compare_values, explain, make_report

HOSTILE = 'a|b`c\n<script>\x00\x1b[31m]]>&"\u202e\ufffe'


def clean_report() -> ParityReport:
    return make_report(compare_values("spend", Dtype.FLOAT64, [1.0, None], [1.0, None]))


def hostile_report() -> ParityReport:
    compared = compare_values(HOSTILE, Dtype.STRING, [HOSTILE], ["x"], view=HOSTILE)
    return explain(make_report(compared, subject=HOSTILE), Cause.UNKNOWN)


def test_junit_has_a_case_per_feature_and_fails_what_differs() -> None:
    root = ET.fromstring(render_junit(full_report()))  # noqa: S314
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert ("shop.activity", "spend") in failed
    assert ("shop", "verdict") in failed
    assert root.get("tests") == str(len(cases))
    assert root.get("failures") == str(len(failed))
    failure = cases["shop.activity", "country"].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert 'customer_id=0 offline="UK"' in failure.text
    assert "late-arrival" in failure.text


def test_junit_of_a_clean_run_has_no_failure_and_coverage_fails_the_verdict() -> None:
    root = ET.fromstring(render_junit(clean_report()))  # noqa: S314
    assert root.get("failures") == "0"
    assert not list(root.iter("failure"))
    low = dataclasses.replace(clean_report(), min_coverage=0.9)
    (failure,) = ET.fromstring(render_junit(low)).iter("failure")  # noqa: S314
    assert "coverage is 0.500" in str(failure.get("message"))


def test_junit_holds_any_text() -> None:
    root = ET.fromstring(render_junit(hostile_report()))  # noqa: S314
    assert root.get("failures") == "2"


def test_markdown_says_verdict_views_causes_cells_and_changes() -> None:
    text = render_markdown(full_report())
    assert "## ❌ Parity violated: `checkout_v1`" in text
    assert "| `activity` | 7 |" in text
    assert "| `late-arrival` |" in text
    assert "| `activity:country` | customer\\_id=0 | mismatch | late-arrival |" in text
    assert "evenstore-parity cell --repo feature_repo" in text
    assert "**0 new**" in text
    assert "## ✅ Parity passed" in render_markdown(clean_report())


def test_markdown_tables_keep_their_shape_whatever_the_values_are() -> None:
    lines = render_markdown(hostile_report()).splitlines()
    for i, line in enumerate(lines):
        if set(line) == {"|", "-"}:
            n_bars = line.count("|")
            following = [lines[i - 1], lines[i + 1]]
            assert [text.replace("\\|", "").count("|") for text in following] == [n_bars] * 2
    assert "<script>" not in "".join(line.split("`")[0] for line in lines)


def test_parquet_has_one_row_per_differing_cell(tmp_path: Path) -> None:
    report = full_report()
    write_cells(report, tmp_path / "cells.parquet")
    table = pq.read_table(tmp_path / "cells.parquet")
    assert table.schema.equals(CELLS_SCHEMA)
    assert table.num_rows == len(report.differences)
    first = next(row for row in table.to_pylist() if row["feature"] == "spend")
    assert (first["offline_value"], first["online_number"]) == ("2.0", 3.0)
    assert json.loads(first["entity_key"]) == {"customer_id": 1}
    assert first["as_of"].timestamp() * 1e6 == AS_OF_US
    assert (first["cause"], first["source_file"]) == ("late-arrival", "part-0.parquet")
    odd = table.to_pylist()[1]
    assert (odd["offline_value"], math.isnan(odd["offline_number"])) == ('"NaN"', True)


def test_parquet_of_a_clean_run_has_the_columns_and_no_row(tmp_path: Path) -> None:
    write_cells(clean_report(), tmp_path / "cells.parquet")
    assert pq.read_table(tmp_path / "cells.parquet").schema.equals(CELLS_SCHEMA)


def test_prometheus_reads_every_gauge(tmp_path: Path) -> None:
    report = full_report()
    write_prometheus(report, tmp_path / "parity.prom", finished_us=5_500_000)
    text = (tmp_path / "parity.prom").read_text()
    samples = {
        (sample.name, sample.labels.get("view"), sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["evenstore_parity_passed", None, None] == 0
    assert samples["evenstore_parity_finished_timestamp_seconds", None, None] == 5.5
    mismatches = samples["evenstore_parity_cells", "activity", "mismatch"]
    assert mismatches == report.views["activity"].by_outcome.most_common(1)[0][1]
    assert samples["evenstore_parity_watermark_lag_seconds", "activity", None] == 86_400
    passed = render_prometheus(clean_report(), finished_us=0)
    assert 'evenstore_parity_passed{project="shop",mode="live",subject="checkout_v1"} 1\n' in passed


def test_prometheus_labels_hold_any_text() -> None:
    text = render_prometheus(hostile_report(), finished_us=0)
    subjects = {
        sample.labels["subject"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert subjects == {HOSTILE}


@pytest.mark.parametrize("write", [write_junit, write_markdown, write_cells])
def test_file_without_a_place_is_an_error_and_leaves_nothing(write: object, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(ConfigurationError, match="cannot write"):
        write(clean_report(), target)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == [target]
