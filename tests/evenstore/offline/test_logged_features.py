"""Logs of served features: published whole, never rewritten, read back as they were."""

from __future__ import annotations

import datetime as dt
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureStore, ValueType
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationReport
from feast.feature_logging import FeatureServiceLoggingSource, LoggingConfig
from feast.infra.offline_stores.file_source import (
    FileLoggingDestination,
    SavedDatasetFileStorage,
)
from feast.infra.offline_stores.snowflake_source import SnowflakeLoggingDestination
from feast.saved_dataset import SavedDataset, ValidationReference
from feast.types import Array, Float64, Int64, Map

from evenstore.errors import OfflineStoreError, SourceUnavailableError, UnsupportedDtypeError
from evenstore.offline.logged_features import write_logged_features
from tests.support.feast_repo import FeastRepo

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


class Repo:
    """A feature service whose logs go to the folder `logs` of the repo."""

    def __init__(
        self, folder: Path, features: dict[str, Any] | None = None, **options: Any
    ) -> None:
        repo = FeastRepo(folder / "repo")
        driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
        features = features or {"trips": Int64, "last": Array(Float64)}
        stats = repo.view("stats", [driver], {"driver_id": Int64, **features})
        config = LoggingConfig(FileLoggingDestination(**({"path": "logs"} | options)))
        self.store: FeatureStore = repo.apply(
            driver, stats, FeatureService(name="svc", features=[stats], logging_config=config)
        )
        self.service = self.store.get_feature_service("svc")
        self.logs = repo.path / "logs"

    def write(self, data: pa.Table | Path, config: LoggingConfig | None = None) -> None:
        config = config or self.service.logging_config
        assert config is not None
        source = FeatureServiceLoggingSource(self.service, self.store.project)
        write_logged_features(self.store.config, data, source, config, self.store.registry)

    def read(self, start: dt.datetime, end: dt.datetime) -> pa.Table:
        """Read as `store.validate_logged_features` does."""
        job = self.store._get_provider().retrieve_feature_service_logs(
            self.service, start, end, self.store.config, self.store.registry
        )
        return job.to_arrow().sort_by("__request_id")


def logs(*numbers: int) -> pa.Table:
    """Make one log row per number, a day apart."""
    stamp = pa.timestamp("us", "UTC")
    instants = [NOON + DAY * number for number in numbers]
    n_rows = len(numbers)
    return pa.table(
        {
            "driver_id": pa.array(numbers, pa.int64()),
            "stats__trips": pa.array([None, *numbers[1:]][:n_rows], pa.int64()),
            "stats__trips__timestamp": pa.array(instants, stamp),
            "stats__trips__status": pa.array([1] * n_rows, pa.int32()),
            "stats__last": pa.array([[0.5]] * n_rows, pa.list_(pa.float64())),
            "stats__last__timestamp": pa.array(instants, stamp),
            "stats__last__status": pa.array([1] * n_rows, pa.int32()),
            "__log_timestamp": pa.array(instants, stamp),
            "__log_date": pa.array([instant.date() for instant in instants], pa.date32()),
            "__request_id": pa.array([f"r{number}" for number in numbers]),
        }
    )


