from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from feast.types import Float64

from evenstore.clock import FrozenClock, datetime_to_us
from evenstore.errors import ConfigurationError, EntityRowsError, ParityError
from parity.audit import command
from parity.audit.audit import run_audit
from parity.audit.settings import AuditSettings
from parity.causes.finding import Cause
from parity.report import Difference, Mode, ParityReport, Verdict
from tests.evenstore.online.stock import stock_connection
from tests.parity.audit import week
from tests.parity.audit.folder_state import folder_state
from tests.parity.audit.week import NOW, SERVICE, Week
from tests.support.feast_repo import OUR_ENGINE, OUR_OFFLINE_STORE, OUR_ONLINE_STORE

pytestmark = pytest.mark.slow

_CLOCK = FrozenClock(datetime_to_us(NOW))


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repo in which most has gone wrong; nobody changes it."""
    gone_wrong = Week(tmp_path_factory.mktemp("stranger") / "repo")
    gone_wrong.go_wrong()
    return gone_wrong.repo.path


@pytest.fixture(scope="module")
def report(wrong: Path) -> ParityReport:
    return audit(wrong, views=("stats",))


def audit(folder: Path, **settings: object) -> ParityReport:
    return run_audit(AuditSettings(repo=folder, **settings), _CLOCK)  # type: ignore[arg-type]


def causes(report: ParityReport) -> dict[tuple[str, object], Cause]:
    """The cause of each differing cell of known drivers, by feature and driver."""
    return {
        (cell.feature, cell.entity_key["driver_id"]): cause_of(cell) for cell in report.differences
    }


def cause_of(cell: Difference) -> Cause:
    assert cell.finding is not None
    return cell.finding.cause


def test_every_divergence_is_found_and_named(report: ParityReport) -> None:
    behind = {
        week.LATE: Cause.LATE_ARRIVAL,
        week.DUE: Cause.NOT_MATERIALIZED,
        week.EXPIRED: Cause.TTL_BOUNDARY,
    }
    assert causes(report) == {
        **{
            (feature, driver): cause
            for feature in ("trips", "rating", "share")
            for driver, cause in behind.items()
        },
        ("rating", week.CORRECTED): Cause.DROPPED_CORRECTION,
        ("share", week.NARROW): Cause.DTYPE_PRECISION,
    }
    assert report.mode is Mode.AUDIT
    assert report.verdict is Verdict.VIOLATED


def test_evidence_names_rows_and_runs(report: ParityReport) -> None:
    late = next(cell for cell in report.differences if cause_of(cell) is Cause.LATE_ARRIVAL)
    assert late.finding is not None
    evidence = late.finding.evidence
    assert evidence.offline_order is not None
    assert evidence.online_order is not None
    assert evidence.offline_order.created_us == datetime_to_us(NOW - 2 * week.HOUR)
    assert evidence.online_order.event_us == datetime_to_us(NOW - 30 * week.HOUR)
    assert evidence.facts["loaded_at_us"] == datetime_to_us(week.LOADED)


def test_command_of_a_finding_reproduces_its_cell(report: ParityReport) -> None:
    cell = next(cell for cell in report.differences if cell.feature == "share")
    assert cell.finding is not None
    words = shlex.split(cell.finding.command)
    assert words[:2] == ["evenstore-parity", "audit"]
    again = run_audit(command.audit_settings(parse(*words[2:])), _CLOCK)
    found = [(other.feature, other.offline, other.online) for other in again.differences]
    assert (cell.feature, cell.offline, cell.online) in found
    assert again.n_rows == 1


def test_rows_that_no_run_could_know_are_left_out_on_demand(wrong: Path) -> None:
    found = causes(audit(wrong, views=("stats",), is_materialized_only=True))
    assert Cause.NOT_MATERIALIZED not in found.values()
    assert Cause.DROPPED_CORRECTION in found.values()


def test_output_computed_on_demand_has_the_cause_of_its_input(wrong: Path) -> None:
    report = audit(wrong, feature_service=SERVICE)
    rated = {key: cause for key, cause in causes(report).items() if key[0] == "rated"}
    assert rated == {
        ("rated", week.LATE): Cause.LATE_ARRIVAL,
        ("rated", week.CORRECTED): Cause.DROPPED_CORRECTION,
        ("rated", week.DUE): Cause.NOT_MATERIALIZED,
        ("rated", week.EXPIRED): Cause.TTL_BOUNDARY,
    }


def test_deleted_entity_is_found_where_it_is_named(wrong: Path) -> None:
    entity = f'{{"driver_id": {week.DELETED}}}'
    report = audit(wrong, views=("stats",), entities=(entity,))
    assert set(causes(report).values()) == {Cause.DELETED_ROW}
    assert report.strata == ()


def test_audit_changes_nothing_in_the_repo(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    store = Week(folder, offline_store={"type": "their_stores.TheirOfflineStore"})
    (folder / "their_stores.py").write_text(_THEIR_STORES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        store.go_wrong()
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    # As in a process of its own, which has not imported it.
    sys.modules.pop("their_stores")
    before = folder_state(folder)
    report = audit(folder)
    assert report.differences
    assert folder_state(folder) == before


_THEIR_STORES = """
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig

