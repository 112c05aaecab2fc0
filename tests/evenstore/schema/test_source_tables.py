"""Delta and Iceberg tables: the files that their logs name, no others; what is refused of them."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast import FileSource
from feast.data_format import DeltaFormat
from feast.infra.data_sources.contrib.iceberg_catalog import IcebergSource
from feast.types import Int64, String, UnixTimestamp

from evenstore.errors import (
    OfflineStoreError,
    SchemaError,
    SourceUnavailableError,
    UnsupportedDtypeError,
)
from evenstore.offline.publish import publish_rows
from tests.evenstore.schema.source_views import open_view, read_rows

ROWS = pa.table(
    {
        "driver_id": pa.array([1, 2, 3], pa.int64()),
        "trips": pa.array([10, 20, 30], pa.int64()),
        "country": ["G B", None, "F/R"],
        "event_timestamp": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
    }
)
PAIRS = {(1, "G B"), (2, None), (3, "F/R")}


def delta_source(path: Path) -> FileSource:
    return FileSource(
        name="t", path=str(path), file_format=DeltaFormat(), timestamp_field="event_timestamp"
    )


def pairs_of(source: Any) -> set[tuple[int, str | None]]:
    rows = read_rows(source, trips=Int64, country=String)
    assert all(row["trips"] == row["driver_id"] * 10 for row in rows)
    return {(row["driver_id"], row["country"]) for row in rows}


@pytest.fixture
def delta() -> Any:
    return pytest.importorskip("deltalake")


@pytest.mark.parametrize("partition_by", [None, ["country"]], ids=["plain", "partitioned"])
def test_delta_table_is_read_as_its_log_says(
    tmp_path: Path, delta: Any, partition_by: list[str] | None
) -> None:
    path = tmp_path / "a b"
    delta.write_deltalake(path, ROWS, partition_by=partition_by)
    assert pairs_of(delta_source(path)) == PAIRS
    delta.DeltaTable(path).delete("driver_id = 2")
    assert pairs_of(delta_source(path)) == PAIRS - {(2, None)}
    delta.write_deltalake(path, ROWS.slice(1, 1), mode="append")
    assert pairs_of(delta_source(path)) == PAIRS


def test_delta_partition_keeps_the_type_of_the_log(tmp_path: Path, delta: Any) -> None:
    table = ROWS.append_column("n", pa.array([1, 2, None], pa.int64()))
    at = pa.array([-1, 1_999_999, 0], pa.timestamp("us", "UTC"))
    table = table.append_column("at", at)
    delta.write_deltalake(tmp_path / "t", table, partition_by=["n", "at"])
    rows = read_rows(delta_source(tmp_path / "t"), n=Int64, at=UnixTimestamp)
    seconds = {row["driver_id"]: (row["n"], row["at"].timestamp()) for row in rows}
    assert seconds == {1: (1, -1.0), 2: (2, 1.0), 3: (None, 0.0)}
    with pytest.raises(UnsupportedDtypeError, match="partition column `n` is int64, declared Str"):
        open_view(delta_source(tmp_path / "t"), n=String)


def test_delta_feature_added_later_is_null_before(tmp_path: Path, delta: Any) -> None:
    delta.write_deltalake(tmp_path / "t", ROWS)
    more = ROWS.append_column("city", pa.array(["x", "y", "z"]))
    delta.write_deltalake(tmp_path / "t", more, mode="append", schema_mode="merge")
    rows = read_rows(delta_source(tmp_path / "t"), city=String)
    assert sorted(str(row["city"]) for row in rows) == ["None", "None", "None", "x", "y", "z"]


def test_delta_table_is_relative_to_the_repo(tmp_path: Path, delta: Any) -> None:
    delta.write_deltalake(tmp_path / "data" / "t", ROWS)
    source = FileSource(
        name="t", path="data/t", file_format=DeltaFormat(), timestamp_field="event_timestamp"
    )
    (path,) = open_view(source, tmp_path).paths
    assert path.startswith(f"{tmp_path}/data/t/")


def test_delta_table_that_is_none_is_named(tmp_path: Path, delta: Any) -> None:  # noqa: ARG001
    with pytest.raises(SourceUnavailableError, match=r"`t`: `.*/none` is no readable Delta table"):
        open_view(delta_source(tmp_path / "none"))


def test_delta_table_whose_files_are_not_the_table_is_refused(tmp_path: Path, delta: Any) -> None:
    delta.write_deltalake(
        tmp_path / "t", ROWS, configuration={"delta.enableDeletionVectors": "true"}
    )
    assert pairs_of(delta_source(tmp_path / "t")) == PAIRS  # As long as there are none.
    log = tmp_path / "t" / "_delta_log" / "00000000000000000000.json"
    log.write_text(
        log.read_text().replace(
            '"configuration":{', '"configuration":{"delta.columnMapping.mode":"name",'
        )
    )
    with pytest.raises(SourceUnavailableError, match=r"`t`: the Delta table .* maps its columns"):
        open_view(delta_source(tmp_path / "t"))


def test_delta_table_with_deleted_rows_in_its_files_is_refused(tmp_path: Path, delta: Any) -> None:
    delta.write_deltalake(tmp_path / "t", ROWS)
    log = tmp_path / "t" / "_delta_log"
    actions = [json.loads(line) for line in (log / f"{0:020}.json").read_text().splitlines()]
    (added,) = (action["add"] for action in actions if "add" in action)
    # What Spark writes: magic number, number of bitmaps, their keys, and the bitmap of row 1.
    bitmap = pytest.importorskip("pyroaring").BitMap([1]).serialize()
    vector = (1681511377).to_bytes(4, "little") + (1).to_bytes(8, "little") + bytes(4) + bitmap
    inline = {
        "storageType": "i",
        "pathOrInlineDv": _z85(vector + bytes(-len(vector) % 4)),
        "sizeInBytes": len(vector),
        "cardinality": 1,
    }
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
    commit = [
        {"protocol": protocol | {"readerFeatures": features, "writerFeatures": features}},
        {"remove": {"path": added["path"], "dataChange": True, "deletionTimestamp": 0}},
        {"add": added | {"deletionVector": inline}},
    ]
    (log / f"{1:020}.json").write_text("\n".join(map(json.dumps, commit)))
    with pytest.raises(SourceUnavailableError, match=r"`t`: the Delta table .* has deletion vec"):
        open_view(delta_source(tmp_path / "t"))


def _z85(raw: bytes) -> str:
    """Encode as Delta does: base85 with ZeroMQ's letters."""
    python = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    zeromq = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    return base64.b85encode(raw).decode().translate(str.maketrans(python, zeromq))


