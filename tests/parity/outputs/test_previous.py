from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenstore.dtypes import Dtype
from evenstore.errors import ConfigurationError
from parity.document import build_document, write_document
from parity.outputs.previous import compare_previous, read_previous
from parity.report import Mode, ParityReport
from tests.parity.reports import compare_values, make_report


def report_of(online: list[int], **changes: object) -> ParityReport:
    return make_report(compare_values("orders", Dtype.INT64, [1, 2, 3], list(online)), **changes)


def test_cells_are_new_fixed_or_still_there(tmp_path: Path) -> None:
    path = tmp_path / "parity.json"
    write_document(build_document(report_of([9, 9, 3])), path)
    since = compare_previous(report_of([1, 8, 8]), read_previous(path))
    assert (since.n_new, since.n_fixed, since.n_still) == (1, 1, 1)
    assert [json.loads(cell.entity_key) for cell in since.new] == [{"customer_id": 2}]
    assert [json.loads(cell.entity_key) for cell in since.fixed] == [{"customer_id": 0}]
    assert (since.verdict, since.n_differing, since.has_same_rows) == ("violated", 2, True)
    assert not compare_previous(report_of([1, 8, 8], seed=1), read_previous(path)).has_same_rows


@pytest.mark.parametrize(("mode", "n_new"), [(Mode.GOLDEN, 3), (Mode.LIVE, 0)])
def test_instant_names_a_cell_only_where_it_belongs_to_the_set(mode: Mode, n_new: int) -> None:
    now = report_of([9, 9, 9], mode=mode)
    document = json.loads(json.dumps(build_document(now)))
    for cell in document["differences"]:
        cell["as_of_us"] += 1
    assert compare_previous(now, document).n_new == n_new


def test_run_of_something_else_is_refused() -> None:
    document = build_document(report_of([1, 2, 3]))
    with pytest.raises(ConfigurationError, match="`churn_v1` of project `shop` in mode live"):
        compare_previous(report_of([1, 2, 3], subject="churn_v1"), document)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1}'])
def test_file_that_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "parity.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"parity\.json"):
        read_previous(path)
