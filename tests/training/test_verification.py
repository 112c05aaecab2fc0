from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FeatureView, Field, FileSource
from feast.types import Int64

from evenstore.errors import ConfigurationError, TrainingError
from evenstore.semantics import Knowledge
from training.dataset import TrainingDataset
from training.manifest import Manifest
from training.verification import Change, ChangeKind, Verification, verify_file

_N_VIEWS_FILES = 2
UNREADABLE = Path("/proc/self/mem")


@pytest.fixture
def built(feature_repo_copy: Path, entity_rows_path: Path, tmp_path: Path) -> Path:
    """A dataset's file, built from the copied repo."""
    dataset = TrainingDataset.build(
        "two_views_v1",
        entity_rows_path,
        repo=feature_repo_copy,
        knowledge=Knowledge.AS_KNOWN,
        label="buys_again_60d",
    )
    path = tmp_path / "dataset.parquet"
    dataset.to_parquet(path)
    (tmp_path / "manifest.json").write_text(dataset.manifest.to_json())
    return path


def _kinds(verification: Verification) -> list[tuple[ChangeKind, str]]:
    return [(change.kind, change.name) for change in verification.changes]


def _profile(repo: Path, created: str | None = None) -> FeatureView:
    store = FeatureStore(repo_path=str(repo))
    return FeatureView(
        name="profile",
        entities=[store.get_entity("customer")],
        schema=[Field(name="age", dtype=Int64), Field(name="customer_id", dtype=Int64)],
        source=FileSource(
            name="profile_source",
            path="data/profile",
            timestamp_field="event_timestamp",
            created_timestamp_column=created,
        ),
    )


@pytest.mark.parametrize("name", ["dataset.parquet", "manifest.json"])
@pytest.mark.parametrize("rebuild", [False, True])
def test_nothing_changed_is_said_so(
    name: str, rebuild: bool, built: Path, feature_repo_copy: Path, entity_rows_path: Path
) -> None:
    verification = verify_file(
        built.with_name(name),
        repo=feature_repo_copy,
        entity_rows=entity_rows_path,
        rebuild=rebuild,
    )
    assert verification.changes == ()
    assert verification.n_files == _N_VIEWS_FILES
    assert verification.has_entity_rows
    assert verification.is_reproduced is (True if rebuild else None)
    assert verification.is_proven


def test_changed_byte_of_a_source_is_named(built: Path, feature_repo_copy: Path) -> None:
    source = feature_repo_copy / "data" / "activity.parquet"
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    source.write_bytes(content)
    (change,) = verify_file(built, repo=feature_repo_copy).changes
    assert change.kind is ChangeKind.FILE_CHANGED
    assert change.name == "activity: data/activity.parquet"
    assert change.was is not None
    assert change.now is not None
    assert change.was.partition(" bytes")[0] == change.now.partition(" bytes")[0]


def test_added_and_removed_files_are_named(built: Path, feature_repo_copy: Path) -> None:
    folder = feature_repo_copy / "data" / "profile"
    (folder / "a.parquet").rename(folder / "b.parquet")
    verification = verify_file(built, repo=feature_repo_copy)
    assert _kinds(verification) == [
        (ChangeKind.FILE_REMOVED, "profile: data/profile/a.parquet"),
        (ChangeKind.FILE_ADDED, "profile: data/profile/b.parquet"),
    ]
    removed, added = verification.changes
    assert (removed.now, added.was) == (None, None)
    assert removed.was == added.now


@pytest.mark.skipif(not UNREADABLE.exists(), reason="Linux has a file that nobody can read")
@pytest.mark.parametrize("rebuild", [False, True])
def test_file_that_cannot_be_read_is_a_difference_wherever_it_is_found(
    rebuild: bool, built: Path, feature_repo_copy: Path
) -> None:
    source = feature_repo_copy / "data" / "profile" / "a.parquet"
    source.unlink()
    source.symlink_to(UNREADABLE)
    verification = verify_file(built, repo=feature_repo_copy, rebuild=rebuild)
    kinds = [ChangeKind.SOURCE, ChangeKind.FILE_CHANGED] + rebuild * [ChangeKind.RESULT]
    assert [change.kind for change in verification.changes] == kinds
    assert all(str(source) in str(change.now) for change in verification.changes)
    assert not verification.is_proven


