"""Sessions: pinned to UTC, bounded, deaf to Python's variables; DuckDB's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenstore.dtypes import Dtype
from evenstore.duckdb_session import (
    SessionLimits,
    find_damaged_file,
    open_session,
    translate_duckdb_error,
)
from evenstore.errors import ConfigurationError, OfflineStoreError, SourceUnavailableError
from evenstore.schema.files import PathColumn, SourceFiles, TimestampColumn
from evenstore.sql.scan import build_scan_sql

UNREADABLE = {"Error", "IOException", "HTTPException", "SerializationException"}


def kinds_of(kind: type[duckdb.Error]) -> Iterator[type[duckdb.Error]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from kinds_of(narrower)


@pytest.mark.parametrize("kind", [*kinds_of(duckdb.Error)], ids=lambda kind: kind.__name__)
def test_every_error_of_duckdb_is_ours_with_its_cause(kind: type[duckdb.Error]) -> None:
    said = "what happened\nand more"
    with pytest.raises(OfflineStoreError) as caught, open_session():
        raise kind(said)
    assert isinstance(caught.value, SourceUnavailableError) == (kind.__name__ in UNREADABLE)
    assert "what happened" in caught.value.message
    assert "and more" not in caught.value.message
    assert isinstance(caught.value.__cause__, kind)


def test_error_without_text_says_its_kind() -> None:
    assert translate_duckdb_error(duckdb.BinderException()).message == "DuckDB: BinderException"


def test_damaged_file_is_an_unreadable_source(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"no parquet at all")
    with pytest.raises(SourceUnavailableError, match="cannot be read"), open_session() as session:
        session.read_parquet(str(path)).fetchall()


def test_full_memory_says_what_to_raise(tmp_path: Path) -> None:
    limits = SessionLimits(memory_limit="10MB", threads=1, temp_directory=str(tmp_path / "file"))
    (tmp_path / "file").write_text("not a folder, so nothing can spill")
    with pytest.raises(OfflineStoreError) as caught, open_session(limits) as session:
        session.sql("select i, random() from range(5_000_000) t(i) order by 2").fetchnumpy()
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    "limits",
    [SessionLimits(memory_limit="plenty"), SessionLimits(threads=0), SessionLimits(threads=-1)],
    ids=str,
)
def test_limit_without_meaning_is_a_setting_to_check(limits: SessionLimits) -> None:
    with pytest.raises(ConfigurationError) as caught, open_session(limits):
        pytest.fail("a session was opened")
    assert "feature_store.yaml" in str(caught.value.hint)


def test_limits_reach_duckdb() -> None:
    with open_session(SessionLimits(memory_limit="64MiB", threads=1)) as session:
        query = "select current_setting('threads'), current_setting('memory_limit')"
        assert session.sql(query).fetchall() == [(1, "64.0 MiB")]


def test_naive_timestamps_are_utc_whatever_the_machine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    with open_session() as session:
        query = "select epoch_us(timestamptz '1970-01-01'), epoch_us(timestamp '1970-01-01')"
        assert session.sql(query).fetchall() == [(0, 0)]


def test_variables_of_python_are_no_relations() -> None:
    secret = pa.table({"a": [1]})
    with pytest.raises(OfflineStoreError, match="secret"), open_session() as session:
        session.sql("select * from secret").fetchall()
    with open_session() as session:
        session.register("given", secret)
        assert session.sql("select * from given").fetchall() == [(1,)]


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyboardInterrupt), open_session():
        raise KeyboardInterrupt


def test_damaged_file_among_others_is_named_with_its_view(tmp_path: Path) -> None:
    """DuckDB says only what it stumbled on."""
    table = pa.table({"k": range(9000), "at": pa.array([0] * 9000, pa.timestamp("us"))})
    paths = [tmp_path / f"{name}.parquet" for name in "abc"]
    for path in paths:
        pq.write_table(table, path)
    content = bytearray(paths[1].read_bytes())
    content[4:400] = bytes(396)
    paths[1].write_bytes(content)
    source = SourceFiles(
        paths=tuple(map(str, paths)),
        event=TimestampColumn("at"),
        created=None,
        columns=(("k", "k"),),
        name="stats",
        path_columns=(PathColumn("x", Dtype.STRING, ("1", "2", "3")),),
    )
    with (
        pytest.raises(SourceUnavailableError, match=f"^stats: `{paths[1]}` cannot be read"),
        open_session(sources=[source]) as session,
    ):
        session.sql(f"from {build_scan_sql(source)} select max(k)").fetchall()
    assert find_damaged_file([replace(source, paths=(str(paths[0]),))]) is None


def test_error_that_is_not_of_a_file_is_not_blamed_on_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1]}), tmp_path / "a.parquet")
    source = SourceFiles((str(tmp_path / "a.parquet"),), TimestampColumn("k"), None, ())
    with pytest.raises(OfflineStoreError, match="nope"), open_session(sources=[source]) as session:
        session.sql(f"from {build_scan_sql(source)} select nope").fetchall()


def test_missing_extension_is_named_with_what_to_do() -> None:
    said = "no extension `httpfs`"
    with pytest.raises(OfflineStoreError, match=said) as caught, open_session() as session:
        session.sql("select * from 's3://bucket/a.parquet'").fetchall()
    assert "data source" in str(caught.value.hint)
