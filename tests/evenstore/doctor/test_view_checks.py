"""What is declared of views, on a real registry and real files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from feast import PushSource
from feast.types import Int64, Uuid

from evenstore.doctor.finding import Finding, Severity
from evenstore.doctor.view_checks import check_view
from evenstore.doctor.view_facts import ViewFacts, gather_view_facts
from tests.evenstore.doctor.look import DRIVER, SCHEMA, fresh_rows
from tests.support.feast_repo import FeastRepo

_DAY = timedelta(days=1)
_RUN_END = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ViewFacts]:
    """What is gathered of one repo with a view for each case."""
    repo = FeastRepo(tmp_path_factory.mktemp("views"))
    repo.write_rows("stats", fresh_rows(10))
    repo.write_rows("texts", _replaced("trips", pa.array(["a"] * 10)))
    stamps = fresh_rows(10)["event_timestamp"].to_pylist()
    repo.write_rows(
        "holes",
        _replaced(
            "event_timestamp", pa.array([None, None, *stamps[2:]], pa.timestamp("us", "UTC"))
        ),
    )
    rows = repo.source("stats")
    plain: dict[str, dict[str, Any]] = {
        "stats": {},
        "no_created": {"source": repo.source("stats", created=None)},
        "lost_created": {"source": repo.source("stats", created="written_at")},
        "empty": {"source": None},
        "texts": {"source": None},
        "holes": {"source": None},
        "ageless": {"ttl": None},
        "shadow": {"tags": {"ttl_enforcement": "shadow"}},
        "off": {"tags": {"ttl_enforcement": "off"}},
        "sometimes": {"tags": {"ttl_enforcement": "sometimes"}},
        "pushed": {"source": PushSource(name="pushed_rows", batch_source=rows)},
    }
    defaults: dict[str, Any] = {"ttl": _DAY, "source": rows}
    store = repo.apply(
        DRIVER,
        *(
            repo.view(name, [DRIVER], SCHEMA, **(defaults | options))
            for name, options in plain.items()
        ),
        repo.view("hidden", [DRIVER], {"driver_id": Int64, "token": Uuid}, online=False),
    )
    view = store.get_feature_view("stats")
    store.registry.apply_materialization(view, store.project, _RUN_END - _DAY, _RUN_END)
    return {view.name: view for view in gather_view_facts(repo.store(), repo.path)}


def _replaced(column: str, values: pa.Array) -> pa.Table:
    rows = fresh_rows(10)
    return rows.set_column(rows.column_names.index(column), column, values)


def _check(view: ViewFacts) -> tuple[dict[str, Finding], dict[str, str]]:
    findings = check_view(view)
    for found in findings:
        assert found.severity is Severity.OK or (found.consequence and found.remedy)
    problems = {
        found.check: found.severity.value for found in findings if found.severity is not Severity.OK
    }
    return {found.check: found for found in findings}, problems


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stats", {}),
        ("pushed", {}),
        ("no_created", {"created-column": "warning"}),
        ("lost_created", {"view-source": "error", "created-column": "error"}),
        ("empty", {"view-source": "warning"}),
        # Not to be blamed on the created column, which is there.
        ("texts", {"view-source": "error"}),
        ("holes", {"event-column": "warning"}),
        ("ageless", {"view-ttl": "info"}),
        ("shadow", {"ttl-enforcement": "info"}),
        ("off", {"ttl-enforcement": "warning"}),
        ("sometimes", {"view-schema": "error"}),
    ],
)
def test_each_fault_is_found_and_no_other(
    views: Mapping[str, ViewFacts], name: str, expected: dict[str, str]
) -> None:
    assert _check(views[name])[1] == expected


def test_findings_say_what_was_found(views: Mapping[str, ViewFacts]) -> None:
    found, _ = _check(views["stats"])
    assert found["view-source"].what == "stats: 1 file"
    assert found["view-ttl"].what == "stats: 1 days"
    assert "`written_at`" in _check(views["lost_created"])[0]["created-column"].what
    assert "null in 2 rows" in _check(views["holes"])[0]["event-column"].what
    empty, _ = _check(views["empty"])
    assert empty["created-column"].what == "empty: `created`, by declaration"
    assert "event-column" not in empty
    assert set(_check(views["sometimes"])[0]) == {"view-schema"}


def test_recorded_runs_and_offline_views_are_read(views: Mapping[str, ViewFacts]) -> None:
    hidden, stats = views["hidden"], views["stats"]
    assert (hidden.is_online, stats.is_online) == (False, True)
    assert hidden.schema is not None
    assert hidden.recorded_end_us is None
    assert stats.recorded_end_us == int(_RUN_END.timestamp()) * 1_000_000