def test_logs_become_new_files_and_are_read_back(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.write(logs(0, 1))
    first = list(repo.logs.iterdir())
    content = first[0].read_bytes()
    repo.write(logs(2))
    assert len(list(repo.logs.iterdir())) == 2
    assert first[0].read_bytes() == content
    table = repo.read(NOON, NOON + DAY)
    assert table["__request_id"].to_pylist() == ["r0", "r1"]
    wanted = logs(0, 1)
    for name in wanted.column_names:
        assert table[name].to_pylist() == wanted[name].to_pylist(), name
    assert repo.read(NOON, NOON + 2 * DAY).num_rows == 3


def test_columns_in_another_order_and_width_are_converted_exactly(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    frame = logs(0, 1).select(list(reversed(logs().column_names))).to_pandas()
    frame["stats__trips__status"] = frame["stats__trips__status"].astype("int64")
    repo.write(pa.Table.from_pandas(frame, preserve_index=False))
    repo.write(logs(2))
    (schema,) = {str(pq.read_schema(path).remove_metadata()) for path in repo.logs.iterdir()}
    assert "stats__trips__status: int32" in schema
    assert repo.read(NOON, NOON + 9 * DAY)["stats__trips"].to_pylist() == [None, 1, None]


def test_path_may_be_a_file_or_a_folder_of_files(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    spool = tmp_path / "spool"
    (spool / "day=1").mkdir(parents=True)
    pq.write_table(logs(0), spool / "a.parquet")
    pq.write_table(logs(1), spool / "day=1" / "b.parquet")
    pq.write_table(logs(7), spool / ".c.parquet")
    repo.write(spool)
    repo.write(spool / "a.parquet")
    assert repo.read(NOON, NOON + 9 * DAY)["__request_id"].to_pylist() == ["r0", "r0", "r1"]


def test_partitions_keep_their_columns_in_the_files(tmp_path: Path) -> None:
    """Stock's stores lose a partition's column: it is in neither the file nor its path."""
    repo = Repo(tmp_path, partition_by=["driver_id", "__request_id"])
    table = logs(0, 1).set_column(9, "__request_id", pa.array(["a/b=c", None]))
    repo.write(table)
    repo.write(table.slice(1))
    found = sorted(str(path.parent.relative_to(repo.logs)) for path in repo.logs.rglob("*.parquet"))
    null = "driver_id=1/__request_id=__HIVE_DEFAULT_PARTITION__"
    assert found == ["driver_id=0/__request_id=a%2Fb%3Dc", null, null]
    for path in repo.logs.rglob("*.parquet"):
        with pq.ParquetFile(path) as file:
            assert file.schema_arrow.names == table.column_names


def test_partitions_are_read_back(tmp_path: Path) -> None:
    repo = Repo(tmp_path, partition_by=["driver_id"])
    repo.write(logs(0, 1, 2))
    assert len(list(repo.logs.iterdir())) == 3
    assert repo.read(NOON + DAY, NOON + 9 * DAY)["driver_id"].to_pylist() == [1, 2]


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: repo.write(logs(number)), range(24)))
    assert sorted(repo.read(NOON, NOON + 30 * DAY)["driver_id"].to_pylist()) == list(range(24))


def test_timestamps_between_two_seconds_are_kept(tmp_path: Path) -> None:
    """Feast's own schema of the logs has whole seconds."""
    repo = Repo(tmp_path)
    instant = NOON + dt.timedelta(microseconds=123_456)
    between = pa.array([instant], pa.timestamp("us", "UTC"))
    repo.write(logs(0).set_column(2, "stats__trips__timestamp", between))
    seconds = pa.array([NOON], pa.timestamp("s", "UTC"))
    repo.write(logs(1).set_column(2, "stats__trips__timestamp", seconds))
    answer = repo.read(NOON, NOON + DAY)["stats__trips__timestamp"].to_pylist()
    assert [value.astimezone(dt.UTC) for value in answer] == [instant, NOON]


def test_type_that_feast_cannot_log_is_refused(tmp_path: Path) -> None:
    repo = Repo(tmp_path, {"trips": Map}, path="logs")
    with pytest.raises(UnsupportedDtypeError, match="no logged form of type Map"):
        repo.write(logs(0))


def test_no_rows_publish_nothing(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.write(logs())
    assert not repo.logs.exists()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (logs(0).drop_columns("stats__trips"), "differ from the logs': `stats__trips`"),
        (logs(0).append_column("extra", pa.array([1])), "differ from the logs': `extra`"),
        (
            logs(0).set_column(1, "stats__trips", pa.array(["x"])),
            "column `stats__trips` of the table is string",
        ),
        (
            logs(0).set_column(3, "stats__trips__status", pa.array([2**40])),
            "column `stats__trips__status` of the table is int64",
        ),
    ],
    ids=["missing", "extra", "type", "overflow"],
)
def test_logs_with_other_columns_are_refused_by_name(
    tmp_path: Path, data: pa.Table, named: str
) -> None:
    repo = Repo(tmp_path)
    with pytest.raises(OfflineStoreError, match=named):
        repo.write(data)
    assert not repo.logs.exists()


