from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.errors import SourceUnavailableError, TrainingError
from evenstore.schema.files import SourceFiles, TimestampColumn
from evenstore.schema.model import FeatureViewSchema
from evenstore.schema.request import ViewRead
from evenstore.semantics import Knowledge
from training.manifest import SourceFile
from training.sources import hash_files, hash_views, pin_files, pin_view

_READ = ViewRead(FeatureViewSchema("view", (), (), None), "view", (), ())


def _source(*paths: Path | str, created: str | None = "created") -> SourceFiles:
    return SourceFiles(
        paths=tuple(map(str, paths)),
        event=TimestampColumn("event_timestamp"),
        created=None if created is None else TimestampColumn(created),
        columns=(),
    )


def _write(path: Path, created: list[int | None], **options: object) -> Path:
    column = pa.array(created, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"created": column}), path, **options)
    return path


def test_files_are_named_relative_to_the_repo_and_in_order(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    paths = [repo / "data" / "b", tmp_path / "a", repo / "data" / "a"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    hashed = hash_files(pin_files(map(str, paths), repo))
    assert list(hashed.values()) == [
        SourceFile("../a", 1, hashlib.sha256(b"a").hexdigest()),
        SourceFile("data/a", 1, hashlib.sha256(b"a").hexdigest()),
        SourceFile("data/b", 1, hashlib.sha256(b"b").hexdigest()),
    ]


def test_file_that_shares_no_folder_with_the_repo_keeps_its_path(tmp_path: Path) -> None:
    (pinned,) = pin_files(["/etc/passwd"], tmp_path)
    assert pinned.name == "/etc/passwd"


def test_remote_file_cannot_be_pinned() -> None:
    (pinned,) = pin_files(["s3://bucket/a.parquet"], Path("/repo"))
    assert hash_files([pinned]) == {pinned: SourceFile("s3://bucket/a.parquet", None, None)}


def test_changed_and_removed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    pinned = pin_files([str(path)], tmp_path)
    stat = path.stat()
    # As long and as old as before, as a copy that keeps times is; but another file.
    (tmp_path / "other").write_bytes(b"two")
    (tmp_path / "other").replace(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(TrainingError, match="was changed while"):
        hash_files(pinned)
    path.unlink()
    with pytest.raises(SourceUnavailableError, match="cannot be read"):
        hash_files(pinned)
    with pytest.raises(SourceUnavailableError, match="cannot be read"):
        pin_files([str(path)], tmp_path)


@pytest.mark.parametrize("has_statistics", [True, False])
def test_rows_without_a_created_timestamp_are_counted(tmp_path: Path, has_statistics: bool) -> None:
    options = {"row_group_size": 2, "write_statistics": has_statistics}
    one = _write(tmp_path / "one", [1, None, None, 4], **options)
    other = _write(tmp_path / "other", [None, 2], **options)
    lacking = tmp_path / "without"
    pq.write_table(pa.table({"x": [1, 2, 3]}), lacking)
    view = pin_view(_READ, _source(one, other, lacking), tmp_path)
    (origin,) = hash_views([view], Knowledge.AS_KNOWN)
    assert origin.n_created_nulls == 3 + 3
    (origin,) = hash_views([view], Knowledge.LATEST_TRUTH)
    assert origin.n_created_nulls is None


def test_source_fingerprint_changes_with_what_the_timestamps_are(tmp_path: Path) -> None:
    path = _write(tmp_path / "one", [1])
    one, other = (
        pin_view(_READ, _source(path, created=created), tmp_path) for created in ("created", None)
    )
    assert one.source_fingerprint != other.source_fingerprint
    assert one.files == other.files
    assert pin_view(_READ, _source(path), tmp_path) == one
