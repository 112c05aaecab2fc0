"""The scan: files by their names, columns of their paths beside those of the files."""

from __future__ import annotations

from evenstore.dtypes import Dtype
from evenstore.schema.files import PathColumn, RemoteStore, SourceFiles, TimestampColumn
from evenstore.sql.scan import build_probe_sql, build_scan_sql

LOCAL = SourceFiles(
    paths=("/data/it's.parquet", "/data/a[1]*.parquet"),
    event=TimestampColumn("at"),
    created=TimestampColumn("written"),
    columns=(("k", "key"), ("x", 'a"b')),
)
READ = "union_by_name = true, hive_partitioning = false)"


def test_names_are_quoted_and_are_no_patterns() -> None:
    assert build_scan_sql(LOCAL) == (
        f"read_parquet(['/data/it''s.parquet', '/data/a[[]1][*].parquet'], {READ}"
    )


def test_columns_of_the_paths_are_typed_lists_by_the_number_of_the_file() -> None:
    source = SourceFiles(
        paths=("/a", "/b"),
        event=TimestampColumn("at"),
        created=None,
        columns=(),
        path_columns=(
            PathColumn("land", Dtype.STRING, ("it's", None)),
            PathColumn("n", Dtype.INT32, (-1, None)),
            PathColumn("on", Dtype.BOOL, (True, False)),
            PathColumn("x", Dtype.FLOAT64, (0.1, float("nan"))),
            PathColumn('a"t', Dtype.UNIX_TIMESTAMP, (-1, 2)),
        ),
    )
    place = "[cast(file_index as bigint) + 1]"
    said = f"""(
  select *, file_index, file_row_number,
    cast(['it''s', null] as varchar[]){place} as "land",
    cast([-1, null] as integer[]){place} as "n",
    cast([true, false] as boolean[]){place} as "on",
    cast(['0.1', 'nan'] as double[]){place} as "x",
    make_timestamptz(cast([-1, 2] as bigint[]){place}) as "a""t"
  from read_parquet(['/a', '/b'], {READ}
)"""  # noqa: S608 - golden text.
    assert build_scan_sql(source) == said


def test_remote_files_are_named_as_their_session_knows_them() -> None:
    def scan(store: RemoteStore) -> str:
        paths = ("s3://box/a.parquet",)
        return build_scan_sql(SourceFiles(paths, TimestampColumn("at"), None, (), store=store))

    secret = (("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hush"))
    assert "['s3://box/a.parquet']" in scan(RemoteStore("s3"))
    with_endpoint = scan(RemoteStore("s3", endpoint="http://one"))
    assert "s3://box" not in with_endpoint
    assert with_endpoint != scan(RemoteStore("s3", endpoint="http://two"))
    assert "hush" not in scan(RemoteStore("s3", options=secret))


def test_probe_reads_every_used_column() -> None:
    assert build_probe_sql(LOCAL).startswith(
        'select max(hash("key", "a""b", "at", "written"))\nfrom read_parquet('
    )
