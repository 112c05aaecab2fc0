"""Sources as files and columns: where they are found, and what is refused of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
from feast.types import Float64, Int64

from evenstore.errors import SchemaError, SourceUnavailableError, UnsupportedDtypeError
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.files import TimestampColumn
from evenstore.schema.source import (
    batch_source,
    check_source_types,
    find_files,
    open_source,
    read_column_types,
    resolve_path,
)

ROWS = pa.table(
    {
        "driver_id": pa.array([1], pa.int64()),
        "trips": pa.array([5], pa.int64()),
        "event_timestamp": pa.array([0], pa.timestamp("us", "UTC")),
        "created": pa.array([0], pa.timestamp("us", "UTC")),
    }
)


def write(path: Path, table: pa.Table = ROWS) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return str(path)


def source_of(path: Path | str, **options: Any) -> FileSource:
    settings: dict[str, Any] = {
        "name": "trips_source",
        "path": str(path),
        "timestamp_field": "event_timestamp",
        "created_timestamp_column": "created",
    }
    return FileSource(**(settings | options))


def view_of(source: FileSource) -> FeatureView:
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="stats",
        entities=[driver],
        schema=[Field(name="driver_id", dtype=Int64), Field(name="trips", dtype=Int64)],
        ttl=timedelta(days=1),
        source=source,
    )
    view.entity_columns = [Field(name="driver_id", dtype=Int64)]
    view.features = [Field(name="trips", dtype=Int64)]
    return view


def open_view(source: FileSource, repo_path: Path | None = None) -> Any:
    view = view_of(source)
    return open_source(view, compile_feature_view(view), repo_path)


def test_one_file_is_itself_also_when_its_name_has_glob_signs(tmp_path: Path) -> None:
    path = write(tmp_path / "rows[1].parquet")
    assert find_files(source_of(path), None) == (path,)


def test_folder_is_searched_deeply_and_in_order(tmp_path: Path) -> None:
    inner = write(tmp_path / "data" / "2024" / "b.parquet")
    outer = write(tmp_path / "data" / "a.parquet")
    assert find_files(source_of(tmp_path / "data"), None) == (inner, outer)


@pytest.mark.parametrize(
    "name", [".a.parquet", "_a.parquet", "_staging/a.parquet", ".tmp/a.parquet", "a.parquet.tmp"]
)
def test_file_not_yet_published_is_left_out(tmp_path: Path, name: str) -> None:
    published = write(tmp_path / "data" / "a.parquet")
    write(tmp_path / "data" / name)
    assert find_files(source_of(tmp_path / "data"), None) == (published,)


def test_folder_inside_a_hidden_one_is_found(tmp_path: Path) -> None:
    published = write(tmp_path / ".evenstore" / "_features" / "a.parquet")
    assert find_files(source_of(tmp_path / ".evenstore" / "_features"), None) == (published,)


def test_glob_takes_what_it_matches(tmp_path: Path) -> None:
    wanted = write(tmp_path / "2024-01.parquet")
    write(tmp_path / "2023-12.parquet")
    assert find_files(source_of(tmp_path / "2024-*.parquet"), None) == (wanted,)


def test_relative_path_counts_from_the_repo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "repo" / "data" / "a.parquet")
    monkeypatch.chdir(tmp_path)
    assert find_files(source_of("data"), tmp_path / "repo") == (path,)
    assert resolve_path("../x", tmp_path / "repo") == str(tmp_path / "x")
    assert resolve_path("x", None) == str(tmp_path / "x")


def test_file_url_is_a_path_and_other_urls_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    assert find_files(source_of(f"file://{path}"), None) == (path,)
    spaced = write(tmp_path / "a b" / "100%.parquet")
    assert find_files(source_of(Path(spaced).as_uri()), None) == (spaced,)
    assert find_files(source_of(f"file://localhost{path}"), None) == (path,)
    with pytest.raises(SourceUnavailableError, match="is a file of another machine"):
        resolve_path("file://server/share/a.parquet", None)
    with pytest.raises(SourceUnavailableError, match=r"`s3://bucket/a\.parquet` is no local path"):
        resolve_path("s3://bucket/a.parquet", None)


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.parquet", "nowhere.parquet"])
def test_source_without_files_names_the_source_and_the_path(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceUnavailableError) as caught:
        find_files(source_of(path), tmp_path)
    assert caught.value.message == f"data source `trips_source` has no Parquet files at `{path}`"


def test_empty_folder_is_a_source_without_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(SourceUnavailableError, match="no Parquet files"):
        find_files(source_of("data"), tmp_path)


def test_sources_of_other_kinds_are_refused_by_name() -> None:
    request = RequestSource(name="till", schema=[Field(name="basket", dtype=Float64)])
    with pytest.raises(SourceUnavailableError, match="`till` is a RequestSource"):
        find_files(request, None)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + bytes(64)])
def test_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceUnavailableError) as caught:
        open_view(source_of(tmp_path))
    assert caught.value.message == f"stats: `{path}` is no readable Parquet file"


def test_file_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="No such file"):
        read_column_types((str(tmp_path / "gone.parquet"),))


def test_replaced_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    assert read_column_types((path,))["trips"] == pa.int64()
    write(tmp_path / "a.parquet", ROWS.set_column(1, "trips", pa.array(["five"])))
    assert read_column_types((path,))["trips"] == pa.string()


def test_files_that_disagree_on_a_type_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", ROWS.set_column(1, "trips", pa.array([5.0])))
    with pytest.raises(
        SchemaError,
        match=r"stats: .*`trips` is int64 in `.*a\.parquet` and double in `.*b\.parquet`",
    ):
        open_view(source_of(tmp_path))


def test_columns_are_found_under_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet")
    source = open_view(source_of(tmp_path))
    assert source.paths == (path,)
    assert source.event == TimestampColumn("event_timestamp")
    assert source.created == TimestampColumn("created")
    assert source.columns == (("driver_id", "driver_id"), ("trips", "trips"))


def test_field_mapping_renames_join_keys_features_and_timestamps(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS.rename_columns(["drv", "n", "ts", "written"]))
    mapping = {"drv": "driver_id", "n": "trips", "ts": "event_timestamp"}
    source = open_view(
        source_of(tmp_path, field_mapping=mapping, created_timestamp_column="written")
    )
    assert source.columns == (("driver_id", "drv"), ("trips", "n"))
    assert source.event == TimestampColumn("ts")
    assert source.created == TimestampColumn("written")


def test_timestamp_is_named_as_the_source_names_it(tmp_path: Path) -> None:
    """A mapping onto the timestamp's own name must not move the timestamp."""
    swapped = pa.table(
        {
            "driver_id": [1],
            "ts": pa.array([0], pa.timestamp("us")),
            "other": pa.array([7], pa.timestamp("us")),
            "trips": [5],
        }
    )
    write(tmp_path / "a.parquet", swapped)
    source = open_view(
        source_of(
            tmp_path,
            timestamp_field="ts",
            created_timestamp_column=None,
            field_mapping={"other": "ts"},
        )
    )
    assert source.event == TimestampColumn("ts")


