"""Sources on remote stores: a real S3 HTTP server, read through pyarrow and DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FileSource
from feast.credentials import ConnectionRef, CredentialProvider, register_credential_provider
from feast.data_format import DeltaFormat
from feast.types import Int64, String
from pyarrow import fs
from typing_extensions import override

from evenstore.duckdb_session import open_session
from evenstore.errors import ConfigurationError, OfflineStoreError, SourceUnavailableError
from evenstore.offline.publish import publish_rows
from evenstore.schema.compile import compile_feature_view
from evenstore.schema.files import RemoteStore
from evenstore.schema.footer import fingerprint_files, footers_of
from evenstore.schema.remote import inner_path, open_filesystem, outer_url, parse_store
from evenstore.schema.source import check_source_types
from evenstore.sql.scan import build_scan_sql
from tests.evenstore.schema.source_views import ROWS, open_view, read_rows, view_of

SECRET = "hush-hush-secret"  # noqa: S105 - of no real account.


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A real server, as `host:port`."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield ":".join(map(str, server.get_host_and_port()))
    server.stop()


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    settings = {
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    open_filesystem.cache_clear()
    yield
    open_filesystem.cache_clear()


@pytest.fixture
def bucket(s3_server: str, request: pytest.FixtureRequest) -> Callable[..., str]:
    """A function that puts an object into a bucket of this test, and gives the bucket's URL."""
    name = f"b{abs(hash(request.node.nodeid))}"

    def put(key: str, table: pa.Table | bytes = ROWS) -> str:
        filesystem = fs.S3FileSystem(
            endpoint_override=s3_server, scheme="http", allow_bucket_creation=True
        )
        filesystem.create_dir(name)
        if isinstance(table, pa.Table):
            pq.write_table(table, f"{name}/{key}", filesystem=filesystem)
        else:
            with filesystem.open_output_stream(f"{name}/{key}") as stream:
                stream.write(table)
        return f"s3://{name}"

    return put


def source_of(url: str, endpoint: str | None, **options: Any) -> FileSource:
    return FileSource(
        name="s",
        path=url,
        timestamp_field="event_timestamp",
        s3_endpoint_override=f"http://{endpoint}" if endpoint else None,
        **options,
    )


def test_object_folder_and_glob_are_read(s3_server: str, bucket: Callable[..., str]) -> None:
    root = bucket("data/a.parquet")
    bucket("data/inner/b.parquet")
    bucket("data/_staging/c.parquet")
    bucket("data/notes.txt", b"no rows")
    bucket("data2/d.parquet")
    found = {
        "data": ["data/a.parquet", "data/inner/b.parquet"],
        "data/": ["data/a.parquet", "data/inner/b.parquet"],
        "data/a.parquet": ["data/a.parquet"],
        "data/*.parquet": ["data/a.parquet"],
        "data/**/[ab].parquet": ["data/a.parquet", "data/inner/b.parquet"],
        "data*/?.parquet": ["data/a.parquet", "data2/d.parquet"],
    }
    for path, keys in found.items():
        source = open_view(source_of(f"{root}/{path}", s3_server))
        assert list(source.paths) == [f"{root}/{key}" for key in keys], path
    rows = read_rows(source_of(f"{root}/data", s3_server))
    assert [(row["driver_id"], row["_file"]) for row in rows] == [(1, 0), (1, 1)]


def test_columns_of_the_path_and_names_like_patterns(
    s3_server: str, bucket: Callable[..., str]
) -> None:
    root = bucket("t/country=G%20B/a[1]*.parquet")
    bucket("t/country=__HIVE_DEFAULT_PARTITION__/a b.parquet")
    rows = read_rows(source_of(f"{root}/t", s3_server), country=String, trips=Int64)
    assert [(row["country"], row["trips"]) for row in rows] == [("G B", 5), (None, 5)]


def test_endpoint_of_the_environment_is_used(
    s3_server: str, bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bucket("a.parquet")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3_server}")
    source = open_view(source_of(root, None))
    assert source.paths == (f"{root}/a.parquet",)
    assert len(read_rows(source_of(root, None))) == 1


def test_several_stores_are_read_in_one_session(s3_server: str, bucket: Callable[..., str]) -> None:
    root = bucket("a.parquet")
    with fsspec.filesystem("memory").open("/several/a.parquet", "wb") as file:
        pq.write_table(ROWS.set_column(1, "trips", pa.array([7])), file)
    by_name = s3_server.replace("127.0.0.1", "localhost")
    sources = [
        open_view(source_of(root, s3_server)),
        open_view(source_of("memory://several", None)),
        open_view(source_of(root, by_name)),
    ]
    assert len({source.scan_paths for source in sources}) == 3
    with open_session(sources=sources) as session:
        scans = [f"from {build_scan_sql(source)} select trips" for source in sources]
        assert [session.sql(scan).fetchall() for scan in scans] == [[(5,)], [(7,)], [(5,)]]


def test_files_are_known_by_listing_as_they_are_by_asking(
    s3_server: str, bucket: Callable[..., str]
) -> None:
    root = bucket("a.parquet")
    bucket("b.parquet")
    source = open_view(source_of(root, s3_server))
    assert fingerprint_files(source) == source.identities
    assert [footer.n_rows for footer in footers_of(source)] == [1, 1]
    bucket("b.parquet", pa.concat_tables([ROWS, ROWS]).append_column("more", pa.array([1, 2])))
    assert fingerprint_files(source) != source.identities
    reopened = open_view(source_of(root, s3_server))
    assert [footer.n_rows for footer in footers_of(reopened)] == [1, 2]


