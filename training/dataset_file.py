"""The Parquet file of a training dataset: fixed row groups, and the manifest in its footer.

Row groups begin at fixed row numbers and are written from one piece each, so that the bytes depend
on the values and the versions alone, not on how the rows came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evenstore.errors import ConfigurationError, TrainingError
from evenstore.whole_file import whole_file
from training.manifest import Manifest
from training.value_hash import ValueHasher

__all__ = ["ROW_GROUP_ROWS", "DatasetFile", "write_dataset"]

ROW_GROUP_ROWS = 65_536

_MANIFEST_KEY = b"evenstore.training.manifest"


def write_dataset(
    path: Path,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    make_manifest: Callable[[], Manifest],
) -> Manifest:
    """Write one file; a reader sees all of it or what was there before.

    Args:
        path: Where; missing folders are made.
        schema: Of the batches.
        batches: Consumed as they are written: one row group is held at a time.
        make_manifest: Called after the last batch.

    Returns:
        The manifest.

    Raises:
        ConfigurationError: The path cannot be written.
    """
    # Numbers and instants are plain: a dictionary of many values is thrown away when it is full,
    # which took 4 to 5 times as long (262,144 rows), and zstd finds the few values of others.
    texts = [field.name for field in schema if _is_text(field.type)]
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=texts) as writer,
    ):
        for group in _row_groups(batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
        manifest = make_manifest()
        writer.add_key_value_metadata({_MANIFEST_KEY: manifest.to_json()})
    return manifest


class DatasetFile:
    """An open dataset file; the manifest is read, the rows only when they are asked for.

    Args:
        path: What `write_dataset` wrote.

    Raises:
        ConfigurationError: There is no such file, or it is not Parquet.
        FormatVersionError: Its manifest was written by a version with another form.
        TrainingError: The file is not a training dataset.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except FileNotFoundError as exc:
            msg = f"there is no training dataset: `{path}`"
            raise ConfigurationError(msg, hint="make one with `evenstore-train dataset`") from exc
        except (pa.ArrowInvalid, OSError) as exc:
            raise self._unreadable(exc) from exc
        text = (self._file.metadata.metadata or {}).get(_MANIFEST_KEY)
        if text is None:
            msg = f"`{path}` has no manifest: it is not a training dataset"
            raise TrainingError(msg, hint="make one with `evenstore-train dataset`")
        self.manifest = Manifest.from_json(text.decode())

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Read all rows.

        Raises:
            ConfigurationError: The file is damaged.
        """
        try:
            table = self._file.read(columns=columns)
        except (pa.ArrowInvalid, OSError) as exc:
            raise self._unreadable(exc) from exc
        return table.replace_schema_metadata(None)

    def read_entity_rows(self) -> pa.Table:
        """Read the columns of the entity rows alone.

        Raises:
            ConfigurationError: The file is damaged.
        """
        names = self._file.schema_arrow.names
        return self.read(names[: len(names) - 3 * len(self.manifest.features)])

    def hash_values(self) -> str:
        """Hash the values, holding one batch at a time.

        Raises:
            ConfigurationError: The file is damaged.
        """
        hasher = ValueHasher(self._file.schema_arrow)
        try:
            for batch in self._file.iter_batches(ROW_GROUP_ROWS):
                hasher.update(batch)
        except (pa.ArrowInvalid, OSError) as exc:
            raise self._unreadable(exc) from exc
        return hasher.hexdigest()

    def _unreadable(self, exc: Exception) -> ConfigurationError:
        msg = f"`{self._path}` cannot be read as Parquet: {exc}"
        return ConfigurationError(msg, hint="make it with `evenstore-train dataset`")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    n_held = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, ROW_GROUP_ROWS - n_held)
            held.append(part)
            n_held += part.num_rows
            start += part.num_rows
            if n_held == ROW_GROUP_ROWS:
                # In one piece: the writer cuts its pages where a chunk ends.
                yield pa.Table.from_batches(held).combine_chunks()
                held, n_held = [], 0
    if held:
        yield pa.Table.from_batches(held).combine_chunks()