def test_source_without_files_is_named_with_the_reason(
    built: Path, feature_repo_copy: Path
) -> None:
    (feature_repo_copy / "data" / "profile" / "a.parquet").unlink()
    verification = verify_file(built, repo=feature_repo_copy, rebuild=True)
    assert _kinds(verification) == [
        (ChangeKind.SOURCE, "profile"),
        (ChangeKind.FILE_REMOVED, "profile: data/profile/a.parquet"),
        (ChangeKind.RESULT, "built again"),
    ]
    reasons = [change.now for change in verification.changes]
    assert reasons[0] is not None
    assert reasons[0].startswith("cannot be opened: data source `profile_source` has no Parquet")
    assert reasons[2] is not None
    assert reasons[2].startswith("cannot be built again: ")
    assert verification.is_reproduced is False
    assert not verification.is_proven


def test_file_that_lost_a_column_is_named(built: Path, feature_repo_copy: Path) -> None:
    source = feature_repo_copy / "data" / "profile" / "a.parquet"
    pq.write_table(pq.read_table(source).drop_columns(["age"]), source)
    assert _kinds(verify_file(built, repo=feature_repo_copy)) == [
        (ChangeKind.SOURCE, "profile"),
        (ChangeKind.FILE_CHANGED, "profile: data/profile/a.parquet"),
    ]


def test_unused_view_changes_the_registry_alone_and_the_values_stay(
    built: Path, feature_repo_copy: Path
) -> None:
    view = _profile(feature_repo_copy)
    view.name = "unused"
    FeatureStore(repo_path=str(feature_repo_copy)).apply([view])
    verification = verify_file(built, repo=feature_repo_copy)
    assert _kinds(verification) == [(ChangeKind.REGISTRY, "training_test")]
    assert not verification.is_proven
    verification = verify_file(built, repo=feature_repo_copy, rebuild=True)
    assert verification.is_reproduced
    assert verification.is_proven


def test_changed_ttl_is_a_change_of_view_service_and_registry(
    built: Path, feature_repo_copy: Path
) -> None:
    store = FeatureStore(repo_path=str(feature_repo_copy))
    view = store.get_feature_view("activity")
    assert view.ttl is not None
    view.ttl *= 2
    store.apply([view])
    assert _kinds(verify_file(built, repo=feature_repo_copy)) == [
        (ChangeKind.REGISTRY, "training_test"),
        (ChangeKind.FEATURE_SERVICE, "two_views_v1"),
        (ChangeKind.VIEW, "activity"),
    ]


def test_other_timestamps_of_a_source_are_a_change_though_no_schema_changed(
    built: Path, feature_repo_copy: Path
) -> None:
    view = _profile(feature_repo_copy, created="loaded_at")
    FeatureStore(repo_path=str(feature_repo_copy)).apply([view])
    assert _kinds(verify_file(built, repo=feature_repo_copy)) == [(ChangeKind.SOURCE, "profile")]


def test_service_that_is_gone_is_named(built: Path, feature_repo_copy: Path) -> None:
    FeatureStore(repo_path=str(feature_repo_copy)).delete_feature_service("two_views_v1")
    verification = verify_file(built, repo=feature_repo_copy, rebuild=True)
    assert _kinds(verification) == [
        (ChangeKind.REGISTRY, "training_test"),
        (ChangeKind.FEATURE_SERVICE, "two_views_v1"),
        (ChangeKind.RESULT, "built again"),
    ]
    assert not verification.is_proven