def test_delta_table_is_read(s3_server: str, bucket: Callable[..., str], tmp_path: Path) -> None:
    delta = pytest.importorskip("deltalake")
    table = ROWS.append_column("country", pa.array(["G B"]))
    delta.write_deltalake(tmp_path / "t", table, partition_by=["country"])
    root = ""
    for file in (tmp_path / "t").rglob("*.*"):
        root = bucket(f"t/{file.relative_to(tmp_path / 't')}", file.read_bytes())
    source = source_of(f"{root}/t", s3_server, file_format=DeltaFormat())
    (row,) = read_rows(source, country=String, trips=Int64)
    assert (row["country"], row["trips"]) == ("G B", 5)


def test_what_is_not_there_is_named_and_secrets_are_not(
    s3_server: str, bucket: Callable[..., str]
) -> None:
    root = bucket("a/a.parquet")
    bucket("bad/x.parquet", b"PAR1 not at all")
    cases = {
        (f"{root}/none", s3_server): "has no Parquet files at",
        (f"{root}/none/*.parquet", s3_server): "has no Parquet files at",
        ("s3://no-such-bucket/a", s3_server): "has no Parquet files at",
        (f"{root}/bad", s3_server): f"stats: `{root}/bad/x.parquet` is no readable Parquet",
        (f"{root}/a", "127.0.0.1:1"): "cannot read",
    }
    for (url, endpoint), said in cases.items():
        with pytest.raises(SourceUnavailableError) as caught:
            open_view(source_of(url, endpoint))
        assert said in caught.value.message
        assert url in caught.value.message
        assert SECRET not in str(caught.value)
        assert caught.value.hint


def test_object_that_is_gone_when_it_is_read_is_named(
    s3_server: str, bucket: Callable[..., str]
) -> None:
    root = bucket("a.parquet")
    source = open_view(source_of(root, s3_server))
    filesystem = fs.S3FileSystem(endpoint_override=s3_server, scheme="http")
    filesystem.delete_file(f"{root.removeprefix('s3://')}/a.parquet")
    said = rf"stats: `{root}/a\.parquet` cannot be read"
    with pytest.raises(SourceUnavailableError, match=said), open_session(sources=[source]) as db:
        db.sql(f"from {build_scan_sql(source)}").fetchall()


class _Vault(CredentialProvider):
    @override
    def provider_type(self) -> str:
        return "test-vault"

    @override
    def resolve(self, ref: ConnectionRef) -> dict[str, str]:
        if ref.name != "known":
            raise RuntimeError(SECRET)
        return {"AWS_ACCESS_KEY_ID": "id-of-source", "AWS_SECRET_ACCESS_KEY": SECRET}


def test_credentials_that_come_with_the_source_are_used_and_never_shown(
    s3_server: str, bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bucket("a.parquet")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    register_credential_provider(_Vault())
    known = ConnectionRef(provider="test-vault", name="known")
    source = open_view(source_of(root, s3_server, connection_ref=known))
    assert source.store is not None
    assert dict(source.store.options)["AWS_ACCESS_KEY_ID"] == "id-of-source"
    assert SECRET not in repr(source)
    assert SECRET not in build_scan_sql(source)
    assert len(read_rows(source_of(root, s3_server, connection_ref=known))) == 1
    unknown = ConnectionRef(provider="test-vault", name="unknown")
    with pytest.raises(SourceUnavailableError, match="credentials cannot be resolved") as caught:
        open_view(source_of(root, s3_server, connection_ref=unknown))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://key:hush@bucket/a", "https://user:hush@host/a.parquet"])
def test_credentials_in_a_url_are_refused_without_showing_them(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_view(source_of(url, None))
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        open_view(source_of("s3://bucket/a", "key:hush@host"))


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        ("nosuch://a/b", "nothing is known that reads nosuch://", "s3://"),
        ("sftp://host/a.parquet", "nothing is installed that reads sftp://", "paramiko"),
    ],
)
def test_scheme_that_nothing_reads_says_what_to_do(url: str, said: str, hint: str) -> None:
    with pytest.raises(SourceUnavailableError) as caught:
        open_view(source_of(url, None))
    assert said in caught.value.message
    assert hint in str(caught.value.hint)


def test_azure_needs_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigurationError, match="does not say its storage account"):
        parse_store("abfs://box/a", where="s")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    assert parse_store("abfs://box/a", where="s") == RemoteStore("abfs", "shop")
    url = "abfss://box@shop.dfs.core.windows.net/data/a.parquet"
    store = parse_store(url, where="s")
    assert store == RemoteStore("abfss", "shop")
    assert inner_path(store, url) == "box/data/a.parquet"
    assert outer_url(store, url, "box/data/b.parquet").endswith(".net/data/b.parquet")
    assert store.session_scheme != RemoteStore("abfss", "other").session_scheme


def test_other_schemes_are_read_through_fsspec() -> None:
    memory = fsspec.filesystem("memory")
    with memory.open("/evenstore/day=2/a.parquet", "wb") as file:
        pq.write_table(ROWS, file)
    (row,) = read_rows(source_of("memory://evenstore", None), day=Int64, trips=Int64)
    assert (row["day"], row["trips"]) == (2, 5)


def test_apply_does_not_need_the_files_yet(s3_server: str) -> None:
    view = view_of(source_of("s3://not-made-yet/a", s3_server))
    check_source_types(view, compile_feature_view(view), None)


def test_rows_are_not_published_to_a_remote_store(tmp_path: Path) -> None:
    with pytest.raises(OfflineStoreError, match="on a remote store") as caught:
        publish_rows(source_of("s3://bucket/a", None), tmp_path, ROWS)
    assert caught.value.hint == "write to it with its own tools, or use a local folder"