class TheirOfflineStoreConfig(DaskOfflineStoreConfig):
    type: str = "their_stores.TheirOfflineStore"

class TheirOfflineStore(DaskOfflineStore):
    pass
"""


def test_sql_registry_is_read_through_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    registry = {"registry_type": "sql", "path": f"sqlite:///{folder / 'registry.sqlite'}"}
    Week(folder, registry=registry).clean()
    before = folder_state(folder)
    report = audit(folder)
    assert report.verdict is Verdict.PASSED
    assert folder_state(folder) == before


def test_feature_that_stock_redis_never_backfills(tmp_path: Path, redis_url: str) -> None:
    connection = {"type": "redis", "connection_string": stock_connection(redis_url)}
    stranger = Week(tmp_path / "repo", online_store=connection)
    stranger.clean()
    report = audit(stranger.repo.path)
    assert report.verdict is Verdict.PASSED
    assert report.total.n_non_null == 3 * week.N_DRIVERS
    assert any("PRESENT" in note for note in report.notes)
    stranger.add_feature()
    report = audit(stranger.repo.path)
    assert {cell.feature for cell in report.differences} == {"zone"}
    assert len(report.differences) == week.N_DRIVERS
    assert set(causes(report).values()) == {Cause.NEW_FEATURE_NOT_BACKFILLED}


def test_same_week_on_evenstore_leaves_nothing(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENSTORE_TEST_MODE", "1")
    monkeypatch.setenv("EVENSTORE_FROZEN_TIME", NOW.isoformat())
    ours = Week(
        tmp_path / "repo",
        share=Float64,
        offline_store={"type": OUR_OFFLINE_STORE},
        online_store={"type": OUR_ONLINE_STORE, "connection_string": redis_url},
        batch_engine={"type": OUR_ENGINE},
    )
    ours.go_wrong().materialize_incremental(NOW)
    report = audit(ours.repo.path, views=("stats",))
    assert report.verdict is Verdict.PASSED
    # Feast's SDK computes on-demand views itself, whatever store it reads from.
    computed = audit(ours.repo.path, feature_service=SERVICE)
    assert causes(computed) == {("rated", week.NAN): Cause.NAN_OR_NULL}
    assert report.total.n_non_null > 3 * (week.N_DRIVERS - 3)
    deleted = audit(ours.repo.path, entities=(f'{{"driver_id": {week.DELETED}}}',))
    assert set(causes(deleted).values()) == {Cause.DELETED_ROW}
    # Today all of it has expired; both sides answer for the instant of the audit all the same.
    monkeypatch.delenv("EVENSTORE_FROZEN_TIME")
    monkeypatch.delenv("EVENSTORE_TEST_MODE")
    assert audit(ours.repo.path, views=("stats",)).verdict is Verdict.PASSED
    assert "EVENSTORE_FROZEN_TIME" not in os.environ
    # Of an instant before its rows the store knows nothing, and says so.
    before = audit(ours.repo.path, views=("stats",), as_of_us=datetime_to_us(week.LOADED))
    assert any("later than" in refusal.message for refusal in before.refusals)


def test_view_under_materialization_refuses_every_read(wrong: Path, tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    shutil.copytree(wrong, folder)
    set_state(folder, "MATERIALIZING")
    report = audit(folder, views=("stats",))
    assert report.total.n_differing == report.total.n_compared
    assert set(causes(report).values()) == {Cause.NOT_MATERIALIZED}
    assert len(report.refusals) == report.n_rows


def set_state(folder: Path, state: str) -> None:
    from feast.protos.feast.core.FeatureView_pb2 import FeatureViewState
    from feast.protos.feast.core.Registry_pb2 import Registry

    path = folder / "registry.db"
    registry = Registry.FromString(path.read_bytes())
    registry.feature_views[0].meta.state = FeatureViewState.Value(state)
    path.write_bytes(registry.SerializeToString())


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"views": ("nope",)}, ParityError, "no feature view `nope`"),
        ({"entities": ("[1]",)}, EntityRowsError, "not a JSON object"),
        ({"entities": ('{"driver": 1}',)}, EntityRowsError, "no column `driver_id`"),
        ({"entities": ('{"driver_id": "x"}',)}, EntityRowsError, "`driver_id` is string"),
        ({"models": (Path("m"),)}, ConfigurationError, "can run any code"),
    ],
)
def test_what_cannot_be_audited_is_told(
    wrong: Path, settings: Mapping[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words.replace("`", ".")):
        audit(wrong, **settings)


def test_folder_that_is_no_repo_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no Feast repo"):
        audit(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_options_become_settings() -> None:
    settings = command.audit_settings(parse("--repo", "r", "--as-of", "2026-03-08T12:00:00Z"))
    assert settings == dataclasses.replace(
        AuditSettings(repo=Path("r")), as_of_us=datetime_to_us(NOW)
    )
    assert command.audit_settings(parse("--repo", "r")).as_of_us is None
    with pytest.raises(ConfigurationError, match="any code"):
        command.audit_settings(parse("--repo", "r", "--model", "m"))


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)