def test_other_versions_are_named_and_equal_values_prove_the_dataset(
    built: Path, feature_repo_copy: Path, entity_rows_path: Path
) -> None:
    manifest = Manifest.from_json(built.with_name("manifest.json").read_text())
    versions = {**manifest.versions, "duckdb": "1.0.0", "retired": "0.1"}
    older = dataclasses.replace(manifest, versions=versions)
    verification = TrainingDataset.verify(older, repo=feature_repo_copy)
    assert verification.changes == (
        Change(ChangeKind.VERSION, "duckdb", "1.0.0", manifest.versions["duckdb"]),
        Change(ChangeKind.VERSION, "retired", "0.1", None),
    )
    assert not verification.has_entity_rows
    assert not verification.is_proven
    verification = TrainingDataset.verify(
        older, repo=feature_repo_copy, entity_rows=entity_rows_path, rebuild=True
    )
    assert verification.is_proven


def test_correction_of_a_source_gives_other_values(built: Path, feature_repo_copy: Path) -> None:
    source = feature_repo_copy / "data" / "activity.parquet"
    table = pq.read_table(source)
    spend = pc.add(table["spend"], 1.0)
    pq.write_table(table.set_column(table.column_names.index("spend"), "spend", spend), source)
    verification = verify_file(built, repo=feature_repo_copy, rebuild=True)
    assert _kinds(verification) == [
        (ChangeKind.FILE_CHANGED, "activity: data/activity.parquet"),
        (ChangeKind.RESULT, "built again"),
    ]
    assert not verification.is_proven


def test_file_of_later_rows_is_an_addition_that_changes_no_value(
    built: Path, feature_repo_copy: Path
) -> None:
    folder = feature_repo_copy / "data" / "profile"
    table = pq.read_table(folder / "a.parquet")
    later = pa.array([4_000_000_000_000_000] * table.num_rows).cast(table["event_timestamp"].type)
    i = table.column_names.index("event_timestamp")
    pq.write_table(table.set_column(i, "event_timestamp", later), folder / "b.parquet")
    verification = verify_file(built, repo=feature_repo_copy, rebuild=True)
    assert _kinds(verification) == [(ChangeKind.FILE_ADDED, "profile: data/profile/b.parquet")]
    assert verification.is_proven


def test_other_entity_rows_are_named(
    built: Path, feature_repo_copy: Path, entity_rows_path: Path
) -> None:
    rows = pq.read_table(entity_rows_path)
    verification = verify_file(built, repo=feature_repo_copy, entity_rows=rows.slice(1))
    assert _kinds(verification) == [(ChangeKind.ENTITY_ROWS, "entity rows")]
    lacking = rows.drop_columns(["customer_id"])
    (change,) = verify_file(built, repo=feature_repo_copy, entity_rows=lacking).changes
    assert change.now is not None
    assert change.now.startswith("cannot be joined: entity rows have no column `customer_id`")


def test_changed_value_of_the_datasets_file_is_named_and_never_proven(
    built: Path, feature_repo_copy: Path
) -> None:
    table, metadata = pq.read_table(built), pq.read_metadata(built).metadata
    ages = pc.add(table["profile__age"], 1)
    changed = table.set_column(table.column_names.index("profile__age"), "profile__age", ages)
    pq.write_table(changed.replace_schema_metadata(metadata), built)
    for rebuild in (False, True):
        verification = verify_file(built, repo=feature_repo_copy, rebuild=rebuild)
        assert _kinds(verification) == [(ChangeKind.RESULT, str(built))]
        assert not verification.is_proven
    assert verification.is_reproduced


def test_what_cannot_be_verified_is_an_error(
    built: Path, feature_repo_copy: Path, tmp_path: Path
) -> None:
    manifest = Manifest.from_json(built.with_name("manifest.json").read_text())
    with pytest.raises(ConfigurationError, match="nothing to build again"):
        TrainingDataset.verify(manifest, repo=feature_repo_copy, rebuild=True)
    with pytest.raises(ConfigurationError, match="no Feast repo"):
        TrainingDataset.verify(manifest, repo=tmp_path / "none")
    with pytest.raises(ConfigurationError, match="there is no manifest"):
        verify_file(tmp_path / "none.json", repo=feature_repo_copy)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        verify_file(tmp_path / "folder.json", repo=feature_repo_copy)
    (tmp_path / "other.json").write_bytes(b"\xff")
    with pytest.raises(TrainingError, match="manifest cannot be read"):
        verify_file(tmp_path / "other.json", repo=feature_repo_copy)