def test_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ROWS.drop_columns(["trips"]))
    with pytest.raises(SchemaError, match="stats: the source has no column `trips`") as caught:
        open_view(source_of(tmp_path))
    assert caught.value.hint == f"`{path}` has `created`, `driver_id`, `event_timestamp`"


@pytest.mark.parametrize("column", ["driver_id", "event_timestamp"])
def test_file_without_a_join_key_or_timestamp_is_named(tmp_path: Path, column: str) -> None:
    """Its rows would be lost in silence."""
    write(tmp_path / "a.parquet")
    path = write(tmp_path / "b.parquet", ROWS.drop_columns([column]))
    with pytest.raises(SchemaError) as caught:
        open_view(source_of(tmp_path))
    assert caught.value.message == f"stats: `{path}` has no column `{column}`"


@pytest.mark.parametrize("column", ["trips", "created"])
def test_file_from_before_a_feature_was_known_is_read(tmp_path: Path, column: str) -> None:
    write(tmp_path / "a.parquet", ROWS.drop_columns([column]))
    write(tmp_path / "b.parquet")
    assert open_view(source_of(tmp_path)).paths[0].endswith("a.parquet")


def test_columns_that_nobody_uses_may_disagree(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS.append_column("extra", pa.array([1])))
    write(tmp_path / "b.parquet", ROWS.append_column("extra", pa.array(["one"])))
    assert len(open_view(source_of(tmp_path)).paths) == 2


def test_types_that_only_arrow_tells_apart_agree(tmp_path: Path) -> None:
    """A pandas categorical, a long text and a zone by another name are stored alike."""
    table = ROWS.set_column(1, "city", pa.array(["Berlin"]))
    other = table.set_column(1, "city", pa.array(["Berlin"]).dictionary_encode())
    other = other.set_column(2, "event_timestamp", pa.array([0], pa.timestamp("us", "Asia/Tokyo")))
    write(tmp_path / "a.parquet", table)
    write(tmp_path / "b.parquet", other)
    types = read_column_types(find_files(source_of(tmp_path), None))
    assert types["city"] == pa.string()


