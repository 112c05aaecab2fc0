"""The JSON report against its checked-in JSON Schema, and the schema against the code."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import jsonschema_rs
import pytest

from evenstore.dtypes import Dtype
from evenstore.semantics import Status
from parity.causes.finding import Cause
from parity.compare import Outcome
from parity.document import SCHEMA_VERSION, build_document, render_document
from parity.outputs.previous import compare_previous
from parity.report import Mode, ParityReport, Refusal
from parity.values import Undecodable
from parity.waivers.application import apply_waivers
from tests.parity.reports import compare_values, explain, make_report
from tests.parity.waivers.test_application import TODAY, waiver
from tests.repo.sources import ROOT

SCHEMA = json.loads(
    (ROOT / "docs" / "reference" / "parity-report.schema.json").read_text(encoding="utf-8")
)


def full_report() -> ParityReport:
    """A report in which every part is filled."""
    report = make_report(
        compare_values("spend", Dtype.FLOAT64, [1.0, 2.0, math.nan], [1.0 + 1e-12, 3.0, math.inf]),
        compare_values("country", Dtype.STRING, ["UK", None], ["FR", "UK"]),
        compare_values("tags", Dtype.STRING_LIST, [("a", "b")], [("b",)]),
        compare_values("map", Dtype("Map"), [(("a", 1),)], [(("a", 2), ("b", None))]),
        compare_values("token", Dtype.BYTES, [b"\x00"], [Undecodable("12")], view="profile"),
        refusals=(Refusal(0, {"customer_id": b"\x00"}, "corrupt-row", "bytes"),),
        notes=("a note",),
        sections={"impact": [{"model": "churn_v1", "n_flipped": 0}]},
    )
    report = apply_waivers(explain(report, Cause.LATE_ARRIVAL), [waiver()], today=TODAY)
    previous = compare_previous(report, build_document(report))
    return dataclasses.replace(report, previous=previous)


def check(document: Any) -> None:
    jsonschema_rs.validate(SCHEMA, document, validate_formats=True)


def test_schema_is_one_and_of_the_version_that_is_written() -> None:
    jsonschema_rs.meta.validate(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_full_report_is_valid_and_has_every_declared_key() -> None:
    document = json.loads(render_document(build_document(full_report())))
    check(document)
    assert set(document) == set(SCHEMA["properties"])
    for part, keys in (
        ("view", document["views"][0]),
        ("feature", document["views"][0]["features"][0]),
    ):
        declared = set(SCHEMA["$defs"][part]["allOf"][1]["properties"])
        assert set(keys) == declared | set(SCHEMA["$defs"]["counts"]["properties"])
    for part, keys in (
        ("difference", document["differences"][0]),
        ("waiver", document["waivers"][0]),
        ("previous", document["previous"]),
        ("facts", document["views"][0]["facts"]),
        ("instants", document["views"][0]["facts"]["instants"]),
    ):
        assert set(keys) == set(SCHEMA["$defs"][part]["properties"]), part


@pytest.mark.parametrize("mode", Mode)
def test_bare_report_of_each_mode_is_valid(mode: Mode) -> None:
    bare = make_report(
        compare_values("spend", Dtype.FLOAT64, [1.0], [2.0]),
        mode=mode,
        gateway=None,
        seed=None,
        n_rows_asked=None,
        view_facts=(),
    )
    check(json.loads(render_document(build_document(bare))))


def test_schema_names_every_outcome_cause_status_and_mode() -> None:
    assert SCHEMA["$defs"]["outcome"]["enum"] == [outcome.value for outcome in Outcome]
    assert SCHEMA["$defs"]["cause"]["enum"] == [cause.value for cause in Cause]
    assert SCHEMA["properties"]["mode"]["enum"] == [mode.value for mode in Mode]
    statuses = SCHEMA["$defs"]["cell"]["properties"]["status"]["anyOf"][0]["enum"]
    assert statuses == [status.name for status in Status]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("verdict",), "maybe"),
        (("total", "n_compared"), -1),
        (("total", "by_outcome"), {"unheard-of": 1}),
        (("differences", 0, "finding", "cause"), "unheard-of"),
        (("differences", 0, "as_of_us"), "yesterday"),
        (("waivers", 0, "expires"), "soon"),
    ],
)
def test_schema_refuses_what_is_wrong(path: tuple[str | int, ...], wrong: object) -> None:
    document = json.loads(render_document(build_document(full_report())))
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = wrong
    with pytest.raises(jsonschema_rs.ValidationError):
        check(document)


def test_document_has_rates_statuses_statistics_and_causes() -> None:
    document = json.loads(render_document(build_document(full_report())))
    total = document["total"]
    assert total["by_outcome"]["within-tolerance"] == 1
    assert total["by_cause"] == {"late-arrival": total["n_differing"]}
    assert total["n_bit_equal"] == 0
    rate = total["rates"]["differing"]
    assert rate["low"] < rate["share"] < rate["high"]
    assert sum(pair["n_cells"] for pair in total["statuses"]) == total["n_compared"]
    spend, country, tags, maps = document["views"][0]["features"]
    assert spend["statistics"]["numbers"]["max_absolute"] == 1.0
    assert spend["statistics"]["numbers"]["n_not_finite"] == 1
    assert country["statistics"]["confusions"][0]["n_cells"] == 1
    assert tags["statistics"]["lists"]["max_edits"] == 1
    assert maps["statistics"]["maps"]["extra_keys"] == [["b", 1]]