def test_delta_table_cannot_be_added_to_as_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OfflineStoreError, match="`t` is a table or on a remote store"):
        publish_rows(delta_source(tmp_path / "t"), tmp_path, ROWS)


@pytest.fixture
def iceberg(tmp_path: Path) -> Any:
    """A real catalog in SQLite, and a table in it."""
    catalogs = pytest.importorskip("pyiceberg.catalog")
    catalog = catalogs.load_catalog("test", type="sql", **iceberg_properties(tmp_path))
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.stats", schema=ROWS.schema)
    table.append(ROWS)
    yield table
    catalog.close()


def iceberg_properties(tmp_path: Path) -> dict[str, str]:
    return {"uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}/ware house"}


def iceberg_source(tmp_path: Path, table: str = "stats") -> IcebergSource:
    properties = iceberg_properties(tmp_path)
    return IcebergSource(
        name="t",
        catalog_type="sql",
        catalog_name="test",
        warehouse=properties["warehouse"],
        namespace="shop",
        table=table,
        catalog_properties={"uri": properties["uri"]},
        timestamp_field="event_timestamp",
    )


def test_iceberg_table_is_read_as_its_snapshot_says(tmp_path: Path, iceberg: Any) -> None:
    assert pairs_of(iceberg_source(tmp_path)) == PAIRS
    iceberg.delete("driver_id = 2")
    assert pairs_of(iceberg_source(tmp_path)) == PAIRS - {(2, None)}
    with iceberg.update_spec() as spec:
        spec.add_identity("country")
    iceberg.append(ROWS.slice(1, 1))
    assert pairs_of(iceberg_source(tmp_path)) == PAIRS


def test_iceberg_source_that_came_from_the_registry_is_read(tmp_path: Path, iceberg: Any) -> None:
    assert iceberg is not None
    source = IcebergSource.from_proto(iceberg_source(tmp_path).to_proto())
    assert pairs_of(source) == PAIRS


def test_iceberg_table_with_a_renamed_column_is_refused(tmp_path: Path, iceberg: Any) -> None:
    """Older files have the older name: its values would be null."""
    with iceberg.update_schema() as schema:
        schema.rename_column("country", "land")
    with pytest.raises(SourceUnavailableError, match="`t`: column `country` of the Iceberg table"):
        open_view(iceberg_source(tmp_path), land=String)


def test_iceberg_table_that_is_none_is_named(tmp_path: Path, iceberg: Any) -> None:
    assert iceberg is not None
    with pytest.raises(SourceUnavailableError, match=r"`t`: `.*shop\.none` is no readable Iceberg"):
        open_view(iceberg_source(tmp_path, "none"))


def test_iceberg_column_is_checked_as_any_other(tmp_path: Path, iceberg: Any) -> None:
    assert iceberg is not None
    with pytest.raises(SchemaError, match="stats: the source has no column `nope`"):
        open_view(iceberg_source(tmp_path), nope=Int64)


@pytest.mark.parametrize("package", ["deltalake", "pyiceberg"])
def test_reader_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    is_delta = package == "deltalake"
    source = delta_source(tmp_path) if is_delta else iceberg_source(tmp_path)
    with pytest.raises(SourceUnavailableError, match=f"`t`: .* needs the package {package}") as got:
        open_view(source)
    assert got.value.hint == f"pip install 'evenstore[{'delta' if is_delta else 'iceberg'}]'"