def test_folder_of_a_table_is_not_read_as_loose_files(tmp_path: Path) -> None:
    """It holds files that the table has dropped already."""
    write(tmp_path / "delta" / "a.parquet")
    (tmp_path / "delta" / "_delta_log").mkdir()
    (tmp_path / "delta" / "_delta_log" / "00000000000000000000.json").write_text("{}")
    with pytest.raises(SourceUnavailableError, match="is a Delta table") as caught:
        find_files(source_of(tmp_path / "delta"), None)
    assert caught.value.hint == "give the FileSource file_format=DeltaFormat()"
    write(tmp_path / "iceberg" / "data" / "a.parquet")
    (tmp_path / "iceberg" / "metadata").mkdir()
    (tmp_path / "iceberg" / "metadata" / "v1.metadata.json").write_text("{}")
    with pytest.raises(SourceUnavailableError, match="is an Iceberg table"):
        find_files(source_of(tmp_path / "iceberg"), None)


def test_folder_called_metadata_is_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "metadata" / "a.parquet")
    assert find_files(source_of(tmp_path), None) == (path,)


def test_path_that_cannot_be_one_is_named() -> None:
    with pytest.raises(SourceUnavailableError, match="`trips_source`: cannot read"):
        find_files(source_of("a\0b"), None)
    with pytest.raises(SourceUnavailableError, match="File name too long"):
        find_files(source_of("/" + "a" * 300), None)


def test_thousand_files_are_one_source(tmp_path: Path) -> None:
    first = Path(write(tmp_path / "0000.parquet"))
    for number in range(1, 1000):
        (tmp_path / f"{number:04}.parquet").write_bytes(first.read_bytes())
    source = open_view(source_of(tmp_path))
    assert len(source.paths) == len(source.identities) == 1000
    assert open_view(source_of(tmp_path)) == source


@pytest.mark.parametrize("column", ["event_timestamp", "created"])
def test_timestamp_column_of_another_type_is_refused(tmp_path: Path, column: str) -> None:
    index = ROWS.column_names.index(column)
    write(tmp_path / "a.parquet", ROWS.set_column(index, column, pa.array([1_700_000_000])))
    with pytest.raises(UnsupportedDtypeError, match=f"timestamp column `{column}` is int64"):
        open_view(source_of(tmp_path))


@pytest.mark.parametrize("twin", ["Trips", "DRIVER_ID", "Event_Timestamp"])
def test_columns_that_differ_only_in_case_are_refused(tmp_path: Path, twin: str) -> None:
    """DuckDB would read the first of them under both names."""
    write(tmp_path / "a.parquet", ROWS.add_column(0, twin, pa.array([9])))
    with pytest.raises(SchemaError, match=f"`{twin}` and `.*` differ only in case"):
        open_view(source_of(tmp_path))


def test_unused_columns_that_differ_only_in_case_do_no_harm(tmp_path: Path) -> None:
    table = ROWS.append_column("Extra", pa.array([1])).append_column("extra", pa.array([2]))
    write(tmp_path / "a.parquet", table)
    assert open_view(source_of(tmp_path)).columns[1] == ("trips", "trips")


def test_narrowing_is_refused_with_view_feature_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ROWS.set_column(1, "raw", pa.array([5.5])))
    with pytest.raises(UnsupportedDtypeError) as caught:
        open_view(source_of(tmp_path, field_mapping={"raw": "trips"}))
    said = f"stats:trips: source column `raw` is double in `{path}`, declared Int64"
    assert caught.value.message == said
    assert caught.value.hint == ("not exact: declare Float64, or write the column as Int64")


def test_column_that_no_type_fits_says_what_to_write(tmp_path: Path) -> None:
    decimal = pa.array([1], pa.decimal128(10, 2))
    write(tmp_path / "a.parquet", ROWS.set_column(1, "trips", decimal))
    with pytest.raises(UnsupportedDtypeError) as caught:
        open_view(source_of(tmp_path))
    assert caught.value.hint == "not exact: write the column as Int64"


def test_check_passes_before_there_are_files_and_fails_on_bad_ones(tmp_path: Path) -> None:
    view = view_of(source_of(tmp_path / "data"))
    schema = compile_feature_view(view)
    check_source_types(view, schema, None)
    write(tmp_path / "data" / "a.parquet", ROWS.set_column(1, "trips", pa.array([5.5])))
    with pytest.raises(UnsupportedDtypeError):
        check_source_types(view, schema, None)


def test_push_source_stands_for_its_batch_source(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    batch = source_of(tmp_path)
    view = FeatureView(
        name="pushed",
        entities=[],
        schema=[Field(name="trips", dtype=Float64)],
        source=PushSource(name="push", batch_source=batch),
    )
    assert batch_source(view) == batch
