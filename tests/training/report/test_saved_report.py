from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import pytest

from evenstore.errors import ConfigurationError
from tests.training.samples import DAY_US, make_dataset
from training.fit import fit_model
from training.knowledge import KnowledgeComparison, ViewDifference
from training.options import FitOptions
from training.record import ModelRecord
from training.report.page import render_page
from training.report.saved_report import saved_report

_OPTIONS = FitOptions(
    n_folds=3,
    test_share=0.5,
    purge_us=2 * DAY_US,
    baseline_features=("activity__spend", "activity__orders"),
    segment_features=("activity__country",),
)
_COMPARISON = KnowledgeComparison(600, 12, (ViewDifference("activity", 12, 3_102),))
_NOTES = ["The data holds no marketing.", "Returns | refunds are one thing."]
_FILES = ["calibration.svg", "folds.svg", "importance.svg", "report.json", "report.md"]


@pytest.fixture(scope="module")
def record() -> ModelRecord:
    return fit_model(make_dataset(600), _OPTIONS, knowledge_comparison=_COMPARISON).record


def _save(record: ModelRecord, path: Path) -> None:
    with saved_report(record, path, notes=_NOTES):
        pass


@pytest.fixture(scope="module")
def report(record: ModelRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "report"
    _save(record, path)
    return path


def test_report_has_a_page_all_numbers_and_figures(record: ModelRecord, report: Path) -> None:
    assert sorted(item.name for item in report.iterdir()) == _FILES
    document = json.loads((report / "report.json").read_text())
    assert document.items() >= record.to_document().items()
    assert document["notes"] == _NOTES
    page = (report / "report.md").read_text()
    for fold in record.folds:
        assert f"| {fold.evaluation.model.roc_auc:.4f} |" in page
        assert f"| {fold.split.cut[:10]} |" in page
    test = record.last_fold.evaluation.test
    for text in (
        "| purged | test window from | to |",
        f"the last fold's test rows: {test.n_rows:,} of them, {test.n_positives:,} positive.",
        "600 entity rows with 6 features of `checkout_v1`",
        "The saved model is that of fold 3",
        "`activity__spend`, `activity__orders` alone",
        "## By `activity__country`",
        "| France |",
        "| (null) |",
        "Expected calibration error",
        "differ in 12 of 600 entity rows",
        "| activity | 12 | 3,102 |",
        "- The data holds no marketing.",
        "- Returns | refunds are one thing.",
        *(f"]({name})" for name in _FILES if name.endswith(".svg")),
    ):
        assert text in page, text


def test_page_says_where_a_baseline_is_as_good(record: ModelRecord) -> None:
    # The baselines get the model's own numbers: then it beats none of them.
    folds = tuple(
        dataclasses.replace(
            fold,
            evaluation=dataclasses.replace(
                fold.evaluation,
                baselines=tuple(
                    dataclasses.replace(baseline, metrics=fold.evaluation.model)
                    for baseline in fold.evaluation.baselines
                ),
            ),
        )
        for fold in record.folds
    )
    claim = "does not beat the base rate of the training part"
    page = render_page(dataclasses.replace(record, folds=folds), (), ())
    assert f"{claim} in ROC AUC, avg. precision, Brier, log loss." in page
    assert claim not in render_page(record, (), ())


def test_figures_are_small_svg_with_text_and_without_a_date(report: Path) -> None:
    for name, shown in (
        ("calibration.svg", "fold 3"),
        ("folds.svg", "logistic regression on 2 features alone"),
        ("importance.svg", "activity__spend"),
    ):
        path = report / name
        text = path.read_text()
        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314
        assert shown in text
        assert "<dc:date>" not in text
        assert path.stat().st_size < 60_000


def test_same_dataset_and_options_give_the_same_bytes_whatever_matplotlib_is_set_to(
    report: Path, tmp_path: Path
) -> None:
    again = fit_model(make_dataset(600), _OPTIONS, knowledge_comparison=_COMPARISON).record
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "other", "axes.grid": True}):
        _save(again, tmp_path / "again")
        assert mpl.rcParams["font.size"] == 30
    for name in _FILES:
        assert (report / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_report_is_replaced_and_anything_else_is_left_alone(
    record: ModelRecord, tmp_path: Path
) -> None:
    path = tmp_path / "reports" / "shop"
    _save(dataclasses.replace(record, importance=()), path)
    assert not (path / "importance.svg").exists()
    assert "importance cannot be measured" in (path / "report.md").read_text()
    _save(record, path)
    assert (path / "importance.svg").exists()
    assert [item.name for item in path.parent.iterdir()] == ["shop"]
    (path / "my notes.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="holds something that is not a report"):
        _save(record, path)
    assert (path / "my notes.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="is a file"):
        _save(record, tmp_path / "file")


def test_failure_after_writing_leaves_no_report(record: ModelRecord, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), saved_report(record, tmp_path / "report"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
