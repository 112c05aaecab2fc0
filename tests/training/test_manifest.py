from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from pathlib import Path

import pytest
from feast import FeatureStore

from evenstore.errors import FormatVersionError, TrainingError
from evenstore.schema.compile import compile_store
from evenstore.semantics import Knowledge
from tests.training.samples import make_dataset, make_request
from training.dataset import TrainingDataset
from training.manifest import CreatedTimestamps, Manifest, SourceFile, ViewOrigin


def _build(repo: Path, rows: Path, knowledge: Knowledge) -> Manifest:
    return TrainingDataset.build("two_views_v1", rows, repo=repo, knowledge=knowledge).manifest


def test_manifest_names_what_the_dataset_is_made_from() -> None:
    manifest = make_dataset(20).manifest
    assert manifest.n_rows == 20
    assert manifest.join_keys == ("customer_id",)
    assert manifest.schema_fingerprint == make_request().fingerprint
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert {"evenstore", "feast", "duckdb", "pyarrow"} <= set(manifest.versions)
    assert manifest.versions["python"] == platform.python_version()
    assert make_dataset(20).manifest == manifest
    assert make_dataset(20, seed=1).manifest.result_hash != manifest.result_hash


def test_manifest_pins_every_source_file_and_fingerprint(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    manifest = _build(feature_repo, entity_rows_path, Knowledge.AS_KNOWN)
    registry = compile_store(FeatureStore(repo_path=str(feature_repo)))
    assert manifest.registry_fingerprint == registry.fingerprint
    schemas = {view.name: view.fingerprint for view in registry.feature_views}
    activity, profile = manifest.views
    assert activity.schema_fingerprint == schemas["activity"]
    assert profile.schema_fingerprint == schemas["profile"]
    assert [file.path for file in activity.files] == ["data/activity.parquet"]
    assert [file.path for file in profile.files] == ["data/profile/a.parquet"]
    for file in (*activity.files, *profile.files):
        content = (feature_repo / file.path).read_bytes()
        assert file.n_bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert str(feature_repo) not in manifest.to_json()
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_manifest_says_what_created_timestamps_did(
    feature_repo: Path, entity_rows_path: Path
) -> None:
    as_known = _build(feature_repo, entity_rows_path, Knowledge.AS_KNOWN)
    truth = _build(feature_repo, entity_rows_path, Knowledge.LATEST_TRUTH)
    states = [[view.created_timestamps for view in made.views] for made in (as_known, truth)]
    assert states == [
        [CreatedTimestamps.APPLIED, CreatedTimestamps.ABSENT],
        [CreatedTimestamps.IGNORED, CreatedTimestamps.ABSENT],
    ]
    assert as_known.unaffected_views == truth.unaffected_views == ("profile",)
    document = json.loads(as_known.to_json())
    assert [view["created_timestamps"] for view in document["views"]] == ["applied", "absent"]
    assert [view["n_created_nulls"] for view in document["views"]] == [0, None]
    assert document["unverifiable"] == []


def test_view_with_a_file_that_is_not_pinned_is_unverifiable() -> None:
    files = (SourceFile("a", 1, "0" * 64), SourceFile("s3://bucket/b", None, None))
    view = ViewOrigin("remote", "0", "0", CreatedTimestamps.ABSENT, None, files)
    manifest = dataclasses.replace(make_dataset(20).manifest, views=(view,))
    assert manifest.unverifiable == ("remote",)
    assert json.loads(manifest.to_json())["unverifiable"] == ["remote"]
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_manifest_of_another_version_or_form_is_refused() -> None:
    text = make_dataset(20).manifest.to_json()
    with pytest.raises(FormatVersionError, match="version 1"):
        Manifest.from_json(text.replace('"manifest_version": 2', '"manifest_version": 1'))
    with pytest.raises(TrainingError, match="cannot be read"):
        Manifest.from_json(text.replace('"knowledge": "as_known"', '"knowledge": "guessed"'))
    with pytest.raises(TrainingError, match="cannot be read"):
        Manifest.from_json("[]")