def test_one_bad_file_of_a_folder_publishes_none(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.write(logs(5))
    before = sorted(repo.logs.iterdir())
    spool = tmp_path / "spool"
    spool.mkdir()
    pq.write_table(logs(0), spool / "a.parquet")
    pq.write_table(logs(1).drop_columns("stats__last"), spool / "b.parquet")
    with pytest.raises(OfflineStoreError, match=r"columns of `.*b\.parquet` differ.*`stats__last`"):
        repo.write(spool)
    (spool / "b.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(SourceUnavailableError, match=r"b\.parquet` is no readable Parquet file"):
        repo.write(spool)
    assert sorted(repo.logs.iterdir()) == before


def test_columns_that_differ_from_earlier_files_are_refused_by_name(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.logs.mkdir()
    earlier = logs(0).drop_columns("driver_id").set_column(0, "stats__trips", pa.array([1.0]))
    pq.write_table(earlier, repo.logs / "earlier.parquet")
    with pytest.raises(OfflineStoreError, match=r"earlier\.parquet`: `driver_id`, `stats__trips`"):
        repo.write(logs(1))
    assert [path.name for path in repo.logs.iterdir()] == ["earlier.parquet"]


@pytest.mark.parametrize("path", ["logs.parquet", "logs/*"])
def test_destination_that_is_no_folder_is_refused(tmp_path: Path, path: str) -> None:
    repo = Repo(tmp_path, path=path)
    with pytest.raises(OfflineStoreError, match="one file or a glob"):
        repo.write(logs(0))


@pytest.mark.parametrize(
    ("column", "message"),
    [("nobody", "no column `nobody`"), ("stats__last", "`stats__last` is list")],
)
def test_partition_that_cannot_be_is_refused(tmp_path: Path, column: str, message: str) -> None:
    repo = Repo(tmp_path, partition_by=[column])
    with pytest.raises(OfflineStoreError, match=message):
        repo.write(logs(0))


def test_other_destinations_and_paths_are_refused(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    with pytest.raises(OfflineStoreError, match="cannot go to SnowflakeLoggingDestination"):
        repo.write(logs(0), LoggingConfig(SnowflakeLoggingDestination(table_name="t")))
    with pytest.raises(SourceUnavailableError, match="s3://bucket/logs"):
        repo.write(logs(0), LoggingConfig(FileLoggingDestination(path="s3://bucket/logs")))
    with pytest.raises(SourceUnavailableError, match="no Parquet files at"):
        repo.write(tmp_path / "nothing")


class _Trips(Profile):
    def validate(self, dataset: pd.DataFrame) -> ValidationReport:
        seen.append(sorted(dataset["driver_id"]))
        return _Passed()

    def to_proto(self) -> Any:
        raise NotImplementedError

    @classmethod
    def from_proto(cls, proto: Any) -> Profile:
        raise NotImplementedError


class _Passed(ValidationReport):
    is_success = True
    errors: list[Any] = []  # noqa: RUF012 - Feast reads it.


class _TripsProfiler(Profiler):
    def analyze_dataset(self, dataset: pd.DataFrame) -> Profile:
        assert "driver_id" in dataset
        return _Trips()

    def to_proto(self) -> Any:
        raise NotImplementedError

    @classmethod
    def from_proto(cls, proto: Any) -> Profiler:
        raise NotImplementedError


seen: list[list[int]] = []


def test_feast_validates_the_logs(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.write(logs(0, 1, 2))
    pq.write_table(logs(0), tmp_path / "reference.parquet")
    dataset = SavedDataset(
        name="reference",
        features=["stats:trips"],
        join_keys=["driver_id"],
        storage=SavedDatasetFileStorage(str(tmp_path / "reference.parquet")),
    )
    dataset.with_retrieval_job(
        repo.store._get_provider().retrieve_feature_service_logs(
            repo.service, NOON, NOON, repo.store.config, repo.store.registry
        )
    )
    reference = ValidationReference.from_saved_dataset("reference", dataset, _TripsProfiler())
    seen.clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        failed = repo.store.validate_logged_features(
            repo.service, NOON, NOON + DAY, reference, cache_profile=False
        )
    assert failed is None
    assert seen == [[0, 1]]
